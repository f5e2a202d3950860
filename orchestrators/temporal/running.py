"""One run in a worker: its attempts in the engine pool, its event log, and what its activity answers."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from orchestrators import run_events
from orchestrators.artifact_scope import artifact_scope
from orchestrators.durable.attempt_isolation import AttemptIsolation
from orchestrators.engines.pool import EnginePool, Lane
from orchestrators.temporal import MODE
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.event_log import EventLog
from orchestrators.temporal.memo import Asked
from orchestrators.temporal.names import HANDED_BACK
from orchestrators.temporal.payloads import PayloadStore
from orchestrators.temporal.reading import RunSnapshot, take_snapshot
from schemas.json_types import Json
from schemas.problem import Problem, ProblemError, problem
from schemas.run_problems import run_given_up, run_id_taken, run_lost, run_timed_out, run_unexpected
from schemas.runs import RunEvent, RunRequest, RunResult, RunState

logger = logging.getLogger(__name__)


_KEPT_BYTES = 1_000_000
_FRESH_S = 10.0
_AGAIN_S = 0.5


@dataclass
class ActiveRun:
    """A run of this worker, from its first attempt here to its outcome."""

    run_id: str
    execution: str
    """Temporal's own id of it."""
    event_log: EventLog
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    cancel_asked: bool = False
    outcome: Json | None = None
    news: anyio.Event = field(default_factory=anyio.Event)
    ended_at: float | None = None
    """On the clock that only goes forward."""
    owner: object = None
    """The activity that waits for it."""

    @property
    def is_fresh(self) -> bool:
        """Whether it is running, or ended a moment ago."""
        return self.ended_at is None or time.monotonic() - self.ended_at < _FRESH_S

    @property
    def is_worth_keeping(self) -> bool:
        """Whether its outcome is final and small."""
        if self.outcome is None or self.outcome["state"] == HANDED_BACK:
            return False
        return int(self.outcome.get("result", {}).get("bytes", 0)) <= _KEPT_BYTES

    def append(self, event: RunEvent) -> None:
        """Take an event into the log, and wake up the activity."""
        self.event_log.append(event)
        self.notify()

    def notify(self) -> None:
        """Wake up the activity."""
        self.news.set()
        self.news = anyio.Event()


