"""The requests to engines: which engine serves one, for how long, and what its caller gets."""

import json
import logging
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup
from pydantic import ValidationError

from orchestrators.engines.engine_problems import engine_lost, no_answer_in_time, python_refused
from orchestrators.engines.engine_process import Answer, EngineGone, JobWithdrawn, Listener
from orchestrators.engines.lanes import SHARED, Lane, Lanes, PoolSettings
from orchestrators.plugins.contract import EventSink, PluginContext
from schemas.canonical import digest_of
from schemas.method_source import MethodSource
from schemas.problem import ProblemError
from schemas.run_problems import run_lost, run_timed_out
from schemas.runs import RunEvent, RunRequest, RunResult
from schemas.validation import ValidateRequest, ValidationVerdict

logger = logging.getLogger(__name__)

__all__ = ["SHARED", "EnginePool", "FramedResult", "Lane", "PoolSettings"]

_ATTEMPTS = 2
_PASSED_KEPT = 1024


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
    """A request to any engine of a lane."""

    operation: str
    payload: dict[str, Any]
    method: MethodSource | None
    lane: Lane
    deadline: float
    """On the loop's clock."""
    events: EventSink | None = None
    run_id: str | None = None

    def lost(self, gone: EngineGone) -> ProblemError:
        """What the caller gets if it may not be tried again."""
        return engine_lost(gone.reason) if self.run_id is None else ProblemError(run_lost(self.run_id, _lost(gone)))


class EnginePool:
    """The engines of one server or worker."""

    def __init__(self, settings: PoolSettings, directory: Path, tasks: TaskGroup) -> None:
        self._settings = settings
        self._engines = Lanes(settings, directory, tasks)
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
                    pool._engines.close()
                    tasks.cancel_scope.cancel()

    def prestart(self) -> None:
        """Begin to boot the first shared engine, without waiting for it."""
        self._engines.prestart()

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
        now, limit_s = time.time(), self._settings.engine.verdict_timeout_s
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
        """Validate a method. Raises `ProblemError` only if there is no verdict."""
        payload = request.model_dump(mode="json", exclude_none=True)
        return ValidationVerdict.model_validate(await self.ask("validate", payload, lane, request.method))

    async def check(self, run: RunRequest) -> None:
        """Load the method and find its entry pipe; raises `ProblemError` where a run would be refused.

        Content that passed once is not checked again: it always passes.
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
        self._engines.end_lane(lane)

    async def ask(
        self, operation: str, payload: dict[str, Any], lane: Lane = SHARED, method: MethodSource | None = None
    ) -> Any:
        """Any other operation of an engine; `method` is given where the operation loads one.

        Raises `ProblemError` also where no engine has answered within `verdict_timeout_s`.
        """
        limit_s = self._settings.engine.verdict_timeout_s
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
                engine = await self._engines.ready_for(lane, digest)
                job = engine.begin(order.operation, order.payload, digest, listener)
                return await engine.outcome(job, self._settings.engine.cancel_grace_s, order.deadline)
            except JobWithdrawn:
                logger.warning("an engine does not answer; a job that it had not taken up goes to another")
            except EngineGone as gone:
                lost += 1
                if lost == _ATTEMPTS or (job is not None and job.begun):
                    raise order.lost(gone) from gone
                logger.info("an engine ended before a job had begun; trying another")

    def _python_lane(self, lane: Lane, use: str, file: str) -> Lane:
        if not self._settings.engine.allow_python:
            raise python_refused(file)
        return replace(lane, key=f"{lane.key}:python:{use}", max_engines=1)


def pool_of(context: PluginContext) -> EnginePool:
    """The pool behind `context.engines`, for our own orchestrators: they choose lanes."""
    if not isinstance(context.engines, EnginePool):
        raise TypeError(f"an engine pool is needed, not {type(context.engines).__name__}")
    return context.engines


def _event_reader(events: EventSink) -> Listener:
    def read(event: dict[str, Any]) -> None:
        try:
            events(RunEvent.model_validate(event))
        except Exception:  # noqa: BLE001 - if an event cannot be delivered, only that event is lost
            logger.exception("an event of a run was left out")

    return read


def _use(operation: str, payload: dict[str, Any]) -> str:
    """What a job does with a method: Pipelex lets one process import one written copy of a tree's Python at a time."""
    return "validate" if operation.endswith("validate") else str(payload.get("run_mode", "live"))


def _lost(gone: EngineGone) -> str:
    return f"The engine that held the run ended ({gone.reason}), so its outcome is not known."
