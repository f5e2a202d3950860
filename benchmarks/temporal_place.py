"""Our server and workers on a Temporal server, a bare client and bare workers beside them, and runs that wait."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil

from benchmarks.figures import BIN, PEERS, SERVE, one_compose
from benchmarks.line_server import LineServer, line_server, request, result_of
from benchmarks.place import Place
from benchmarks.processes import spawned

QUEUE = "bench"
WORKERS = 2
_AT_ONCE = 8
_TEMPORAL = ["--orchestration-mode", "temporal", "--allow-python"]
_BARE = [sys.executable, str(PEERS / "bare_temporal.py")]
_PATIENT = Path(__file__).parent / "patient"
_LOOK_S = 0.005
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class PatientRun:
    """A run that says when it begins, and waits until it is let go."""

    run_id: str
    place: Path

    @property
    def engines(self) -> list[int]:
        """The process of each engine in which the method's Python began."""
        file = self.place.with_suffix(".begun")
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    @property
    def times_begun(self) -> int:
        """How often the method's Python began."""
        return len(self.engines)

    def wait_until_begun(self, times: int) -> None:
        """Wait until the method's Python has begun so many times."""
        until(lambda: self.times_begun >= times, f"a run that begins {times} times")

    def let_go(self) -> None:
        """Let it end."""
        self.place.with_suffix(".go").touch()


@dataclass
class TemporalPlace:
    """All that runs on one Temporal server."""

    place: Place
    folder: Path
    config: Path
    ours: LineServer
    bare: LineServer
    stack: ExitStack
    workers: dict[int, Popen[bytes]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def one_compose(self) -> dict[str, Any]:
        """The params of a run that is like no other."""
        return one_compose(next(self.numbers))

    def start(self, params: dict[str, Any]) -> str:
        """Start a run; its id."""
        return str(result_of(self.ours.ask(request("start", 1, params)))["pipeline_run_id"])

    def wait_for(self, run_id: str) -> None:
        """Wait for a run that is completed in the end."""
        result_of(self.ours.ask(request("runs/result", 1, {"run_id": run_id, "wait_s": _PATIENCE_S})))

    def start_patient(self) -> PatientRun:
        """Start a run that waits."""
        place = self.folder / f"patient-{next(self.numbers)}"
        files = {path.name: path.read_text(encoding="utf-8") for path in _PATIENT.glob("*.*")}
        return PatientRun(self.start({"files": files, "inputs": {"place": str(place)}}), place)

    def add_worker(self) -> None:
        """One of ours more."""
        command = [str(BIN / "mthds-rpc"), "worker", *_TEMPORAL, "--config", str(self.config)]
        log = self.stack.enter_context((self.folder / f"worker-{next(self.numbers)}.log").open("wb"))
        process = self.stack.enter_context(spawned(command, self.place, stderr=log))
        self.workers[process.pid] = process

    def worker_of(self, run: PatientRun) -> Popen[bytes]:
        """The worker that has a run, which goes on."""
        return self.workers[psutil.Process(run.engines[0]).ppid()]

    def runs_of_one_worker(self, runs: Sequence[PatientRun]) -> list[PatientRun]:
        """Those of the worker that has the most of them."""
        by_worker: dict[int, list[PatientRun]] = {}
        for run in runs:
            by_worker.setdefault(self.worker_of(run).pid, []).append(run)
        return max(by_worker.values(), key=len, default=[])

    def kill_worker_of(self, run: PatientRun) -> None:
        """As a crash would."""
        worker = self.worker_of(run)
        worker.kill()
        worker.wait()

    def warm_up(self) -> None:
        """Have each worker run the patient method. Raises TimeoutError."""
        cold = set(self.workers)

        def run_some() -> bool:
            # One alone would be given to the same worker again and again.
            runs = [self.start_patient() for _ in range(_AT_ONCE)]
            for run in runs:
                run.wait_until_begun(1)
                cold.discard(self.worker_of(run).pid)
            for run in runs:
                run.let_go()
                self.wait_for(run.run_id)
            return not cold

        until(run_some, "a run on each worker")

    def ask_bare(self, what: str, params: Any) -> float:
        """What the bare client says."""
        return float(self.bare.ask(json.dumps({"method": what, "params": params}).encode() + b"\n"))


@contextmanager
def temporal_place(place: Place, folder: Path, address: str) -> Iterator[TemporalPlace]:
    """One server and two workers of ours, warm, with a client and two workers that are bare."""
    config = write_config(
        folder / "bench.toml", address=address, task_queue=QUEUE, artifact_store=str(folder / "store")
    )
    with ExitStack() as stack:
        ours = stack.enter_context(server(place, config))
        bare = stack.enter_context(line_server([*_BARE, "client", address], place))
        there = TemporalPlace(place, folder, config, ours, bare, stack)
        for _ in range(WORKERS):
            there.add_worker()
            stack.enter_context(spawned([*_BARE, "worker", address], place))
        there.warm_up()
        yield there


@contextmanager
def server(place: Place, config: Path, *flags: str) -> Iterator[LineServer]:
    """A server of ours."""
    with line_server([*SERVE, *_TEMPORAL, "--config", str(config), *flags], place) as ours:
        result_of(ours.ask(request("version", 1)))
        yield ours


def write_config(file: Path, **settings: str) -> Path:
    """A file for --config; what it does not name is as shipped."""
    values = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    file.write_text(f"[rpc_temporal]\n{values}", encoding="utf-8")
    return file


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that is no message. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(_LOOK_S)
