"""The command line around the server: help, versions, trust, settings, plugins."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from rpc_server.cli import COMMANDS
from tests.support.cli import COMMAND, run_cli
from tests.support.mthds_server import isolated_env
from tests.support.packages import PACKAGES, install


def test_the_command_line_imports_nothing_before_it_knows_the_command() -> None:
    code = "import sys; before = set(sys.modules); import rpc_server.cli; print(*(set(sys.modules) - before))"

    loaded = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout

    assert set(loaded.split()) == {"rpc_server", "rpc_server.cli", "rpc_server.exit_statuses"}


def test_help_teaches_the_first_steps_and_the_exit_statuses(tmp_path: Path) -> None:
    asked = run_cli(tmp_path, "--help")
    bare = run_cli(tmp_path)

    assert (asked.returncode, bare.returncode) == (0, 2)
    assert asked.stdout == bare.stderr
    for text in ("mthds-rpc call execute", "exit status:", "78"):
        assert text in asked.stdout


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "version"])
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    done = run_cli(tmp_path, command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: mthds-rpc {command}")
    assert "exit status:" in done.stdout


def test_a_mistyped_command_is_answered_with_the_nearest(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "plugin")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mthds-rpc: there is no command `plugin`; did you mean `plugins`?\n"


def test_version_says_what_is_running(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "--version")

    assert done.stdout == run_cli(tmp_path, "version").stdout
    assert done.stdout.startswith("mthds-rpc ")
    assert "Pipelex 0.92.2" in done.stdout


def test_trust_is_given_listed_and_taken_back(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".pipelex").mkdir(parents=True)

    given = run_cli(tmp_path, "trust", "project")
    listed = run_cli(tmp_path, "trust", "--list")
    taken = run_cli(tmp_path, "trust", str(project), "--remove")
    again = run_cli(tmp_path, "trust", str(project), "--remove")

    assert given.returncode == 0
    assert listed.stdout == f"{project}\n"
    assert taken.stdout == f"{project} is no longer trusted.\n"
    assert again.returncode == 1
    assert run_cli(tmp_path, "trust", "--list").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["--list", "x"], 2), (["absent"], 1), (["/"], 1), (["."], 1)]
)
def test_what_cannot_be_trusted_is_refused(tmp_path: Path, arguments: list[str], status: int) -> None:
    done = run_cli(tmp_path, "trust", *arguments)

    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr != ""


def test_config_shows_no_password(tmp_path: Path) -> None:
    (tmp_path / "pipelex").mkdir()
    (tmp_path / "pipelex" / "rpc_dbos_override.toml").write_text(
        'database_url = "postgresql://mthds:p4ssw0rd@db.internal/mthds"\n'
    )

    printed = [run_cli(tmp_path, "config", *flags).stdout for flags in ((), ("--json",))]

    assert all("postgresql://mthds:[redacted]@db.internal/mthds" in text for text in printed)
    assert all("p4ssw0rd" not in text for text in printed)


def test_config_says_where_each_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "pipelex").mkdir()
    override = tmp_path / "pipelex" / "rpc_override.toml"
    override.write_text("[limits]\nmax_batch = 7\n")
    (tmp_path / "keys.env").write_text("SOME_KEY=a-secret-value\n")

    table = run_cli(tmp_path, "config", "--allow-python", "--env-file", "keys.env")
    document = json.loads(run_cli(tmp_path, "config", "--allow-python", "--env-file", "keys.env", "--json").stdout)

    settings = document["settings"]
    assert settings["rpc.limits.max_batch"] == {"value": 7, "origin": str(override), "line": 2}
    assert settings["rpc.engine.allow_python"] == {"value": True, "origin": "--allow-python", "line": None}
    assert settings["api.orchestration_mode"]["origin"].endswith("api.toml")
    assert document["variables_from_files"] == ["SOME_KEY"]
    assert f"{override}:2" in table.stdout
    assert "a-secret-value" not in table.stdout + json.dumps(document)


def test_plugins_lists_what_is_installed_and_disabled(tmp_path: Path) -> None:
    packages = install([PACKAGES / "mthds_rpc_echo"], tmp_path / "packages")
    (tmp_path / "pipelex").mkdir()
    (tmp_path / "pipelex" / "rpc_override.toml").write_text("[plugins]\ndisabled = ['pipelex', 'ghost']\n")
    env = {"PYTHONPATH": str(packages)}

    table = run_cli(tmp_path, "plugins", env=env)
    document = json.loads(run_cli(tmp_path, "plugins", "--json", env=env).stdout)

    plugins = {plugin["name"]: plugin for plugin in document["plugins"]}
    assert plugins["direct"]["orchestrators"] == {"direct": {"start": False}}
    assert plugins["pipelex"]["state"] == "disabled"
    assert plugins["echo"]["distribution"] == "mthds-rpc-echo"
    assert document["unknown_disabled"] == ["ghost"]
    assert "'ghost' is disabled" in table.stdout
    assert table.returncode == 0


def test_a_module_of_a_generic_name_in_the_working_directory_is_never_taken_for_ours(tmp_path: Path) -> None:
    for name in ("schemas", "rpc_server", "orchestrators"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the working directory')")
    script = Path(sys.executable).with_name("mthds-rpc")

    done = subprocess.run(
        [script, "call", "version"],
        cwd=tmp_path,
        env=isolated_env(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_serve_on_a_terminal_gives_one_hint_and_ends_with_ctrl_d(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()

    with subprocess.Popen(
        [*COMMAND, "serve"], cwd=tmp_path, env=isolated_env(tmp_path), stdin=theirs, stdout=PIPE, stderr=PIPE, text=True
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        hint = process.stderr.readline()
        os.write(ours, b"\x04")
        stdout, rest = process.communicate(timeout=60)
    os.close(ours)

    assert "meant to be started by a program" in hint
    assert "Ctrl-D" in hint
    assert (process.returncode, stdout, rest) == (0, "", "")


def test_a_reader_of_the_output_that_goes_away_is_no_failure_worth_a_word(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -P -m rpc_server.cli config | head -0",
        shell=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )

    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", ["--help", "version", "config --json", "serve --help", "call version"])
def test_output_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path, arguments: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments.split()],
            env=isolated_env(tmp_path),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=PIPE,
            text=True,
            timeout=60,
        )

    assert (done.returncode, done.stderr) == (1, "mthds-rpc: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_stream_that_is_closed_or_full_is_no_failure_of_a_command(tmp_path: Path, redirection: str) -> None:
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("needs a device that is always full")
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, "config"]

    done = subprocess.run(shell, env=isolated_env(tmp_path), capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
