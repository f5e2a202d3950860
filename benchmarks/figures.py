"""The figures: what is measured, against whom, and what the ratio must be."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.http_peer import HttpConnection, connection, pipelex_api
from benchmarks.line_server import LineServer, line_server, request, result_of
from benchmarks.measuring import Figure, Goal, Measure, compare, median_of, milliseconds, per_second
from benchmarks.place import METHODS, Place
from benchmarks.processes import spawned

BIN = Path(sys.executable).parent
PEERS = Path(__file__).parent / "peers"
SERVE = [str(BIN / "mthds-rpc"), "serve"]
MCP_ECHO = [sys.executable, str(PEERS / "mcp_echo.py")]
IN_PROCESS = [sys.executable, str(PEERS / "in_process.py")]

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
ECHO = {"name": "echo", "arguments": {"text": "hello"}}
EVERYTHING = ["graph", "usage", "working_memory"]


# The door: how fast the server is up, and what a call costs that runs nothing.


def door(place: Place) -> list[Figure]:
    """The first answer, calls one after the other, and calls 64 at a time."""
    first = compare(
        Goal("spawn to first answer", "mcp, `initialize`", "ms", 0.30),
        lambda: _first_answer(SERVE, request("version", 1), place),
        lambda: _first_answer(MCP_ECHO, request("initialize", 1, INITIALIZE), place),
        pairs=11,
    )
    with line_server(SERVE, place) as ours, line_server(MCP_ECHO, place) as echo:
        _settle(ours, place)
        echo.ask(request("initialize", 0, INITIALIZE))
        echo.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return [first, _one_by_one(ours, echo), _many_at_a_time(ours, echo)]


def _first_answer(command: Sequence[str], line: bytes, place: Place) -> float:
    begun = time.perf_counter()
    with line_server(command, place) as server:
        result_of(server.ask(line))
        return (time.perf_counter() - begun) * 1000


def _settle(server: LineServer, place: Place) -> None:
    """Wait until the engine is up, so that its boot is not measured along."""
    for call_id in range(20):
        result_of(server.ask(request("execute", call_id, one_compose(call_id))))


def _one_by_one(ours: LineServer, echo: LineServer) -> Figure:
    versions, echoes = _calls(400)
    return compare(
        Goal("sequential `version` calls", "mcp, echo tool", "calls/s", 5, higher_is_better=True),
        lambda: per_second(len(versions), lambda: [ours.ask(line) for line in versions]),
        lambda: per_second(len(echoes), lambda: [echo.ask(line) for line in echoes]),
        pairs=15,
    )


def _many_at_a_time(ours: LineServer, echo: LineServer) -> Figure:
    versions, echoes = _calls(2000)
    return compare(
        Goal("`version` calls, 64 in flight", "mcp, echo tool", "calls/s", 12, higher_is_better=True),
        lambda: per_second(len(versions), lambda: ours.pump(versions, 64)),
        lambda: per_second(len(echoes), lambda: echo.pump(echoes, 64)),
        pairs=9,
    )


def _calls(number: int) -> tuple[list[bytes], list[bytes]]:
    """Our calls and the peer's, made beforehand."""
    return [request("version", n) for n in range(number)], [request("tools/call", n, ECHO) for n in range(number)]


# Warm runs of a method that a running server has seen before.


def one_compose(number: int) -> dict[str, Any]:
    """The params of a run of one compose pipe, its input different each time."""
    method = (METHODS / "one_compose.mthds").read_text(encoding="utf-8")
    return {"files": {"one_compose.mthds": method}, "inputs": {"name": f"Ada {number}"}}


def batch_of_twenty(number: int) -> dict[str, Any]:
    """The params of a run of twenty compose pipes at once."""
    method = (METHODS / "batch_of_twenty.mthds").read_text(encoding="utf-8")
    names = [f"Ada {number} {item}" for item in range(20)]
    return {"files": {"batch_of_twenty.mthds": method}, "inputs": {"names": names}}


def as_contents(params: dict[str, Any]) -> dict[str, Any]:
    """The same run with the method as loose texts, which is the quicker way into Pipelex."""
    return {"mthds_contents": list(params["files"].values()), "inputs": params["inputs"]}


