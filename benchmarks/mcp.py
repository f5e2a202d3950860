"""The figures of the MCP face: the same server, asked as an LLM host asks it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.figures import ECHO, INITIALIZE, MCP_ECHO, PEERS, SERVE
from benchmarks.line_server import LineServer, line_server, request, result_of
from benchmarks.measuring import Figure, Goal, compare, measure, median_of, per_second
from benchmarks.place import Place

_PLUGIN = PEERS / "mthds_rpc_bench_echo.py"
_METHODS = 200
_INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
_MODERN: dict[str, Any] = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
}


def mcp(place: Place) -> list[Figure]:
    """First answers in a workspace of 200 methods, calls of an echo tool in both eras, and the list of 200 tools."""
    with _workspace(place) as there:
        return [*_first_answers(there), *_legacy_calls(there), *_modern_calls(there), _list(there)]


@contextmanager
def _workspace(place: Place) -> Iterator[Place]:
    """The place with 200 methods more, all of them listed, and the plugin with the echo tool."""
    many = place.directory / "many"
    many.mkdir()
    method = (place.directory / "one_compose.mthds").read_text(encoding="utf-8")
    for number in range(_METHODS):
        folder = many / f"method_{number:03}"
        folder.mkdir()
        folder.joinpath("method.mthds").write_text(method.replace("one_compose", f"method_{number:03}"), "utf-8")
    config = place.directory / "mcp.toml"
    config.write_text(f"[rpc.mcp]\nmax_method_tools = {_METHODS}\n", encoding="utf-8")
    yield replace(place, environment={**place.environment, "PYTHONPATH": str(_installed(place))})


def _installed(place: Place) -> Path:
    """The plugin, as it stands in an environment: its code and its metadata."""
    target = place.directory.parent / "plugins"
    metadata = target / "mthds_rpc_bench_echo-1.0.dist-info"
    metadata.mkdir(parents=True)
    (target / _PLUGIN.name).symlink_to(_PLUGIN)
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: mthds-rpc-bench-echo\nVersion: 1.0\n")
    metadata.joinpath("entry_points.txt").write_text("[mthds_rpc.plugins]\nbench_echo = mthds_rpc_bench_echo:plugin\n")
    return target


def _serve(place: Place) -> list[str]:
    return [*SERVE, "--config", str(place.directory / "mcp.toml"), "--workspace", str(place.directory / "many")]


def _first_answers(place: Place) -> list[Figure]:
    asked = {"initialize": INITIALIZE, "server/discover": _MODERN}
    return [_first_answer_to(method, request(method, 1, params), place) for method, params in asked.items()]


def _first_answer_to(method: str, line: bytes, place: Place) -> Figure:
    return compare(
        Goal(f"spawn to first answer, `{method}`, 200 methods", f"mcp, `{method}`", "ms", 0.30),
        lambda: _first_answer(_serve(place), line, place),
        lambda: _first_answer(MCP_ECHO, line, place),
        pairs=9,
    )


def _first_answer(command: Sequence[str], line: bytes, place: Place) -> float:
    begun = time.perf_counter()
    with line_server(command, place) as server:
        result_of(server.ask(line))
        return (time.perf_counter() - begun) * 1000


def _legacy_calls(place: Place) -> list[Figure]:
    with line_server(_serve(place), place) as ours, line_server(MCP_ECHO, place) as peer:
        # Before the handshake, after which changes of the list would be announced in between.
        _wait_for_tools(ours)
        for server in (ours, peer):
            result_of(server.ask(request("initialize", 0, INITIALIZE)))
            server.send(_INITIALIZED)
        return _throughput("`tools/call`, 2025-11-25", "tools/call", ECHO, ours, peer)


def _modern_calls(place: Place) -> list[Figure]:
    with line_server(_serve(place), place) as ours, line_server(MCP_ECHO, place) as peer:
        _wait_for_tools(ours)
        return [
            *_throughput("`tools/call`, 2026-07-28", "tools/call", {**ECHO, **_MODERN}, ours, peer),
            *_throughput("`server/discover`", "server/discover", _MODERN, ours, peer),
        ]


def _throughput(name: str, method: str, params: dict[str, Any], ours: LineServer, peer: LineServer) -> list[Figure]:
    few, many = ([request(method, n, params) for n in range(number)] for number in (400, 2000))
    return [
        compare(
            Goal(f"sequential {name}", f"mcp, {method}", "calls/s", 5, higher_is_better=True),
            lambda: per_second(len(few), lambda: [ours.ask(line) for line in few]),
            lambda: per_second(len(few), lambda: [peer.ask(line) for line in few]),
            pairs=9,
        ),
        compare(
            Goal(f"{name}, 64 in flight", f"mcp, {method}", "calls/s", 12, higher_is_better=True),
            lambda: per_second(len(many), lambda: ours.pump(many, 64)),
            lambda: per_second(len(many), lambda: peer.pump(many, 64)),
            pairs=7,
        ),
    ]


def _list(place: Place) -> Figure:
    line = request("tools/list", 1, _MODERN)
    with line_server(_serve(place), place) as ours:
        _wait_for_tools(ours)
        goal = Goal("`tools/list`, 200 methods, warm", "", "ms", 20)
        return measure(goal, lambda: median_of(20, lambda: ours.ask(line)), times=9)


def _wait_for_tools(server: LineServer) -> None:
    """Ask until every method is a tool, so that no engine is busy with them any more. Raises RuntimeError."""
    for _ in range(120):
        listed = len(result_of(server.ask(request("tools/list", 1, _MODERN)))["tools"])
        if listed >= _METHODS:
            return
        time.sleep(0.5)
    raise RuntimeError(f"only {listed} tools came")
