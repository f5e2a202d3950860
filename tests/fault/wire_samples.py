"""Valid requests, drawn from what says which there are: the OpenRPC document, the MCP schemas, the tools' own schemas.

The MCP methods are those of the server's table; their params come from the schema of the revision that is spoken.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from rpc_server.mcp.protocol.endpoint import McpEndpoint
from rpc_server.redaction import Redactor
from rpc_server.wire.peer import Peer
from tests.support.bundles import GREETING, SEQUENCE
from tests.support.client import ROOT
from tests.support.mcp_client import TAKES_TASKS, envelope
from tests.support.mcp_schemas import FOLDER, LATEST_LEGACY, LEGACY, MODERN, TASKS

PLAIN = "plain"
"""A session without a handshake: plain JSON-RPC, and MCP in the modern era."""
SESSIONS = (PLAIN, *LEGACY)
ENDING = ("shutdown", "exit")
"""Methods that end a session; no sample calls them."""

NEEDS_AN_ENGINE = frozenset(
    {"execute", "start", "validate", "models", "methods/list", "methods/inputs", "rpc.discover"}
    | {"tools/list", "tools/call", "resources/list", "completion/complete"}
)
"""Methods that reach an engine, or read the disk."""

_LIGHT_TOOLS = ("run_status", "run_result", "cancel_run", "list_runs")
_NOTIFICATIONS = ("notifications/cancelled", "notifications/initialized", "notifications/progress", "$/cancelRequest")
_MOST_DEPTH = 4
_FILES: Sequence[Any] = (
    {"main.mthds": GREETING},
    {"main.mthds": SEQUENCE},
    {"main.mthds": {"base64": "ZG9tYWluPSJ4Ig=="}},
)
_RUNS = ("no-such-run", "warm", "run_1")
_KNOWN: dict[str, Sequence[Any]] = {
    "method": ("greet.mthds", "chain.mthds", "none.mthds", "."),
    "files": _FILES,
    "mthds_contents": ([GREETING], [SEQUENCE]),
    "dependencies": ({}, {"github.com/a/b": {"main.mthds": GREETING}}),
    "inputs": ({"name": "Ann"}, {"word": "hey"}, {}),
    "orchestration_mode": ("direct", "dbos"),
    "pipe_code": ("greet", "all", "greeting.greet"),
    "graph_pipe_code": ("greet",),
    "run_id": _RUNS,
    "pipeline_run_id": _RUNS,
    "taskId": _RUNS,
    "timeout_s": (5, 0.5),
    "wait_s": (0, 0.01),
    "cursor": ("after-1", ""),
    "uri": ("mthds://methods/greet.mthds", "mthds://runs/warm", "mthds://runs/none/result", "ui://mthds-rpc/run"),
    "level": ("debug", "error"),
    "progressToken": (7, "token"),
    "requestId": (1, "a"),
    "task": ({"ttl": 1000}, {}),
    "resourceSubscriptions": (["mthds://runs/warm"],),
    "taskIds": (["warm"],),
}
"""Values of a name that mean something to the server."""
_PROMPTS = ("run_method", "fix_method", "greet")


class _NotUsed:
    """Stands for what is only asked for once a method is served."""

    async def ready(self) -> Any:
        raise NotImplementedError

    def map_error(self, error: BaseException) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Samples:
    """Valid messages as JSON texts: those the server answers by itself, and those that cost more."""

    light: Sequence[bytes]
    heavy: Sequence[bytes]

    def one(self, chance: Random, heavy_share: float = 0.05) -> bytes:
        """A text; its id is up to the caller to replace."""
        return chance.choice(self.heavy if chance.random() < heavy_share else self.light)


def samples(chance: Random, session: str, tools: Mapping[str, Any], count: int = 600) -> Samples:
    """As many messages of a session, `tools` being the input schemas of its tools."""
    light: list[bytes] = []
    heavy: list[bytes] = []
    for _ in range(count):
        message = _message(chance, session, tools)
        (heavy if _is_heavy(message) else light).append(json.dumps(message).encode())
    return Samples(light, heavy)


def _is_heavy(message: Mapping[str, Any]) -> bool:
    method = message["method"]
    return method in NEEDS_AN_ENGINE and not (
        method == "tools/call" and message.get("params", {}).get("name") in _LIGHT_TOOLS
    )


def _message(chance: Random, session: str, tools: Mapping[str, Any]) -> dict[str, Any]:
    kind = chance.random()
    if kind < 0.06:
        return _notification(chance)
    plain = plain_methods()
    if kind < 0.5:
        method = chance.choice(sorted(plain))
        given = _sampled(plain[method], chance, _openrpc(), 0)
        return _request(chance, method, given or None)
    return _request(chance, *_mcp(chance, session, tools))


def _request(chance: Random, method: str, params: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": chance.randrange(1000), "method": method}
    return message if params is None else {**message, "params": params}


def _notification(chance: Random) -> dict[str, Any]:
    method = chance.choice(_NOTIFICATIONS)
    params = {"requestId": chance.choice((1, "1", 2)), "id": 1, "progressToken": 1, "progress": 1}
    return {"jsonrpc": "2.0", "method": method, "params": params}


@cache
def plain_methods() -> dict[str, dict[str, Any]]:
    """Each method of the OpenRPC document with a schema of its params."""
    return {
        method["name"]: {
            "type": "object",
            "properties": {param["name"]: param["schema"] for param in method["params"]},
            "required": [param["name"] for param in method["params"] if param.get("required")],
        }
        for method in _openrpc()["methods"]
    }


@cache
def mcp_methods() -> frozenset[str]:
    """Every MCP method of the server's own table."""
    return frozenset(McpEndpoint(Peer(), Redactor({}), _NotUsed()).methods())