def warm_runs(place: Place) -> list[Figure]:
    """One compose pipe, over and over, by each of the ways there are."""
    runs = map(one_compose, count())
    with line_server(SERVE, place) as ours, pipelex_api(place) as port, connection(port) as api:
        _settle(ours, place)
        by_us = _run_of(lambda: _execute(ours, next(runs)))
        all_by_us = _run_of(lambda: _execute(ours, next(runs) | {"include": EVERYTHING}))
        by_api = _run_of(lambda: _post(api, next(runs)))
        contents_by_us = _run_of(lambda: _execute(ours, as_contents(next(runs))))
        contents_by_api = _run_of(lambda: _post(api, as_contents(next(runs))))
        over_http = [
            compare(Goal("warm `execute`, default answer", "pipelex-api", "ms", 0.06), by_us, by_api, pairs=15),
            compare(Goal("warm `execute`, everything", "pipelex-api", "ms", 0.35), all_by_us, by_api, pairs=15),
            compare(
                Goal("the default answer, by `mthds_contents`", "pipelex-api", "ms"),
                contents_by_us,
                contents_by_api,
                pairs=9,
            ),
        ]
        with line_server(IN_PROCESS, place) as peer:
            in_process = _run_in_process(peer, runs)
            goal = Goal("warm `execute`, default answer", "Pipelex in process", "ms", 0.7)
            return [*over_http, compare(goal, by_us, in_process, pairs=15)]


def _run_of(run: Callable[[], object]) -> Measure:
    return lambda: median_of(20, run)


def _execute(server: LineServer, params: dict[str, Any]) -> None:
    result_of(server.ask(request("execute", 1, params)))


def _post(api: HttpConnection, params: dict[str, Any]) -> None:
    api.post("/v1/execute", json.dumps(params).encode())


def _run_in_process(peer: LineServer, runs: Iterator[dict[str, Any]]) -> Measure:
    """The peer takes the time itself, so that the pipe to it costs it nothing."""

    def run() -> float:
        return float(peer.ask(json.dumps(as_contents(next(runs))).encode() + b"\n"))

    return lambda: statistics.median(run() for _ in range(20))


# A whole process for one run.


def cold_run(place: Place) -> list[Figure]:
    """One run from the command line, from nothing to the output."""
    inputs = place.directory / "one_compose.json"
    inputs.write_text(json.dumps(one_compose(0)["inputs"]), encoding="utf-8")
    method = ["one_compose.mthds", "--inputs", inputs.name]
    ours = [str(BIN / "mthds-rpc"), "call", "execute", "--method", *method]
    theirs = [str(BIN / "pipelex-agent"), "run", "bundle", *method]
    return [
        compare(
            Goal("cold one-off run, whole process", "pipelex-agent", "ms", 0.9),
            lambda: milliseconds(lambda: _run_to_the_end(ours, place)),
            lambda: milliseconds(lambda: _run_to_the_end(theirs, place)),
            pairs=9,
        )
    ]


def _run_to_the_end(command: Sequence[str], place: Place) -> None:
    with spawned(command, place, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate()
        if process.returncode != 0 or b"Ada" not in output:
            raise RuntimeError(f"{command} ended with status {process.returncode}: {output.decode()}")


# Many runs at once.


def throughput(place: Place) -> list[Figure]:
    """200 runs of twenty pipes each, eight at a time."""
    runs, in_flight = 200, 8
    lines = [request("execute", number, batch_of_twenty(number)) for number in range(runs)]
    bodies = [json.dumps(batch_of_twenty(number)).encode() for number in range(runs)]
    with line_server(SERVE, place) as ours, pipelex_api(place) as port:
        # Enough to bring the second engine up, whose boot is not what is measured.
        ours.pump(lines, in_flight)
        _post_all(port, bodies[:in_flight], in_flight)
        return [
            compare(
                Goal("batch of 20, 8 in flight", "pipelex-api", "runs/s", 8, higher_is_better=True),
                lambda: per_second(runs, lambda: ours.pump(lines, in_flight)),
                lambda: per_second(runs, lambda: _post_all(port, bodies, in_flight)),
                pairs=3,
                is_warm=True,
            )
        ]


def _post_all(port: int, bodies: Sequence[bytes], in_flight: int) -> None:
    """Post all bodies over `in_flight` connections, opened here because the server closes them when they rest."""
    waiting = iter(bodies)

    def drain(_: int) -> None:
        with connection(port) as one:
            for body in waiting:
                one.post("/v1/execute", body)

    with ThreadPoolExecutor(in_flight) as threads:
        list(threads.map(drain, range(in_flight)))


GROUPS: dict[str, Callable[[Place], list[Figure]]] = {
    "door": door,
    "warm": warm_runs,
    "cold": cold_run,
    "throughput": throughput,
}
