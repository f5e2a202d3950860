"""The entry for each common host: absolute paths, since hosts start servers with little PATH and any directory."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rpc_server.settings.settings import Flags, Settings, as_arguments

_SERVER_NAME = "mthds"
_NO_WORKSPACE = "/absolute/path/of/your/project"
_PASSED_ON = ("PIPELEX_HOME", "PIPELEX_ENV")


@dataclass(frozen=True)
class Launch:
    """How a host is to start the server."""

    command: list[str]
    """The program and its arguments, absolute; the last two are --workspace and its folder."""
    environment: dict[str, str]
    """What it has to be given to behave as it does here; never a secret."""
    key_names: list[str]
    """The variables with API keys that are set here, by name."""


@dataclass(frozen=True)
class Host:
    """A host and how its entry reads."""

    title: str
    place: str
    """Where the entry goes."""
    entry: Callable[[Launch], str]
    note: str = ""


def launch(flags: Flags, settings: Settings, key_names: Sequence[str]) -> Launch:
    """How a host is to start a server with these flags."""
    portable = replace(
        flags,
        workspace=None,
        config=None if flags.config is None else _absolute(flags.config),
        env_files=tuple(_absolute(path) for path in flags.env_files),
    )
    workspace = str(settings.workspace_dir or _NO_WORKSPACE)
    return Launch(
        command=[*own_command(), "serve", *as_arguments(portable), "--workspace", workspace],
        environment={name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)},
        key_names=sorted(key_names),
    )


def own_command() -> list[str]:
    """This very program by absolute path."""
    script = Path(sys.executable).with_name("mthds-rpc")
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "rpc_server.cli"]


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _server(start: Launch) -> dict[str, object]:
    entry: dict[str, object] = {"command": start.command[0], "args": start.command[1:]}
    if start.environment:
        entry["env"] = start.environment
    return entry


def _mcp_servers(start: Launch) -> str:
    return json.dumps({"mcpServers": {_SERVER_NAME: _server(start)}}, indent=2)


def _typed_mcp_servers(start: Launch) -> str:
    return json.dumps({"mcpServers": {_SERVER_NAME: {"type": "stdio", **_server(start)}}}, indent=2)


def _vscode(start: Launch) -> str:
    here = Launch([*start.command[:-1], "${workspaceFolder}"], start.environment, start.key_names)
    return json.dumps({"servers": {_SERVER_NAME: {"type": "stdio", **_server(here)}}}, indent=2)


def _codex(start: Launch) -> str:
    # A JSON string is a TOML string too.
    lines = [
        f"[mcp_servers.{_SERVER_NAME}]",
        f"command = {json.dumps(start.command[0])}",
        f"args = {json.dumps(start.command[1:])}",
        "startup_timeout_sec = 30",
        "tool_timeout_sec = 3600",
    ]
    if start.key_names:
        lines.append(f"env_vars = {json.dumps(start.key_names)}")
    if start.environment:
        pairs = ", ".join(f"{name} = {json.dumps(value)}" for name, value in start.environment.items())
        lines.append(f"env = {{ {pairs} }}")
    return "\n".join(lines)


def _python(start: Launch) -> str:
    return f"""\
import json
import subprocess

server = subprocess.Popen(
    {json.dumps(start.command)},
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    encoding="utf-8",
)
request = {{"jsonrpc": "2.0", "id": 1, "method": "methods/list"}}
server.stdin.write(json.dumps(request) + "\\n")
server.stdin.flush()
print(json.loads(server.stdout.readline()))
server.stdin.close()
server.wait()"""


def _node(start: Launch) -> str:
    return f"""\
import {{ spawn }} from "node:child_process";
import {{ createInterface }} from "node:readline";

const server = spawn({json.dumps(start.command[0])}, {json.dumps(start.command[1:])}, {{
  stdio: ["pipe", "pipe", "inherit"],
}});
createInterface({{ input: server.stdout }}).on("line", (line) => {{
  console.dir(JSON.parse(line), {{ depth: null }});
  server.stdin.end();
}});
server.stdin.write(JSON.stringify({{ jsonrpc: "2.0", id: 1, method: "methods/list" }}) + "\\n");"""


HOSTS = {
    "claude-code": Host(
        "Claude Code",
        ".mcp.json in the project's folder",
        _typed_mcp_servers,
        "Its variables MCP_TIMEOUT and MCP_TOOL_TIMEOUT bound the start and a call, in milliseconds.",
    ),
    "claude-desktop": Host(
        "Claude Desktop",
        "claude_desktop_config.json (Settings, Developer, Edit Config)",
        _mcp_servers,
        "It starts servers in / with hardly any variables, and gives up on a call after about a minute.",
    ),
    "cursor": Host("Cursor", ".cursor/mcp.json in the project's folder, or ~/.cursor/mcp.json", _mcp_servers),
    "vscode": Host("VS Code", ".vscode/mcp.json in the project's folder", _vscode),
    "codex": Host(
        "Codex",
        "~/.codex/config.toml",
        _codex,
        "Codex hands on only the variables named in env_vars.",
    ),
    "python": Host("Python", "any script; the standard library is enough", _python),
    "node": Host("Node", "any .mjs file; no package is needed", _node),
}
