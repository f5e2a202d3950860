"""One run in a worker: its attempts, its events and its end, also while the database is away."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
import anyio.to_thread
import sqlalchemy as sa

from orchestrators.dbos import transitions
from orchestrators.dbos.clock import Clock
from orchestrators.dbos.database import Database
from orchestrators.dbos.rows import DamagedRow
from orchestrators.dbos.transitions import Claim, ClaimLost, Pipes
from orchestrators.durable.attempt_isolation import AttemptIsolation
from orchestrators.durable.backoff import Backoff
from orchestrators.engines.pool import EnginePool, Lane
from schemas.canonical import request_digest
from schemas.problem import Problem, ProblemError
from schemas.run_problems import run_cancelled, run_timed_out, run_unexpected
from schemas.runs import RunEvent, RunRequest, RunResult

logger = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

# Events that come together are kept together.
_GATHER_S = 0.02
_LOOK_S = 0.05


@dataclass
class ActiveRun:
    """A run that this worker runs."""

    claim: Claim
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    cancel_asked: bool = False
    lost: ClaimLost | DamagedRow | None = None
    """Why it is not this worker's any more."""
    is_handed_back: bool = False


class Runner:
    """Runs what a worker is given. The same run may be given twice: an ended run is not changed."""

    def __init__(
        self,
        database: Database,
        pool: EnginePool,
        executor: str,
        max_attempts: int,
        redact: Callable[[Any], Any],
        clock: Clock,
    ) -> None:
        self._database = database
        self._pool = pool
        self._executor = executor
        self._max_attempts = max_attempts
        self._redact = redact
        self._clock = clock
        self.in_hand: set[str] = set()
        """Every run between its dispatch and its end here, those between two attempts among them."""
        self.active: dict[str, ActiveRun] = {}
        self.is_stopping = False
        """Whether nothing is begun any more."""
        self._isolation = AttemptIsolation(pool, max_attempts)
        self._became_active = anyio.Event()

    async def run(self, request: RunRequest) -> bool:
        """Run to the end; false if the run was handed back instead."""
        if request.run_id in self.in_hand:
            # DBOS handed it out twice; the first call continues.
            await anyio.sleep_forever()
        self.in_hand.add(request.run_id)
        try:
            # In a thread, since a large method takes long.
            digest = await anyio.to_thread.run_sync(request_digest, request)
            return await self._take_to_its_end(request, digest)
        except DamagedRow as damage:
            logger.error("%s; it ends as failed", damage)
            await self.surely(transitions.end_damaged, request.run_id, damage.what, time.time())
            return True
        finally:
            self.in_hand.discard(request.run_id)

    async def _take_to_its_end(self, request: RunRequest, digest: str) -> bool:
        """Raises `DamagedRow`."""
        lost_attempt = 0
        while True:
            async with self._isolation.engine(request.run_id, lost_attempt) as lane:
                if self.is_stopping:
                    return False
                claim = await self.surely(self._begin, request, digest)
                if claim is None:
                    return True
                active = self.active[request.run_id] = ActiveRun(claim)
                self._became_active.set()
                try:
                    if await self._attempt(request, active, lane):
                        return not active.is_handed_back
                except ClaimLost:
                    return True
                finally:
                    del self.active[request.run_id]
                lost_attempt = claim.attempt

    async def hand_back(self, drain_s: float) -> None:
        """Begin nothing more, let runs continue for `drain_s`, then stop them; return once no run is left."""
        self.is_stopping = True
        with anyio.move_on_after(drain_s):
            while self.active:  # noqa: ASYNC110 - it ends within moments, or not at all
                await anyio.sleep(_LOOK_S)
        for active in self.active.values():
            active.scope.cancel()
        while self.in_hand:  # noqa: ASYNC110
            await anyio.sleep(_LOOK_S)

    async def wait_until_active(self) -> None:
        """Return while there is a run in hand."""
        while not self.active:
            self._became_active = anyio.Event()
            await self._became_active.wait()

    def _begin(self, connection: sa.Connection, request: RunRequest, digest: str) -> Claim | None:
        forward_s = self._clock.set_forward_since(request.created_at)
        executor, now = self._executor, time.time()
        return transitions.begin(connection, request.run_id, digest, executor, self._max_attempts, now, forward_s)

    async def _attempt(self, request: RunRequest, active: ActiveRun, lane: Lane) -> bool:
        """One attempt; false where its engine was lost and another is due. Raises `ClaimLost`, `DamagedRow`."""
        writer = _EventWriter(self, active)
        # The worker may have been stopped while the database wrote that the run has begun.
        outcome = None if self.is_stopping else await self._outcome(request, writer, lane)
        if isinstance(outcome, Problem):
            return await self._failed(writer, outcome)
        if outcome is None:
            return await self._stopped(writer)
        await self._end(writer, None, outcome.model_dump(mode="json", exclude_none=True))
        return True

    async def _outcome(self, request: RunRequest, writer: "_EventWriter", lane: Lane) -> RunResult | Problem | None:
        """The result or the problem of one attempt; None if its scope was cancelled."""
        forward_s = self._clock.set_forward_since(request.created_at)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.write)
            try:
                with writer.active.scope:
                    return await self._pool.execute(_with_time(request, forward_s), writer.take, lane)
            except ProblemError as error:
                return _in_its_own_time(error.problem, request) if forward_s else error.problem
            except Exception:  # noqa: BLE001 - the run must end after any failure
                logger.exception("a run failed with an unexpected exception")
                return run_unexpected(request.run_id)
            finally:
                tasks.cancel_scope.cancel()
        return None

    async def _failed(self, writer: "_EventWriter", problem: Problem) -> bool:
        if writer.active.cancel_asked:
            await self._end(writer, run_cancelled(writer.active.claim.run_id))
        elif problem.code == "run.lost":
            events, claim, written = writer.pending(), writer.active.claim, writer.written
            await self.surely(transitions.lose_engine, claim, written, events, time.time())
            return False
        else:
            await self._end(writer, problem)
        return True

    async def _stopped(self, writer: "_EventWriter") -> bool:
        """End or hand back a run whose scope was cancelled: the run was cancelled, or this worker stops or lost it."""
        active = writer.active
        if active.lost is not None:
            raise active.lost
        if active.cancel_asked:
            await self._end(writer, run_cancelled(active.claim.run_id))
        else:
            active.is_handed_back = True
            await self.surely(transitions.hand_back, active.claim, time.time())
        return True

    async def _end(self, writer: "_EventWriter", problem: Problem | None, result: dict[str, Any] | None = None) -> None:
        events, written = writer.pending(), writer.written
        masked = None if problem is None else Problem.model_validate(self._redact(problem.to_wire()))
        kept = self._redact(result)
        claim = writer.active.claim
        with anyio.CancelScope(shield=True):
            await self.surely(transitions.end, claim, written, events, writer.pipes, masked, kept, time.time())

    async def surely(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write, however long the database is away."""
        backoff = Backoff(first_s=0.1, longest_s=5.0)
        while True:
            try:
                return await self._database.write(work, *args, **kwargs)
            except ProblemError as error:
                pause_s = backoff.next_s()
                logger.warning("runs cannot be written (%s); trying again in %g s", error, pause_s)
            await anyio.sleep(pause_s)

    def redacted(self, event: RunEvent, attempt: int) -> RunEvent:
        """An event as it is kept."""
        masked = self._redact(event.model_dump(mode="json", exclude_none=True))
        return RunEvent.model_validate({**masked, "attempt": attempt})


def _with_time(request: RunRequest, more_s: float) -> RunRequest:
    if request.deadline is None or not more_s:
        return request
    return request.model_copy(update={"deadline": request.deadline + more_s})


def _in_its_own_time(problem: Problem, request: RunRequest) -> Problem:
    """The problem with the run's own limit, where its deadline was moved with the clock."""
    if problem.code != "run.timed_out" or request.deadline is None:
        return problem
    return run_timed_out(request.run_id, request.deadline - request.created_at)


class _EventWriter:
    """Writes the events of one attempt into the database, in groups."""

    def __init__(self, runner: Runner, active: ActiveRun) -> None:
        self.active = active
        self.written = active.claim.event_count
        """How many events the run has in the database."""
        self.pipes = Pipes()
        self._runner = runner
        self._events: list[RunEvent] = []
        self._came = anyio.Event()

    def take(self, event: RunEvent) -> None:
        """An `EventSink`."""
        self._events.append(self._runner.redacted(event, self.active.claim.attempt))
        self.pipes = Pipes(event.started, event.ended)
        self._came.set()

    def pending(self) -> list[RunEvent]:
        """Take the events that are not written yet."""
        events, self._events = self._events, []
        return events

    async def write(self) -> None:
        """Write events as they come, until cancelled; stop a run that is lost."""
        while True:
            await self._came.wait()
            await anyio.sleep(_GATHER_S)
            self._came = anyio.Event()
            try:
                await self.flush()
            except (ClaimLost, DamagedRow) as lost:
                self.active.lost = lost
                self.active.scope.cancel()
                return

    async def flush(self) -> None:
        """Write what is pending. Raises `ClaimLost`, `DamagedRow`."""
        events, claim, written = self.pending(), self.active.claim, self.written
        if events:
            with anyio.CancelScope(shield=True):
                await self._runner.surely(transitions.append_events, claim, written, events)
            self.written += len(events)
