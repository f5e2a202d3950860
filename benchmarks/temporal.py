"""The figures of runs on Temporal: the real server and workers in the mode `temporal`, on a dev server."""

import base64
import json
import os
import random
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.figures import one_compose
from benchmarks.line_server import LineServer, request, result_of
from benchmarks.measuring import Figure, Goal, compare, measure, of_times
from benchmarks.place import Place
from benchmarks.temporal_place import (
    QUEUE,
    WORKERS,
    PatientRun,
    TemporalPlace,
    server,
    temporal_place,
    until,
    write_config,
)
from tests.support.temporal import temporal_server

STARTS = 100
CANCELS = 10
LOST = 4
BURST = 100
LARGE_BYTES = 8_000_000
UNAVAILABLE = -31084
# As shipped in rpc_temporal.toml.
HEARTBEAT_S = 0.2


def temporal(place: Place) -> list[Figure]:
    """Everything that is promised of runs on Temporal."""
    folder = place.directory.parent / "temporal"
    folder.mkdir()
    with temporal_server(folder) as dev_server, temporal_place(place, folder, dev_server.address) as there:
        figures = [*_at_rest(there), *_cancelled(there), _large(there), _burst(there), _killed_worker(there)]
    return [*figures, *_unreachable(place, folder)]


# A server at rest, asked for one run at a time.


def _at_rest(there: TemporalPlace) -> list[Figure]:
    return [
        compare(
            Goal("`start` acknowledged, Temporal", "bare `start_workflow`", "ms", 10, by_difference=True),
            partial(_acknowledged, there),
            lambda: there.ask_bare("start", there.one_compose()),
            pairs=STARTS,
        ),
        measure(Goal("`start` to first event, Temporal, warm worker", "", "ms"), partial(_first_event, there), 10),
    ]


def _acknowledged(there: TemporalPlace) -> float:
    """The time to the answer of one `start`; the run is then waited for, so that it stands in no other's way."""
    line = request("start", 1, there.one_compose())
    begun = time.perf_counter()
    answer = there.ours.ask(line)
    taken = (time.perf_counter() - begun) * 1000
    there.wait_for(result_of(answer)["pipeline_run_id"])
    return taken


def _first_event(there: TemporalPlace) -> float:
    """The time from before `start` to the event `run_started`."""
    line = request("start", 1, there.one_compose())
    begun = time.perf_counter()
    run_id = result_of(there.ours.ask(line))["pipeline_run_id"]
    there.ours.send(request("runs/watch", 2, {"run_id": run_id, "_meta": {"progressToken": "event"}}))
    came = there.ours.read_line()
    taken = (time.perf_counter() - begun) * 1000
    if b'"run_started"' not in came:
        raise RuntimeError(f"the first event is another one: {came.decode()}")
    while b'"progressToken"' in came:
        came = there.ours.read_line()
    result_of(came)
    return taken


# Runs that are cancelled.


def _cancelled(there: TemporalPlace) -> list[Figure]:
    taken = [_cancel(there) for _ in range(CANCELS)]
    return [
        of_times(Goal("`runs/cancel` until CANCELLED, Temporal", "", "ms", 500), taken),
        of_times(Goal(f"`runs/cancel`, the slowest of {CANCELS}", "", "ms"), taken, max),
    ]


def _cancel(there: TemporalPlace) -> float:
    """The time to the record of a cancelled run, cancelled at any moment between two heartbeats."""
    run = there.start_patient()
    run.wait_until_begun(1)
    time.sleep(random.uniform(0, HEARTBEAT_S))
    line = request("runs/cancel", 1, {"run_id": run.run_id})
    begun = time.perf_counter()
    answer = there.ours.ask(line)
    taken = (time.perf_counter() - begun) * 1000
    if result_of(answer)["state"] != "CANCELLED":
        raise RuntimeError(f"it was not cancelled: {answer.decode()}")
    return taken


# More than Temporal takes.


def _large(there: TemporalPlace) -> Figure:
    goal = Goal("`execute` of 8 MB in and out, Temporal", "", "ms", 1000)
    return measure(goal, partial(_by_claim_check, there), times=5)


