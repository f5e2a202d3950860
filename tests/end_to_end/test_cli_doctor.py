"""`mthds-rpc doctor`: what it finds, and entries that really work where hosts start them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support.bundles import GREETING
from tests.support.cli import run_cli
from tests.support.node import node_binary


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home, and what doctor says in a project below it where one key is set and another is not."""
    home = tmp_path_factory.mktemp("home")
    project = home / "project"
    (project / ".pipelex").mkdir(parents=True)
    (project / ".pipelex" / "rpc_override.toml").write_text("ignored =")
    (project / "greeting.mthds").write_text(GREETING)
    env = {"OPENAI_API_KEY": "sk-a-secret-value", "PIPELEX_ENV": "dev"}
    done = run_cli(home, "doctor", "--json", "--allow-python", cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    assert "sk-a-secret-value" not in done.stdout
    return home, json.loads(done.stdout)


def found(examined: tuple[Path, dict[str, Any]]) -> str:
    return "\n".join(f"{finding['mark']} {finding['text']}" for finding in examined[1]["findings"])


@pytest.mark.parametrize(
    "text",
    [
        "ok Pipelex 0.92.2",
        "1 methods in it",
        "the project is not trusted",
        "ok orchestration modes: dbos, direct, temporal; configured: direct",
        "ok a server and its engine answered in",
        "ok backend openai: enabled (OPENAI_API_KEY set)",
        "anthropic (ANTHROPIC_API_KEY)",
        "note refused: paths outside",
    ],
)
def test_what_matters_on_this_machine_is_found(examined: tuple[Path, dict[str, Any]], text: str) -> None:
    assert text in found(examined)


def test_what_the_flags_allow_is_not_said_to_be_refused(examined: tuple[Path, dict[str, Any]]) -> None:
    assert "Python of their own" not in found(examined)


def test_every_entry_can_be_read_and_starts_the_server_by_its_absolute_path(
    examined: tuple[Path, dict[str, Any]],
) -> None:
    home, document = examined
    entries = document["entries"]
    servers = [json.loads(entries[host])["mcpServers"]["mthds"] for host in ("claude-code", "claude-desktop", "cursor")]
    servers.append(json.loads(entries["vscode"])["servers"]["mthds"])
    servers.append(tomli.loads(entries["codex"])["mcp_servers"]["mthds"])

    for server in servers:
        assert Path(server["command"]).is_absolute()
        assert "serve" in server["args"]
        assert "--allow-python" in server["args"]
        assert server["args"][-1] in (str(home / "project"), "${workspaceFolder}")
        assert server["env"]["PIPELEX_HOME"] == str(home / "pipelex")
    assert servers[-1]["env_vars"] == ["OPENAI_API_KEY"]


def test_an_entry_works_from_the_root_directory_with_hardly_any_variables(
    examined: tuple[Path, dict[str, Any]],
) -> None:
    home, document = examined
    server = json.loads(document["entries"]["claude-desktop"])["mcpServers"]["mthds"]

    done = subprocess.run(
        [server["command"], *server["args"]],
        input='{"jsonrpc":"2.0","id":1,"method":"methods/list"}\n',
        cwd="/",
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", **server["env"]},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0
    assert [entry["path"] for entry in json.loads(done.stdout)["result"]["methods"]] == ["greeting.mthds"]


@pytest.mark.parametrize(("host", "program"), [("python", sys.executable), ("node", str(node_binary()))])
def test_the_snippet_is_a_working_program(
    examined: tuple[Path, dict[str, Any]], tmp_path: Path, host: str, program: str
) -> None:
    home, document = examined
    script = tmp_path / ("snippet.mjs" if host == "node" else "snippet.py")
    script.write_text(document["entries"][host])

    done = subprocess.run(
        [program, str(script)],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "greeting.mthds" in done.stdout


def test_one_host_s_entry_is_printed_alone_and_at_once(tmp_path: Path) -> None:
    (tmp_path / "keys.env").write_text("A_KEY=1\n")

    done = run_cli(tmp_path, "doctor", "--host", "codex", "--env-file", "keys.env", "--workspace", ".")

    server = tomli.loads(done.stdout)["mcp_servers"]["mthds"]
    assert server["args"] == ["serve", "--env-file", str(tmp_path / "keys.env"), "--workspace", str(tmp_path)]
    assert "~/.codex/config.toml" in done.stderr


def test_a_machine_that_cannot_work_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "pipelex").write_text("a file where the home should be")

    done = run_cli(tmp_path, "doctor")

    assert done.returncode == 1
    assert "fault Pipelex's home" in done.stdout
