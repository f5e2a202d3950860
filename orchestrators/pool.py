"""Engine child processes: spawned, watched, routed to, cancelled, replaced."""

import logging
import shutil
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from orchestrators.contract import EventSink
from orchestrators.engine.options import EngineOptions
from orchestrators.engine_process import EngineGone, EngineProcess
from orchestrators.run_problems import run_lost, run_timed_out
from schemas.canonical import digest_of
from schemas.method_source import MethodSource
from schemas.problem import ProblemError, problem_error
from schemas.runs import RunEvent, RunRequest, RunResult
from schemas.validation import ValidateRequest, ValidationVerdict

logger = logging.getLogger(__name__)

# One job more than this in every engine of a lane, and another engine is worth its boot.
_BUSY = 2
_ATTEMPTS = 2
_PASSED_KEPT = 1024


@dataclass(frozen=True)
class Lane:
    """Which engines may serve a job: the shared ones, one Python tree's, or those booted under one orchestrator."""

    key: str = "shared"
    max_engines: int | None = None
    boot_orchestrator: str | None = None


SHARED = Lane()


@dataclass(frozen=True)
class PoolSettings:
    """How engines are kept. Durations in seconds, paths absolute."""

    state_dir: Path
    max_engines: int = 2
    max_lanes: int = 4
    """Python trees and bridged orchestrators that keep an engine at once."""
    allow_python: bool = False
    cancel_grace_s: float = 1.0
    """How long a cancelled job may take to stop before its engine is killed."""
    boot_timeout_s: float = 60.0
    project_config_dir: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = lambda line: print(line, file=sys.stderr)  # noqa: T201
    """Takes each line that an engine, or a method in it, prints."""
    redact: Callable[[Any], Any] = lambda value: value
    """Masks secrets in a JSON value: in whatever an engine tells but the results of runs."""
    safe_cut: Callable[[str], int] = len
    """How much of a line may be reported before the rest of it has come."""