class Runner:
    """Runs what a worker is given."""

    def __init__(
        self,
        connection: Connection,
        pool: EnginePool,
        payloads: PayloadStore,
        artifacts: Path,
        max_attempts: int,
        redact: Callable[[Any], Any],
    ) -> None:
        """`artifacts` is where this machine has the files that runs make."""
        self._connection = connection
        self._pool = pool
        self._payloads = payloads
        self._artifacts = artifacts
        self._max_attempts = max_attempts
        self._redact = redact
        self._isolation = AttemptIsolation(pool, max_attempts)

    async def run(self, active: ActiveRun, order: Any, attempt: int) -> None:
        """Run until there is an outcome; `attempt` is the number of the first attempt here. Never raises."""
        try:
            active.outcome = await self._outcome(active, order, attempt)
        except Exception:  # noqa: BLE001 - the run must end after any failure
            logger.exception("a run failed with an unexpected exception")
            active.outcome = _ended(active, RunState.FAILED, run_unexpected(active.run_id))
        active.ended_at = time.monotonic()
        active.notify()

    async def _outcome(self, active: ActiveRun, order: Any, attempt: int) -> Json:
        try:
            request = await self._request(active, order)
        except ProblemError as error:
            return _ended(active, RunState.FAILED, error.problem)
        lost_attempt = active.event_log.attempt
        while attempt <= self._max_attempts:
            if request.deadline is not None and request.deadline <= time.time():
                limit = request.deadline - request.created_at
                return _ended(active, RunState.TIMED_OUT, run_timed_out(active.run_id, limit))
            async with self._isolation.engine(active.execution, lost_attempt) as lane:
                self._begin(active, attempt)
                outcome = await self._attempt(active, request, lane)
            if outcome is not None:
                return outcome
            lost_attempt, attempt = attempt, attempt + 1
        return _ended(active, RunState.FAILED, run_given_up(active.run_id, attempt - 1))

    async def _request(self, active: ActiveRun, order: Any) -> RunRequest:
        """The request to run. Raises `ProblemError` if it cannot be read, or is that of another run."""
        run_id, payload = active.run_id, order.get("request") if isinstance(order, dict) else None
        try:
            request = RunRequest.model_validate(await self._payloads.unpack(run_id, payload))
            asked = Asked.of(request)
        except (ValueError, RecursionError):
            # It is not a request, or is nested too deeply to be sent to an engine.
            logger.exception("the request of the run %s cannot be read", run_id)
            raise ProblemError(run_lost(run_id, run_events.UNREADABLE_REQUEST)) from None
        # The request names the files that the run may read, and anyone who may start workflows can write one.
        named, run = (request.run_id, request.orchestration_mode), await self._snapshot(active)
        if run is None or named != (run_id, MODE) or asked.digest != run.asked.digest:
            logger.error("the request that came for the run %s is another one's", run_id)
            raise run_id_taken(run_id)
        return request.model_copy(update={"execution": run.files_of})

    async def _snapshot(self, active: ActiveRun) -> RunSnapshot | None:
        """What Temporal knows of a run; None if it has no such run. Raises `ProblemError`."""
        while True:
            try:
                return await take_snapshot(self._connection, active.run_id, active.execution)
            except ProblemError as error:
                if error.problem.code == "run.not_found":
                    return None
                if error.problem.code != "runtime.unavailable":
                    raise
            await self._connection.wait_until_up()
            await anyio.sleep(_AGAIN_S)

    def requeued(self, active: ActiveRun) -> None:
        """Log that the worker of an earlier attempt was lost."""
        self._requeued(active, run_events.WORKER_LOST)

    def _begin(self, active: ActiveRun, attempt: int) -> None:
        now, event_log = time.time(), active.event_log
        event_log.attempt = attempt
        event_log.started_at = event_log.started_at or now
        active.append(run_events.started(active.run_id, time.time(), attempt))

    async def _attempt(self, active: ActiveRun, request: RunRequest, lane: Lane) -> Json | None:
        """The outcome of one attempt; None if its engine was lost and another attempt is due."""
        try:
            with active.scope:
                result = await self._pool.execute(request, lambda event: self._take(active, event), lane)
                return await self._completed(active, request, result)
        except ProblemError as error:
            return self._failed(active, error.problem)
        if active.cancel_asked:
            return _ended(active, RunState.CANCELLED, None)
        self._requeued(active, run_events.WORKER_STOPS)
        active.event_log.attempt -= 1
        return {"state": HANDED_BACK, "story": active.event_log.to_json()}

    async def _completed(self, active: ActiveRun, request: RunRequest, result: RunResult) -> Json:
        value = self._redact(result.model_dump(mode="json", exclude_none=True))
        try:
            payload = await self._payloads.pack(active.run_id, value)
            payload |= {"files": await self._share_files(request)}
        except ProblemError as error:
            return _ended(active, RunState.FAILED, _not_kept(active.run_id, error.problem))
        return _ended(active, RunState.COMPLETED, None) | {"result": payload}

    async def _share_files(self, run: RunRequest) -> int:
        """Copy the files of a run into the artifact store; returns how many they are."""
        assert run.execution is not None
        folder = self._artifacts / artifact_scope(run.run_id, MODE, "", run.execution)
        if self._payloads.store is None or not await anyio.Path(folder).is_dir():
            return 0
        return await anyio.to_thread.run_sync(self._payloads.store.put_files, run.run_id, run.execution, folder)

    def _failed(self, active: ActiveRun, problem: Problem) -> Json | None:
        if active.cancel_asked:
            return _ended(active, RunState.CANCELLED, None)
        if problem.code == "run.lost":
            self._requeued(active, run_events.ENGINE_LOST)
            return None
        return _ended(active, run_events.final_state(problem), Problem.model_validate(self._redact(problem.to_wire())))

    def _take(self, active: ActiveRun, event: RunEvent) -> None:
        masked = self._redact(event.model_dump(mode="json", exclude_none=True))
        active.append(RunEvent.model_validate({**masked, "attempt": active.event_log.attempt}))

    def _requeued(self, active: ActiveRun, why: str) -> None:
        active.append(run_events.requeued(active.run_id, time.time(), active.event_log.attempt, why))


def _ended(active: ActiveRun, state: RunState, problem: Problem | None) -> Json:
    """An outcome: how the run ended, in the members of `memo.Ended`, and its event log."""
    event_log = active.event_log.to_json()
    figures = {name: value for name, value in event_log.items() if name not in ("events", "message")}
    outcome = figures | {"state": state.value, "finished_at": time.time(), "story": event_log}
    return outcome if problem is None else outcome | {"problem": problem.to_wire()}


def _not_kept(run_id: str, too_large: Problem) -> Problem:
    size = (too_large.params or {}).get("size")
    return problem(
        "run.results_not_stored",
        f"The run completed, and its result of {size:,} bytes is too large for Temporal."
        if size
        else "The run completed, and its result could not be kept.",
        next_step=(
            "fix_configuration",
            "Set `artifact_store` in rpc_temporal.toml for server and workers alike, then run it again.",
        ),
        domain="operator",
        params={"pipeline_run_id": run_id},
        run_id=run_id,
    )
