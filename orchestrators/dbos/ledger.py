"""The ledger of durable runs. Any number of processes may read it, whether they run the runs or not."""

import math
import time
from collections.abc import AsyncIterator

import anyio

from orchestrators.dbos import MODE, reading, retention, transitions
from orchestrators.dbos.changes import Changes
from orchestrators.dbos.database import Database
from orchestrators.dbos.executors import Executors
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.reading import Standing
from orchestrators.dbos.rows import DamagedRow
from orchestrators.durable.deadlines import patience_s
from schemas.problem import Problem, ProblemError
from schemas.run_problems import run_cancelled, run_lost, run_not_finished, run_not_found
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunResult, RunState
from schemas.times import iso_time

# How long `cancel` waits for the worker to have stopped the run.
_CANCEL_S = 20.0


class DbosLedger:
    """Implements `PrunableLedger`."""

    def __init__(
        self, database: Database, queue: RunQueue, executors: Executors, changes: Changes, pruner: retention.Pruner
    ) -> None:
        self._database = database
        self._queue = queue
        self._executors = executors
        self._changes = changes
        self._pruner = pruner

    async def get(self, run_id: str) -> RunRecord:
        """The record as it stands."""
        record = await self._record(run_id)
        if not record.state.is_final and await self._late_in(run_id) <= 0:
            await self._end_late(run_id)
            record = await self._record(run_id)
        if record.state is RunState.QUEUED:
            record.worker_alive = await self._database.in_thread(self._executors.any_alive)
            record.waiting_since = await self._waiting_since(record)
        return record

    async def _record(self, run_id: str) -> RunRecord:
        record = await self._database.read(reading.record, run_id, MODE)
        if record is None:
            raise run_not_found(run_id)
        return record

    async def _waiting_since(self, record: RunRecord) -> str:
        """Since when a run waits: its creation, or the end of its last attempt."""
        if record.event_count == 0:
            return record.created_at
        last = await self._database.read(reading.events, record.pipeline_run_id, record.event_count - 1)
        return iso_time(last[-1].at) if last else record.created_at

    async def list(self, query: RunQuery) -> RunPage:
        """Newest first."""
        return await self._database.read(reading.page, query, MODE)

    async def result(self, run_id: str, wait_s: float) -> RunResult:
        """The result; raises the run's problem, or `run.not_finished` after `wait_s` seconds."""
        standing = await self._standing(run_id)
        if not standing.is_over and wait_s > 0:
            with anyio.move_on_after(wait_s):
                standing = await self.ended(run_id)
        if not standing.is_over and await self._late_in(run_id) <= 0:
            await self._end_late(run_id)
            standing = await self._standing(run_id)
        if not standing.is_over:
            raise run_not_finished(run_id)
        return await self.outcome(run_id)

    async def outcome(self, run_id: str) -> RunResult:
        """The result of a run that has ended, or its problem raised."""
        result = await self._database.read(reading.outcome, run_id)
        if result is not None:
            return result
        record = await self.get(run_id)
        raise ProblemError(record.problem or _unexplained(run_id))

    async def cancel(self, run_id: str) -> RunRecord:
        """Stop the run and return its record once it has ended; a run that had ended is left as it is."""
        try:
            state = await self._database.write(transitions.ask_to_cancel, run_id, time.time())
        except DamagedRow as damage:
            await self._database.write(transitions.end_damaged, run_id, damage.what, time.time())
            return await self.get(run_id)
        if state is None:
            raise run_not_found(run_id)
        if state is RunState.CANCELLED:
            await self._queue.forget([run_id])
        elif not state.is_final:
            await self._stopped(run_id)
        return await self.get(run_id)

    async def _stopped(self, run_id: str) -> None:
        """Wait for the worker to stop the run; end it here if no worker lives."""
        if await self._database.in_thread(self._executors.any_alive):
            with anyio.move_on_after(_CANCEL_S):
                await self.ended(run_id)
            return
        await self._database.write(transitions.end_unclaimed, run_id, run_cancelled(run_id), time.time())

    async def watch(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """Each event with `seq` greater than `after`, to the end of the run."""
        standing = await self._standing(run_id)
        late_at = anyio.current_time() + await self._late_in(run_id)
        while True:
            while after < standing.event_count:
                events = await self._database.read(reading.events, run_id, after)
                if not events:
                    break
                for event in events:
                    after = event.seq
                    yield event
            if standing.is_over:
                return
            standing = await self._next(run_id, standing, late_at)

    async def ended(self, run_id: str) -> Standing:
        """Wait for the end of a run."""
        standing = await self._standing(run_id)
        late_at = anyio.current_time() + await self._late_in(run_id)
        while not standing.is_over:
            standing = await self._next(run_id, standing, late_at)
        return standing

    async def prune(self, keep_s: float | None, keep_runs: int | None) -> int:
        """Forget ended runs that are old or too many; how many it was."""
        return await self._pruner.prune(keep_s, keep_runs, time.time())

    async def _standing(self, run_id: str) -> Standing:
        standings = await self._database.read(reading.standings, [run_id])
        if run_id not in standings:
            raise run_not_found(run_id)
        return standings[run_id]

    async def _next(self, run_id: str, seen: Standing, late_at: float) -> Standing:
        """How a run stands once that has changed. A run that no other process ends in time is ended here."""
        with anyio.CancelScope(deadline=late_at):
            standing = await self._changes.after(run_id, seen)
            if standing is None:
                raise run_not_found(run_id)
            return standing
        await self._end_late(run_id)
        return await self._standing(run_id)

    async def _late_in(self, run_id: str) -> float:
        """How many seconds the worker of a run may still take to end it; infinite for a run that has ended."""
        times = await self._database.read(transitions.times_of, run_id)
        return math.inf if times is None else patience_s(*times)

    async def _end_late(self, run_id: str) -> None:
        """End a run whose worker has not done so in time; a worker that wakes up finds that it has lost the run."""
        times = await self._database.read(transitions.times_of, run_id)
        if times is not None:
            created_at, deadline = times
            await self._database.write(transitions.time_out, run_id, deadline - created_at, time.time())


def _unexplained(run_id: str) -> Problem:
    return run_lost(run_id, "The run ended, but its result is missing.")