class EnginePool:
    """The engines of one server or worker."""

    def __init__(self, settings: PoolSettings, directory: Path, tasks: TaskGroup) -> None:
        self._settings = settings
        self._directory = directory
        self._tasks = tasks
        self._engines: dict[str, list[EngineProcess]] = {}
        self._lane_used: dict[str, float] = {}
        self._spawned = 0
        self._is_closing = False
        self._changed = anyio.Event()
        self._passed: OrderedDict[tuple[str, str | None, str], None] = OrderedDict()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PoolSettings) -> AsyncIterator[Self]:
        """A pool for the block; at its end every engine has ended and every temporary file is gone."""
        with tempfile.TemporaryDirectory(prefix="mthds-rpc-", ignore_cleanup_errors=True) as directory:
            async with anyio.create_task_group() as tasks:
                pool = cls(settings, Path(directory), tasks)
                try:
                    yield pool
                finally:
                    pool._is_closing = True
                    tasks.cancel_scope.cancel()

    def prestart(self) -> None:
        """Begin to boot the first shared engine, without waiting for it."""
        if not self._engines.get(SHARED.key):
            self._spawn(SHARED)

    async def execute(self, run: RunRequest, events: EventSink | None, lane: Lane = SHARED) -> RunResult:
        """Run to the end; cancelling the caller cancels the run, promptly.

        Raises `ProblemError`: the run's own problem, `run.timed_out`, `run.lost`, or `runtime.*` where no engine boots.
        """
        return RunResult.model_validate(await self.run_operation("execute", run, events, lane))

    async def run_operation(
        self, operation: str, run: RunRequest, events: EventSink | None, lane: Lane = SHARED
    ) -> Any:
        """Like `execute`, for another operation that takes a `RunRequest` and ends by its deadline."""
        payload = run.model_dump(mode="json", exclude_none=True)
        with anyio.CancelScope(deadline=_loop_time(run.deadline)) as scope:
            return await self._submit(operation, payload, run.method, lane, events, run.run_id)
        if scope.cancelled_caught:
            limit = (run.deadline or run.created_at) - run.created_at
            raise ProblemError(run_timed_out(run.run_id, limit))
        raise AssertionError("unreachable")

    async def validate(self, request: ValidateRequest, lane: Lane = SHARED) -> ValidationVerdict:
        """Judge a method. Raises `ProblemError` only where no verdict could be produced."""
        payload = request.model_dump(mode="json", exclude_none=True)
        return ValidationVerdict.model_validate(await self.ask("validate", payload, lane, request.method))

    async def check(self, run: RunRequest) -> None:
        """Load the method and find its entry pipe; raises `ProblemError` where a run would be refused.

        What passed once is not looked at again: the same content passes always.
        """
        passed = (digest_of(run.method), run.pipe_code, run.run_mode)
        if passed in self._passed:
            self._passed.move_to_end(passed)
            return
        await self._submit("check", run.model_dump(mode="json", exclude_none=True), run.method, SHARED)
        self._passed[passed] = None
        if len(self._passed) > _PASSED_KEPT:
            self._passed.popitem(last=False)

    def end_lane(self, lane: Lane) -> None:
        """End the idle engines of a lane that is not used again."""
        for key, engines in self._engines.items():
            if key == lane.key or key.startswith(f"{lane.key}:"):
                for engine in engines:
                    if engine.load == 0:
                        engine.kill()

    async def ask(
        self, operation: str, payload: dict[str, Any], lane: Lane = SHARED, method: MethodSource | None = None
    ) -> Any:
        """Any other operation of an engine; `method` is given where the operation loads one."""
        return self._settings.redact(await self._submit(operation, payload, method, lane))

    async def _submit(
        self,
        operation: str,
        payload: dict[str, Any],
        method: MethodSource | None,
        lane: Lane,
        events: EventSink | None = None,
        run_id: str | None = None,
    ) -> Any:
        digest = digest_of(method) if method is not None else ""
        if method is not None and (python := method.python_files):
            lane = self._python_lane(lane, f"{digest}:{_use(operation, payload)}", python[0])
        listener = None if events is None else _event_reader(events)
        for attempt in range(1, _ATTEMPTS + 1):
            job = None
            try:
                engine = await self._engine_for(lane, digest)
                job = engine.begin(operation, payload, digest, listener)
                return await engine.outcome(job, self._settings.cancel_grace_s)
            except EngineGone as gone:
                if attempt == _ATTEMPTS or (job is not None and job.begun):
                    raise ProblemError(run_lost(run_id, _engine_ended(gone))) from gone
                logger.info("an engine ended before a job had begun; trying another")
        raise AssertionError("unreachable")

    def _python_lane(self, lane: Lane, use: str, file: str) -> Lane:
        if not self._settings.allow_python:
            raise _python_refused(file)
        return replace(lane, key=f"{lane.key}:python:{use}", max_engines=1)

    async def _engine_for(self, lane: Lane, digest: str) -> EngineProcess:
        """A ready engine of `lane`: one that holds the method already, else the least busy."""
        self._lane_used[lane.key] = time.monotonic()
        while True:
            engines = self._engines.get(lane.key, [])
            ready = [engine for engine in engines if engine.is_ready]
            if not ready or min(engine.load for engine in ready) >= _BUSY:
                self._grow(lane)
            if ready:
                least = min(engine.load for engine in ready)
                holders = [engine for engine in ready if digest in engine.digests and engine.load <= least + _BUSY]
                chosen = min(holders or ready, key=lambda engine: engine.load)
                if digest:
                    chosen.digests.add(digest)
                return chosen
            await self._first_ready(lane)

    def _grow(self, lane: Lane) -> None:
        engines = self._engines.setdefault(lane.key, [])
        if any(engine.is_starting for engine in engines) or len(engines) >= (
            lane.max_engines or self._settings.max_engines
        ):
            return
        if lane.key != SHARED.key:
            self._make_room()
        if not self._adopt(lane):
            self._spawn(lane)

    def _adopt(self, lane: Lane) -> bool:
        """Whether `lane` was given a shared engine: one that holds nothing yet serves any lane, and need not boot."""
        if lane.key == SHARED.key or lane.boot_orchestrator is not None:
            return False
        for engine in self._engines.get(SHARED.key, []):
            if engine.is_unused:
                self._engines[SHARED.key].remove(engine)
                self._engines[lane.key].append(engine)
                return True
        return False

    async def _first_ready(self, lane: Lane) -> None:
        engines = self._engines.get(lane.key, [])
        starting = [engine for engine in engines if engine.is_starting]
        if starting:
            await starting[0].wait_ready()
        elif not any(engine.is_ready for engine in engines):
            # Every place is taken by an engine that is about to end.
            await self._changed.wait()

    def _make_room(self) -> None:
        """End the idle engine of the lane that was used the longest ago, where too many lanes keep one."""
        extra = [key for key, engines in self._engines.items() if key != SHARED.key and engines]
        if len(extra) < self._settings.max_lanes:
            return
        for key in sorted(extra, key=lambda key: self._lane_used.get(key, 0.0)):
            if all(engine.is_ready and engine.load == 0 for engine in self._engines[key]):
                for engine in self._engines[key]:
                    engine.kill()
                return

    def _spawn(self, lane: Lane) -> None:
        if self._is_closing:
            # What is started in tasks that are already cancelled may never end.
            raise EngineGone("this process ends")
        self._spawned += 1
        work_dir = self._directory / f"engine-{self._spawned}"
        options = EngineOptions(
            work_dir=str(work_dir),
            artifacts_dir=str(self._settings.state_dir / "artifacts"),
            project_config_dir=_text(self._settings.project_config_dir),
            environment=self._settings.environment,
            boot_orchestrator=lane.boot_orchestrator,
        )
        settings = self._settings
        engine = EngineProcess(options, settings.report, settings.redact, settings.safe_cut)
        self._engines.setdefault(lane.key, []).append(engine)
        self._tasks.start_soon(self._keep, engine, name=f"engine {self._spawned}")

    async def _keep(self, engine: EngineProcess) -> None:
        try:
            await engine.run(self._settings.boot_timeout_s)
        finally:
            next(engines for engines in self._engines.values() if engine in engines).remove(engine)
            self._changed.set()
            self._changed = anyio.Event()
            shutil.rmtree(engine.options.work_dir, ignore_errors=True)


def _event_reader(events: EventSink) -> Callable[[dict[str, Any]], None]:
    def read(event: dict[str, Any]) -> None:
        events(RunEvent.model_validate(event))

    return read


def _use(operation: str, payload: dict[str, Any]) -> str:
    """What a job does with a method: Pipelex lets one process import one written copy of a tree's Python at a time."""
    return "validate" if operation.endswith("validate") else str(payload.get("run_mode", "live"))


def _loop_time(deadline: float | None) -> float:
    """An absolute wall-clock deadline on the event loop's clock."""
    return float("inf") if deadline is None else anyio.current_time() + deadline - time.time()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _engine_ended(gone: EngineGone) -> str:
    return f"The engine that held the run ended ({gone.reason}), so its outcome is not known."


def _python_refused(file: str) -> ProblemError:
    return problem_error(
        "pipelex.deployment.custom_code_requires_sandbox",
        "Python inside a method is not allowed here",
        f"The method holds Python, in {file!r}, which would run on this machine with your rights.",
        domain="operator",
        next_step=(
            "fix_configuration",
            "If you trust the method, start the server with --allow-python, or set `allow_python` under [engine] in"
            " rpc_override.toml.",
        ),
    )
