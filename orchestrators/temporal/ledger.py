"""The runs that a Temporal namespace keeps, as our ledger."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from orchestrators.durable.deadlines import patience_s
from orchestrators.temporal import reading
from orchestrators.temporal.completion_waits import PATIENCE_S, CompletionWaits
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.event_log import events_of, readable
from orchestrators.temporal.listing import Listing
from orchestrators.temporal.liveness import any_worker
from orchestrators.temporal.memo import can_be_sent
from orchestrators.temporal.names import CANCELLED_BY_CALLER, LATE_FOR_CALLER
from orchestrators.temporal.payloads import PayloadStore
from orchestrators.temporal.problems import problem_of, unreadable
from orchestrators.temporal.reading import RunSnapshot
from schemas.problem import ProblemError
from schemas.run_problems import run_not_finished
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunResult, RunState

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long a worker may take to stop a run before Temporal terminates it.
_CANCEL_S = 10.0
_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 0.5
_SLOWER = 1.3
_AGAIN_S = 0.5


class TemporalLedger:
    """Implements `RunLedger`."""

    def __init__(
        self,
        connection: Connection,
        completion_waits: CompletionWaits,
        listing: Listing,
        payloads: PayloadStore,
        artifacts: Path,
    ) -> None:
        """`artifacts` is where this machine has the files that runs make."""
        self._connection = connection
        self._completion_waits = completion_waits
        self._listing = listing
        self._payloads = payloads
        self._artifacts = artifacts

    async def get(self, run_id: str) -> RunRecord:
        """The record of a run."""
        snapshot = await reading.take_snapshot(self._connection, run_id)
        alive = await any_worker(self._connection) if snapshot.state is RunState.QUEUED else None
        return reading.record_of(snapshot, await reading.problem_of_end(self._connection, snapshot), alive)

    async def list(self, query: RunQuery) -> RunPage:
        """Newest first, by when Temporal took them."""
        return await self._listing.page(query)

    async def result(self, run_id: str, wait_s: float) -> RunResult:
        """The result, or the run's own problem raised."""
        snapshot = await reading.take_snapshot(self._connection, run_id)
        if not snapshot.state.is_final and wait_s > 0:
            with anyio.move_on_after(wait_s):
                return await self.awaited(run_id)
        if not snapshot.state.is_final and _patience_s(snapshot) <= 0:
            snapshot = await self._end_late(snapshot)
        if not snapshot.state.is_final:
            raise run_not_finished(run_id)
        return await self._outcome(snapshot)

    async def awaited(self, run_id: str) -> RunResult:
        """Wait for the end of a run: its result, or its problem raised."""
        snapshot = await self._ended(run_id)
        return await self._patiently(lambda: self._outcome(snapshot))

    async def _outcome(self, snapshot: RunSnapshot) -> RunResult:
        if snapshot.state is RunState.COMPLETED:
            end = await reading.closing_of(self._connection, snapshot)
            return await self._result(snapshot, end.result)
        problem = await reading.problem_of_end(self._connection, snapshot)
        raise ProblemError(problem or unreadable(snapshot.run_id))

    async def _result(self, snapshot: RunSnapshot, payload: Any) -> RunResult:
        value = await self._payloads.unpack(snapshot.run_id, payload)
        try:
            result = RunResult.model_validate(value)
        except ValidationError:
            raise ProblemError(unreadable(snapshot.run_id)) from None
        if not can_be_sent(result):
            raise ProblemError(unreadable(snapshot.run_id))
        await self._fetch_files(snapshot, payload.get("files"))
        return result

    async def cancel(self, run_id: str) -> RunRecord:
        """Stop the run and return its record once it has ended; a run that had ended is left as it is."""
        snapshot = await reading.take_snapshot(self._connection, run_id)
        if not snapshot.state.is_final:
            if await any_worker(self._connection):
                await self._while_it_runs(snapshot, None)
                with anyio.move_on_after(_CANCEL_S):
                    snapshot = await self._ended(run_id)
            if not snapshot.state.is_final:
                await self._while_it_runs(await reading.take_snapshot(self._connection, run_id), CANCELLED_BY_CALLER)
                self._listing.expect(run_id, is_open=False)
        return await self.get(run_id)

    async def watch(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """Each event with `seq` greater than `after`, to the end of the run."""
        snapshot = await reading.take_snapshot(self._connection, run_id)
        pause_s, seen, late_at = _FIRST_POLL_S, 0, anyio.current_time() + _patience_s(snapshot)
        with self._completion_waits.of(run_id) as ended:
            while not snapshot.state.is_final:
                events = reading.events_so_far(snapshot, after)
                for event in events:
                    after = seen = event.seq
                    yield event
                pause_s = _FIRST_POLL_S if events else min(pause_s * _SLOWER, _LONGEST_POLL_S)
                with anyio.move_on_after(pause_s):
                    # It is set before the run ends if the server was away for too long.
                    await (anyio.sleep_forever() if ended.is_set() else ended.wait())
                is_late = anyio.current_time() >= late_at
                snapshot = await (self._end_late(snapshot) if is_late else self._patient_snapshot(run_id))
        for event in await self._patiently(lambda: self._event_log(snapshot, seen)):
            if event.seq > after:
                yield event

    async def _ended(self, run_id: str) -> RunSnapshot:
        snapshot = await self._patient_snapshot(run_id)
        pause_s, late_at = _FIRST_POLL_S, anyio.current_time() + _patience_s(snapshot)
        while not snapshot.state.is_final:
            with self._completion_waits.of(run_id) as ended, anyio.CancelScope(deadline=late_at) as waiting:
                await ended.wait()
            snapshot = await (self._end_late(snapshot) if waiting.cancelled_caught else self._patient_snapshot(run_id))
            if not snapshot.state.is_final:
                # Temporal first said that the run has ended, then that it has not: a foreign workflow, or an outage.
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * _SLOWER, _LONGEST_POLL_S)
        self._listing.expect(run_id, is_open=False)
        return snapshot

    async def _end_late(self, snapshot: RunSnapshot) -> RunSnapshot:
        """End a run that no other process ended in time; its snapshot then. Its worker stops when it notices."""
        snapshot = await self._patient_snapshot(snapshot.run_id)
        if snapshot.state.is_final:
            return snapshot
        try:
            await self._patiently(lambda: self._while_it_runs(snapshot, LATE_FOR_CALLER))
        except ProblemError as error:
            # A process may lack the right to; Temporal itself ends the run a little later.
            logger.warning("the run %s is late and cannot be ended from here: %s", snapshot.run_id, error)
        return await self._patient_snapshot(snapshot.run_id)

    def expect(self, run_id: str) -> None:
        """Have lists wait a moment for a run that Temporal has just taken."""
        self._listing.expect(run_id, is_open=True)

    async def _event_log(self, snapshot: RunSnapshot, seen: int) -> Sequence[RunEvent]:
        """Every event that is kept of an ended run; `seen` says how many there have been at least."""
        end = await reading.closing_of(self._connection, snapshot)
        events = events_of(end.outcome.get("story"), snapshot.run_id)
        problem = await reading.problem_of_end(self._connection, snapshot, end)
        last = max(events[-1].seq if events else 0, snapshot.ended.event_count, seen)
        return [*events, reading.last_event(snapshot, last + 1, problem)]

    async def _patient_snapshot(self, run_id: str) -> RunSnapshot:
        return await self._patiently(lambda: reading.take_snapshot(self._connection, run_id))

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Read, and try again for a while if the server is away: the caller waits anyway."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await work()
            except ProblemError as error:
                if error.problem.code != "runtime.unavailable" or time.monotonic() > until:
                    raise
            await anyio.sleep(_AGAIN_S)

    async def _while_it_runs(self, snapshot: RunSnapshot, reason: str | None) -> None:
        """Have Temporal terminate a run for a reason, or without one cancel it. It may have ended meanwhile.

        Temporal forgets the heartbeats of what is terminated, so the event log is given as the details.
        """

        async def end(client: Client) -> None:
            handle = client.get_workflow_handle(snapshot.run_id, run_id=snapshot.execution)
            await (handle.cancel() if reason is None else handle.terminate(readable(snapshot.event_log), reason=reason))

        try:
            await self._connection.unmapped(end)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise ProblemError(problem_of(error, snapshot.run_id)) from error

    async def _fetch_files(self, snapshot: RunSnapshot, count: Any) -> None:
        if count and self._payloads.store is not None:
            folder = self._artifacts / snapshot.artifacts
            await anyio.to_thread.run_sync(self._payloads.store.get_files, snapshot.run_id, snapshot.files_of, folder)


def _patience_s(snapshot: RunSnapshot) -> float:
    return patience_s(snapshot.asked.created_at, snapshot.asked.deadline)
