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
from orchestrators.temporal.history import closing
from orchestrators.temporal.listing import Listing
from orchestrators.temporal.liveness import any_worker
from orchestrators.temporal.memo import can_be_sent
from orchestrators.temporal.names import CANCELLED_BY_CALLER, LATE_FOR_CALLER
from orchestrators.temporal.payloads import PayloadStore
from orchestrators.temporal.problems import problem_of, unreadable
from orchestrators.temporal.reading import Look
from schemas.problem import ProblemError
from schemas.run_problems import run_not_finished
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunResult, RunState

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long a worker may take to stop a run before it is terminated over its head.
_CANCEL_S = 10.0
_FIRST_LOOK_S = 0.05
_LONGEST_LOOK_S = 0.5
_SLOWER = 1.3
_AGAIN_S = 0.5


class TemporalLedger:
    """Implements `RunLedger`."""

    def __init__(
        self, connection: Connection, endings: CompletionWaits, listing: Listing, parcels: PayloadStore, artifacts: Path
    ) -> None:
        """`artifacts` is where this machine has the files that runs make."""
        self._connection = connection
        self._endings = endings
        self._listing = listing
        self._parcels = parcels
        self._artifacts = artifacts

    async def get(self, run_id: str) -> RunRecord:
        """The record of a run."""
        look = await reading.look(self._connection, run_id)
        alive = await any_worker(self._connection) if look.state is RunState.QUEUED else None
        return reading.record_of(look, await reading.problem_of_end(self._connection, look), alive)

    async def list(self, query: RunQuery) -> RunPage:
        """Newest first, by when Temporal took them."""
        return await self._listing.page(query)

    async def result(self, run_id: str, wait_s: float) -> RunResult:
        """The result, or the run's own problem raised."""
        look = await reading.look(self._connection, run_id)
        if not look.state.is_final and wait_s > 0:
            with anyio.move_on_after(wait_s):
                return await self.awaited(run_id)
        if not look.state.is_final and _patience_s(look) <= 0:
            look = await self._end_late(look)
        if not look.state.is_final:
            raise run_not_finished(run_id)
        return await self._outcome(look)

    async def awaited(self, run_id: str) -> RunResult:
        """Wait for the end of a run: its result, or its problem raised."""
        look = await self._ended(run_id)
        return await self._patiently(lambda: self._outcome(look))

    async def _outcome(self, look: Look) -> RunResult:
        if look.state is RunState.COMPLETED:
            end = await closing(self._connection, look.run_id, look.execution)
            return await self._result(look, end.result)
        problem = await reading.problem_of_end(self._connection, look)
        raise ProblemError(problem or unreadable(look.run_id))

    async def _result(self, look: Look, parcel: Any) -> RunResult:
        value = await self._parcels.unpack(look.run_id, parcel)
        try:
            result = RunResult.model_validate(value)
        except ValidationError:
            raise ProblemError(unreadable(look.run_id)) from None
        if not can_be_sent(result):
            raise ProblemError(unreadable(look.run_id))
        await self._fetch_files(look, parcel.get("files"))
        return result

    async def cancel(self, run_id: str) -> RunRecord:
        """Stop the run and return its record once it has ended; a run that had ended is left as it is."""
        look = await reading.look(self._connection, run_id)
        if not look.state.is_final:
            if await any_worker(self._connection):
                await self._while_it_runs(look, None)
                with anyio.move_on_after(_CANCEL_S):
                    look = await self._ended(run_id)
            if not look.state.is_final:
                await self._while_it_runs(await reading.look(self._connection, run_id), CANCELLED_BY_CALLER)
                self._listing.expect(run_id, is_open=False)
        return await self.get(run_id)

    async def watch(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """Each event with `seq` greater than `after`, to the end of the run."""
        look = await reading.look(self._connection, run_id)
        pause_s, seen, late_at = _FIRST_LOOK_S, 0, anyio.current_time() + _patience_s(look)
        with self._endings.of(run_id) as ended:
            while not look.state.is_final:
                events = reading.events_so_far(look, after)
                for event in events:
                    after = seen = event.seq
                    yield event
                pause_s = _FIRST_LOOK_S if events else min(pause_s * _SLOWER, _LONGEST_LOOK_S)
                with anyio.move_on_after(pause_s):
                    # Set though the run goes on: the server was away for too long.
                    await (anyio.sleep_forever() if ended.is_set() else ended.wait())
                is_late = anyio.current_time() >= late_at
                look = await (self._end_late(look) if is_late else self._look_patiently(run_id))
        for event in await self._patiently(lambda: self._story(look, seen)):
            if event.seq > after:
                yield event

    async def _ended(self, run_id: str) -> Look:
        look = await self._look_patiently(run_id)
        pause_s, late_at = _FIRST_LOOK_S, anyio.current_time() + _patience_s(look)
        while not look.state.is_final:
            with self._endings.of(run_id) as ended, anyio.CancelScope(deadline=late_at) as waiting:
                await ended.wait()
            look = await (self._end_late(look) if waiting.cancelled_caught else self._look_patiently(run_id))
            if not look.state.is_final:
                # Temporal said first that it is over, then that it is not: a foreign workflow, or the server was away.
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * _SLOWER, _LONGEST_LOOK_S)
        self._listing.expect(run_id, is_open=False)
        return look

    async def _end_late(self, look: Look) -> Look:
        """End a run that no other process ended in time; how it stands then. Its worker stops it once it hears."""
        look = await self._look_patiently(look.run_id)
        if look.state.is_final:
            return look
        try:
            await self._patiently(lambda: self._while_it_runs(look, LATE_FOR_CALLER))
        except ProblemError as error:
            # Not everybody may; Temporal itself ends the run a little later.
            logger.warning("the run %s is late and cannot be ended from here: %s", look.run_id, error)
        return await self._look_patiently(look.run_id)

    def expect(self, run_id: str) -> None:
        """Have lists wait a moment for a run that Temporal has just taken."""
        self._listing.expect(run_id, is_open=True)

    async def _story(self, look: Look, seen: int) -> Sequence[RunEvent]:
        """Every event of an ended run that is left; `seen` says how many there have been at least."""
        end = await closing(self._connection, look.run_id, look.execution)
        events = events_of(end.outcome.get("story"), look.run_id)
        problem = await reading.problem_of_end(self._connection, look, end)
        last = max(events[-1].seq if events else 0, look.ended.event_count, seen)
        return [*events, reading.last_event(look, last + 1, problem)]

    async def _look_patiently(self, run_id: str) -> Look:
        return await self._patiently(lambda: reading.look(self._connection, run_id))

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """What some reading answers, though the server be away for a while: for those who wait anyway."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await work()
            except ProblemError as error:
                if error.problem.code != "runtime.unavailable" or time.monotonic() > until:
                    raise
            await anyio.sleep(_AGAIN_S)

    async def _while_it_runs(self, look: Look, reason: str | None) -> None:
        """Have Temporal terminate a run for a reason, or ask its worker to cancel it; it may have ended meanwhile.

        Temporal forgets the heartbeats of what is terminated, so the story goes along.
        """

        async def end(client: Client) -> None:
            handle = client.get_workflow_handle(look.run_id, run_id=look.execution)
            await (handle.cancel() if reason is None else handle.terminate(readable(look.story), reason=reason))

        try:
            await self._connection.unmapped(end)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise ProblemError(problem_of(error, look.run_id)) from error

    async def _fetch_files(self, look: Look, count: Any) -> None:
        if count and self._parcels.store is not None:
            folder = self._artifacts / look.artifacts
            await anyio.to_thread.run_sync(self._parcels.store.get_files, look.run_id, look.files_of, folder)


def _patience_s(look: Look) -> float:
    return patience_s(look.asked.created_at, look.asked.deadline)