@cache
def _openrpc() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "schemas" / "openrpc.json").read_text(encoding="utf-8"))
    return document


@cache
def _mcp_schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return document


@cache
def _mcp_params(revision: str) -> dict[str, dict[str, Any]]:
    """Each method of a revision that the schema describes, with the schema of its params."""
    found = {}
    document = _mcp_schema(revision)
    for definition in document.get("definitions", document.get("$defs", {})).values():
        members = definition.get("properties", {})
        if "const" in members.get("method", {}):
            found[members["method"]["const"]] = members.get("params", {"type": "object"})
    return found


def _mcp(chance: Random, session: str, tools: Mapping[str, Any]) -> tuple[str, Any]:
    method = chance.choice(sorted(mcp_methods()))
    is_modern = session == PLAIN or chance.random() < 0.25
    revision = MODERN if is_modern else session
    if method == "initialize":
        return method, None if is_modern else handshake(session)
    schema = _mcp_params(revision).get(method) or _mcp_params(TASKS).get(method) or {"type": "object"}
    params = _sampled(schema, chance, _mcp_schema(revision), 0)
    params.pop("_meta", None)
    if method.startswith("tasks/"):
        params = {"taskId": chance.choice(_RUNS), **({"inputResponses": {}} if method == "tasks/update" else {})}
    elif method == "tools/call":
        params = _tool_call(chance, tools, revision)
    elif method == "prompts/get":
        params["name"] = chance.choice(_PROMPTS)
    if is_modern:
        params = envelope(params, capabilities=chance.choice(({}, TAKES_TASKS)))
    return method, params


def handshake(revision: str) -> dict[str, Any]:
    """The params of `initialize`."""
    return {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "hostile", "version": "1"}}


def _tool_call(chance: Random, tools: Mapping[str, Any], revision: str) -> dict[str, Any]:
    name = chance.choice(_LIGHT_TOOLS if chance.random() < 0.5 else sorted(tools) or _LIGHT_TOOLS)
    schema = tools.get(name, {"type": "object"})
    task = {"task": {"ttl": 1000}} if revision == LATEST_LEGACY and chance.random() < 0.1 else {}
    return {"name": name, "arguments": _sampled(schema, chance, schema, 0), **task}


def _sampled(schema: Any, chance: Random, root: Mapping[str, Any], depth: int, name: str = "") -> Any:
    """A value that a schema allows, nearly always."""
    if name in _KNOWN and chance.random() < 0.9:
        return chance.choice(_KNOWN[name])
    if not isinstance(schema, dict):
        return "x"
    if "$ref" in schema:
        return _sampled(_resolved(schema["$ref"], root), chance, root, depth, name)
    for key in ("const", "default"):
        if key in schema and (key == "const" or chance.random() < 0.3):
            return schema[key]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _sampled(chance.choice(schema[key]), chance, root, depth, name)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _of_kind(chance.choice(kind) if isinstance(kind, list) else kind, schema, chance, root, depth)


def _of_kind(kind: str, schema: Mapping[str, Any], chance: Random, root: Mapping[str, Any], depth: int) -> Any:
    match kind:
        case "object":
            return _object(schema, chance, root, depth)
        case "array":
            size = chance.randint(0, 2) if depth < _MOST_DEPTH else 0
            return [_sampled(schema.get("items", {}), chance, root, depth + 1) for _ in range(size)]
        case "integer":
            return chance.randint(int(schema.get("minimum", 1)), min(int(schema.get("maximum", 50)), 50))
        case "number":
            return chance.choice((0.01, 1, 2.5))
        case "boolean":
            return chance.random() < 0.5
        case "null":
            return None
        case _:
            return chance.choice(("text", "greet", "a-1", "Ann"))


def _object(schema: Mapping[str, Any], chance: Random, root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    members = schema.get("properties", {})
    required = set(schema.get("required", ()))
    share = 0.35 if depth < _MOST_DEPTH else 0.0
    chosen = [name for name in members if name in required or (name != "_meta" and chance.random() < share)]
    return {name: _sampled(members[name], chance, root, depth + 1, name) for name in chosen}


def _resolved(ref: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in ref.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found
