"""Engine child processes: spawned, watched, routed to, cancelled, replaced."""

import json
import logging
import shutil
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from pydantic import ValidationError

from orchestrators.contract import EventSink
from orchestrators.engine.options import EngineOptions
from orchestrators.engine_memory import resident_by_session
from orchestrators.engine_problems import engine_lost, no_answer_in_time, python_refused
from orchestrators.engine_process import Answer, EngineGone, EngineProcess, JobWithdrawn, Listener
from orchestrators.run_problems import run_lost, run_timed_out
from schemas.canonical import digest_of
from schemas.method_source import MethodSource
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunRequest, RunResult
from schemas.validation import ValidateRequest, ValidationVerdict

logger = logging.getLogger(__name__)

# One job more than this in every engine of a lane, and another engine is worth its boot.
_BUSY = 2
_ATTEMPTS = 2
_PASSED_KEPT = 1024
_MEMORY_LOOK_S = 0.5
_NOT_NEEDED = "it was not needed any more"


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
    """How long a cancelled job may take to stop before its engine takes nothing new."""
    boot_timeout_s: float = 60.0
    unresponsive_s: float = 300.0
    """How long an engine may give no sign of life before it is ended with all its jobs."""
    verdict_timeout_s: float = 60.0
    """How long a verdict, a signature, a dry run and whatever else is no live run may take."""
    max_dry_steps: int = 20_000
    """How many pipes a verdict or a dry run may start."""
    max_memory_mb: int = 0
    """Resident memory of an engine and what it started; 0 for no limit."""
    project_config_dir: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = lambda line: print(line, file=sys.stderr)  # noqa: T201
    """Takes each line that an engine, or a method in it, prints."""
    redact: Callable[[Any], Any] = lambda value: value
    """Masks secrets in a JSON value: in whatever an engine tells but the results of runs."""
    safe_cut: Callable[[str], int] = len
    """How much of a line may be reported before the rest of it has come."""


@dataclass(frozen=True)
class FramedResult:
    """A run's result, and the bytes it came in: they take a fraction of the memory."""

    result: RunResult
    frame: bytes

    @staticmethod
    def opened(frame: bytes) -> RunResult:
        """The result that came in `frame`."""
        return RunResult.model_validate(json.loads(frame)["result"])