def _by_claim_check(there: TemporalPlace) -> float:
    text = base64.b64encode(os.urandom(LARGE_BYTES * 3 // 4)).decode()
    params = there.one_compose() | {"inputs": {"name": text}}
    line = request("execute", 1, params)
    begun = time.perf_counter()
    answer = there.ours.ask(line)
    taken = (time.perf_counter() - begun) * 1000
    result_of(answer)
    if text.encode() not in answer:
        raise RuntimeError("the answer does not hold the input")
    return taken


# Many runs at once.


def _burst(there: TemporalPlace) -> Figure:
    goal = Goal(
        f"{BURST} runs started at once, Temporal, {WORKERS} workers",
        "bare workflow and activity",
        "runs/s",
        higher_is_better=True,
    )
    return compare(goal, partial(_started_at_once, there), partial(_bare_at_once, there), pairs=1, is_warm=True)


def _started_at_once(there: TemporalPlace) -> float:
    lines = [request("start", number, there.one_compose()) for number in range(BURST)]
    before = there.ask_bare("completed", QUEUE)
    begun = time.perf_counter()
    there.ours.pump(lines, BURST)
    there.ask_bare("wait_until", {"queue": QUEUE, "completed": before + BURST})
    return BURST / (time.perf_counter() - begun)


def _bare_at_once(there: TemporalPlace) -> float:
    orders = [there.one_compose() for _ in range(BURST)]
    return BURST * 1000 / there.ask_bare("start_at_once", orders)


# A worker that is killed.


def _killed_worker(there: TemporalPlace) -> Figure:
    runs: list[PatientRun] = []
    while len(lost := there.runs_of_one_worker(runs)) < LOST:
        runs.append(there.start_patient())
        runs[-1].wait_until_begun(1)
        # So that Temporal's timers of each run are at another point.
        time.sleep(random.uniform(0, 2 * HEARTBEAT_S))
    taken = _begun_again(there, lost)
    for run in runs:
        run.let_go()
        there.wait_for(run.run_id)
    return of_times(Goal(f"a killed worker's run going again, the slowest of {LOST}", "", "s", 5), taken, max)


def _begun_again(there: TemporalPlace, lost: list[PatientRun]) -> list[float]:
    """The times from SIGKILL of the worker until the Python of each of its runs has begun on the other one."""
    begun = time.perf_counter()
    there.kill_worker_of(lost[0])
    taken: dict[str, float] = {}

    def look() -> bool:
        for run in lost:
            if run.times_begun > 1:
                taken.setdefault(run.run_id, time.perf_counter() - begun)
        return len(taken) == len(lost)

    until(look, "runs that begin again")
    return list(taken.values())


# A Temporal server that is not there.


def _unreachable(place: Place, folder: Path) -> list[Figure]:
    with socket.socket() as nobody, socket.create_server(("127.0.0.1", 0)) as mute:
        # Bound and not listening: nobody else gets the port, and nobody is there.
        nobody.bind(("127.0.0.1", 0))
        return [_refused(place, folder, *peer) for peer in (("cannot be reached", nobody), ("never answers", mute))]


def _refused(place: Place, folder: Path, how: str, peer: socket.socket) -> Figure:
    """The first call of a new server, whose engine is still on its way."""
    port = peer.getsockname()[1]
    config = write_config(folder / f"{port}.toml", address=f"127.0.0.1:{port}")
    with server(place, config) as ours:
        taken = _refusal(ours, "start", one_compose(0))
    return of_times(Goal(f"the first `start` refused where the Temporal server {how}", "", "s", 3), [taken])


def _refusal(ours: LineServer, method: str, params: dict[str, Any]) -> float:
    """The time to the answer of a call that Temporal would have to answer."""
    line = request(method, 1, params)
    begun = time.perf_counter()
    answer = ours.ask(line)
    taken = time.perf_counter() - begun
    if json.loads(answer).get("error", {}).get("code") != UNAVAILABLE:
        raise RuntimeError(f"it was not refused as unreachable: {answer.decode()}")
    return taken
