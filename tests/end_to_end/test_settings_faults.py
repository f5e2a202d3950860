"""A setting that cannot be used: one line, status 78, nothing answered and nothing left running."""

import subprocess
import uuid
from pathlib import Path

import pytest

from tests.support.cli import COMMAND, processes_with, run_cli
from tests.support.mthds_server import isolated_env
from tests.support.packages import install, write_project

REQUEST = '{"jsonrpc":"2.0","id":1,"method":"models"}\n'


def boot(home: Path, *flags: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Start a server that is asked for something only an engine can answer."""
    mark = str(uuid.uuid4())
    done = subprocess.run(
        [*COMMAND, "serve", *flags],
        cwd=cwd or home,
        input=REQUEST,
        env={**isolated_env(home), "TEST_MARK": mark, **env},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert processes_with("TEST_MARK", mark) == []
    return done


def assert_refused(done: subprocess.CompletedProcess[str], line: str) -> None:
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f"mthds-rpc: {line}\n"


def test_an_unknown_key_is_refused_with_file_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "pipelex" / "rpc_override.toml"
    file.parent.mkdir()
    file.write_text("[engine]\nallow_pyton = true\n")

    assert_refused(boot(tmp_path), f"{file}:2: engine.allow_pyton: unknown key; did you mean `allow_python`?")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--config", "absent.toml"], "absent.toml: there is no such file (--config)"),
        (["--env-file", "absent.env"], "absent.env: there is no such file (--env-file)"),
        (["--workspace", "absent"], "--workspace: absent is not a folder"),
        (
            ["--orchestration-mode", ""],
            "--orchestration-mode: orchestration_mode: names no mode; give a token such as `direct`",
        ),
    ],
)
def test_a_flag_that_cannot_be_used_is_refused(tmp_path: Path, flags: list[str], line: str) -> None:
    assert_refused(boot(tmp_path, *flags), line)


def test_an_unknown_environment_is_refused(tmp_path: Path) -> None:
    done = boot(tmp_path, PIPELEX_ENV="production")

    assert_refused(done, "PIPELEX_ENV: 'production' is none of local, dev, staging, prod")


def test_a_plugin_that_cannot_be_loaded_ends_the_boot(tmp_path: Path) -> None:
    broken = write_project(
        tmp_path / "source", "broken-plugin", {"mthds_rpc.plugins": {"broken": "broken_plugin:plugin"}}, "1 / 0\n"
    )
    packages = install([broken], tmp_path / "packages")

    done = boot(tmp_path, PYTHONPATH=str(packages))

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.count("\n") == 1
    assert "'broken' (broken-plugin 1.0)" in done.stderr


def test_a_state_folder_that_others_may_write_to_ends_the_boot(tmp_path: Path) -> None:
    state = tmp_path / "state" / "mthds-rpc"
    state.mkdir(parents=True)
    state.chmod(0o777)

    assert_refused(
        boot(tmp_path),
        f"{state}: may be written to by every user; check that no other user has put anything there, then "
        f"`chmod go-rwx {state}`, or set XDG_STATE_HOME to a folder of your own",
    )


def test_call_ends_with_the_server_s_own_line_and_status(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "call", "models", env={"PIPELEX_ENV": "production"})

    assert_refused(done, "PIPELEX_ENV: 'production' is none of local, dev, staging, prod")


@pytest.mark.parametrize("command", ["config", "plugins", "doctor"])
def test_the_other_commands_say_the_same(tmp_path: Path, command: str) -> None:
    done = run_cli(tmp_path, command, env={"PIPELEX_ENV": "production"})

    assert_refused(done, "PIPELEX_ENV: 'production' is none of local, dev, staging, prod")


def test_an_untrusted_project_s_settings_are_passed_over_with_one_line_until_it_is_trusted(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".pipelex").mkdir(parents=True)
    file = project / ".pipelex" / "api_override.toml"
    file.write_text("orchestration_mode = 3\n")
    fault = f"{file}:1: orchestration_mode: expected a string, found a whole number"

    passed_over = run_cli(tmp_path, "call", "version", cwd=project)
    trusted_once = boot(tmp_path, "--trust-project", cwd=project)
    run_cli(tmp_path, "trust", str(project))
    trusted = boot(tmp_path, cwd=project)

    assert passed_over.returncode == 0
    assert passed_over.stderr.count("\n") == 1
    assert f"mthds-rpc trust {project}" in passed_over.stderr
    assert_refused(trusted_once, fault)
    assert_refused(trusted, fault)


def test_a_broken_list_of_trusted_projects_trusts_nobody(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".pipelex").mkdir(parents=True)
    run_cli(tmp_path, "trust", str(project))
    (file,) = (tmp_path / "config").rglob("*.json")
    file.write_text("{")

    done = boot(tmp_path, cwd=project)

    assert_refused(done, f"{file}: the list of trusted projects cannot be read; remove the file")