@dataclass(frozen=True)
class _Order:
    """What is asked of any engine of a lane."""

    operation: str
    payload: dict[str, Any]
    method: MethodSource | None
    lane: Lane
    deadline: float
    """On the loop's clock."""
    events: EventSink | None = None
    run_id: str | None = None

    def lost(self, gone: EngineGone) -> ProblemError:
        """What its caller is told once it may not be tried again."""
        return engine_lost(gone.reason) if self.run_id is None else ProblemError(run_lost(self.run_id, _lost(gone)))


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
                if settings.max_memory_mb:
                    tasks.start_soon(pool._watch_memory, name="engine memory")
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
        return (await self.execute_framed(run, events, lane)).result

    async def execute_framed(
        self, run: RunRequest, events: EventSink | None, lane: Lane = SHARED, operation: str = "execute"
    ) -> FramedResult:
        """Like `execute`, or another operation that gives a `RunResult`; also gives it in the form to keep it in."""
        answer = await self._run(operation, run, events, lane)
        try:
            return FramedResult(RunResult.model_validate(answer.value), answer.frame)
        except ValidationError as error:
            logger.error("an engine gave no result of a run: %s", error)
            raise ProblemError(run_lost(run.run_id, "The engine's answer cannot be read.")) from error

    async def run_operation(
        self, operation: str, run: RunRequest, events: EventSink | None, lane: Lane = SHARED
    ) -> Any:
        """Like `execute`, for another operation that takes a `RunRequest` and ends by its deadline."""
        return (await self._run(operation, run, events, lane)).value

    async def _run(self, operation: str, run: RunRequest, events: EventSink | None, lane: Lane) -> Answer:
        payload = run.model_dump(mode="json", exclude_none=True)
        now, limit_s = time.time(), self._settings.verdict_timeout_s
        left_s = float("inf") if run.deadline is None else run.deadline - now
        is_cut = run.run_mode == "dry" and limit_s < left_s
        deadline = anyio.current_time() + (limit_s if is_cut else left_s)
        order = _Order(operation, payload, run.method, lane, deadline, events, run.run_id)
        answer = await self._submit(order)
        if answer is None:
            limit = limit_s if is_cut else (run.deadline or run.created_at) - run.created_at
            raise ProblemError(run_timed_out(run.run_id, limit, "verdict_timeout_s" if is_cut else "timeout_s"))
        return answer

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
        await self.ask("check", run.model_dump(mode="json", exclude_none=True), method=run.method)
        self._passed[passed] = None
        if len(self._passed) > _PASSED_KEPT:
            self._passed.popitem(last=False)

    def end_lane(self, lane: Lane) -> None:
        """End the idle engines of a lane that is not used again."""
        for key, engines in self._engines.items():
            if key == lane.key or key.startswith(f"{lane.key}:"):
                for engine in engines:
                    if engine.load == 0:
                        engine.kill(_NOT_NEEDED)

    async def ask(
        self, operation: str, payload: dict[str, Any], lane: Lane = SHARED, method: MethodSource | None = None
    ) -> Any:
        """Any other operation of an engine; `method` is given where the operation loads one.

        Raises `ProblemError` also where no engine has answered within `verdict_timeout_s`.
        """
        limit_s = self._settings.verdict_timeout_s
        answer = await self._submit(_Order(operation, payload, method, lane, anyio.current_time() + limit_s))
        if answer is None:
            raise no_answer_in_time(limit_s)
        return self._settings.redact(answer.value)

    async def _submit(self, order: _Order) -> Answer | None:
        """What an engine answers; None once the deadline has passed. Raises `ProblemError`."""
        digest = digest_of(order.method) if order.method is not None else ""
        lane = order.lane
        if order.method is not None and (python := order.method.python_files):
            lane = self._python_lane(lane, f"{digest}:{_use(order.operation, order.payload)}", python[0])
        listener = None if order.events is None else _event_reader(order.events)
        with anyio.CancelScope(deadline=order.deadline):
            return await self._try(order, lane, digest, listener)
        return None

    async def _try(self, order: _Order, lane: Lane, digest: str, listener: Listener | None) -> Answer:
        lost = 0
        while True:
            job = None
            try:
                engine = await self._engine_for(lane, digest)
                job = engine.begin(order.operation, order.payload, digest, listener)
                return await engine.outcome(job, self._settings.cancel_grace_s, order.deadline)
            except JobWithdrawn:
                logger.warning("an engine does not answer; a job that it had not taken up goes to another")
            except EngineGone as gone:
                lost += 1
                if lost == _ATTEMPTS or (job is not None and job.begun):
                    raise order.lost(gone) from gone
                logger.info("an engine ended before a job had begun; trying another")

    def _python_lane(self, lane: Lane, use: str, file: str) -> Lane:
        if not self._settings.allow_python:
            raise python_refused(file)
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
        most = lane.max_engines or self._settings.max_engines
        staying = sum(not engine.is_leaving for engine in engines)
        # Engines that take nothing new may be there for long; as many again stand in for them.
        if any(engine.is_starting for engine in engines) or staying >= most or len(engines) >= 2 * most:
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
                    engine.kill(_NOT_NEEDED)
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
            max_dry_steps=self._settings.max_dry_steps,
        )
        settings = self._settings
        engine = EngineProcess(
            options,
            settings.report,
            settings.redact,
            settings.safe_cut,
            unresponsive_s=settings.unresponsive_s,
            changed=self._wake,
        )
        self._engines.setdefault(lane.key, []).append(engine)
        self._tasks.start_soon(self._keep, engine, name=f"engine {self._spawned}")

    async def _keep(self, engine: EngineProcess) -> None:
        try:
            await engine.run(self._settings.boot_timeout_s)
        except Exception:  # noqa: BLE001 - one engine must not take the others with it
            logger.exception("an engine could not be looked after; it was ended")
        finally:
            self._forget(engine)
            self._wake()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(partial(shutil.rmtree, engine.options.work_dir, ignore_errors=True))

    def _forget(self, engine: EngineProcess) -> None:
        for key, engines in list(self._engines.items()):
            if engine in engines:
                engines.remove(engine)
            if not engines:
                del self._engines[key]
                self._lane_used.pop(key, None)

    def _wake(self) -> None:
        """Let whoever waits for a place look again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def _watch_memory(self) -> None:
        """End each engine that has more memory than it may. Where the system does not tell, nothing is done."""
        most = self._settings.max_memory_mb
        while True:
            await anyio.sleep(_MEMORY_LOOK_S)
            engines = [engine for lane in self._engines.values() for engine in lane if engine.pid is not None]
            if not engines:
                continue
            resident = await anyio.to_thread.run_sync(resident_by_session)
            if resident is None:
                logger.warning("`max_memory_mb` is not kept: this system does not tell what its processes take")
                return
            for engine in engines:
                if engine.pid is not None and resident.get(engine.pid, 0) > most * 1_000_000:
                    logger.error("an engine has more than the %d MB that it may; it is ended", most)
                    engine.kill(f"it had more than the {most:,} MB of memory that `max_memory_mb` allows")


def _event_reader(events: EventSink) -> Listener:
    def read(event: dict[str, Any]) -> None:
        try:
            events(RunEvent.model_validate(event))
        except Exception:  # noqa: BLE001 - an event that nobody can take costs itself alone
            logger.exception("an event of a run was left out")

    return read


def _use(operation: str, payload: dict[str, Any]) -> str:
    """What a job does with a method: Pipelex lets one process import one written copy of a tree's Python at a time."""
    return "validate" if operation.endswith("validate") else str(payload.get("run_mode", "live"))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _lost(gone: EngineGone) -> str:
    return f"The engine that held the run ended ({gone.reason}), so its outcome is not known."
