"""The runs of one server, in memory: the newest few hundred, gone with the server.

Their results, events and problems may take a limited number of bytes; a run's record outlives them.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from orchestrators import run_events
from orchestrators.engines.pool import FramedResult
from orchestrators.plugins.contract import EventSink
from schemas.canonical import request_digest
from schemas.problem import Problem, ProblemError
from schemas.run_problems import (
    result_not_kept,
    run_cancelled,
    run_id_taken,
    run_not_finished,
    run_not_found,
    run_unexpected,
)
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunRequest, RunResult, RunState
from schemas.times import iso_now, iso_time

CAPACITY = 200
MAX_BYTES = 64 * 1024 * 1024
"""What the results, events and problems of ended runs may take."""
MAX_EVENTS = 20_000
"""Of one run."""

# An event is an object of some twenty members.
_EVENT_BYTES = 1_500


@dataclass
class Entry:
    """One run: its record, its events, and in the end its result, as `FramedResult` opens it, or its problem."""

    record: RunRecord
    digest: str
    created_at: float
    scope: anyio.CancelScope
    listener: EventSink | None
    events: list[RunEvent] = field(default_factory=list)
    forgotten: int = 0
    """How many events there were before `events`."""
    result: bytes | None = None
    size: int = 0
    """About how many bytes all of it takes, but the record."""
    changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def ended(self) -> bool:
        return self.record.state.is_final

    def take(self, event: RunEvent) -> None:
        """Number an event within the run, keep it, and pass it on."""
        numbered = event.model_copy(update={"seq": self.forgotten + len(self.events) + 1})
        self.events.append(numbered)
        self.size += _size(event)
        if len(self.events) > MAX_EVENTS:
            self.forget_events(MAX_EVENTS // 2)
        self.record.event_count = numbered.seq
        if self.listener is not None:
            self.listener(numbered)
        self.wake()

    def forget_events(self, keep: int) -> None:
        """Keep the newest `keep` events; a watcher sees the gap in their numbers."""
        gone = self.events[:-keep]
        self.size -= sum(map(_size, gone))
        self.forgotten += len(gone)
        del self.events[: len(gone)]

    def shrink(self) -> None:
        """Keep only how an ended run ended."""
        self.result = None
        self.forget_events(1)
        if self.record.problem is not None and self.record.problem.errors:
            self.record.problem = self.record.problem.model_copy(update={"errors": None})
            self.events[-1] = self.events[-1].model_copy(update={"problem": self.record.problem})
        self.size = sum(map(_size, self.events))

    def wake(self) -> None:
        """Let every waiter look again."""
        self.changed.set()
        self.changed = anyio.Event()

    def end(self, problem: Problem | None = None) -> None:
        """The run is over; the last event says how."""
        self.size += len(self.result or b"")
        self.record.state = run_events.final_state(problem)
        self.record.problem = problem
        self.record.finished_at = iso_now()
        record, last = self.record, self.events[-1]
        pipes = {"started": last.started, "ended": last.ended}
        self.take(run_events.ended(record.pipeline_run_id, time.time(), record.state, problem, **pipes))


class MemoryLedger:
    """Implements `RunLedger`. Pipe events are kept for a run that had a listener from its start."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def same_run(self, run: RunRequest) -> bool:
        """Whether this very request has its run here. Raises `request.idempotency_conflict` for another's id."""
        entry = self._entries.get(run.run_id)
        if entry is None:
            return False
        if entry.digest == request_digest(run):
            return True
        raise run_id_taken(run.run_id)

    @contextmanager
    def recording(self, run: RunRequest, listener: EventSink | None) -> Iterator[Entry]:
        """Keep the record of a run for the block, which runs it; how the block ends is how the run ended.

        A run cancelled through the ledger leaves the block as `ProblemError` coded `run.cancelled`.
        """
        entry = self._open(run, listener)
        try:
            yield from self._lived(run, entry)
        finally:
            self._make_room()

    def _lived(self, run: RunRequest, entry: Entry) -> Iterator[Entry]:
        try:
            with entry.scope:
                yield entry
        except ProblemError as error:
            entry.end(error.problem)
            raise
        except Exception:
            entry.end(run_unexpected(run.run_id, "server"))
            raise
        except BaseException:
            entry.end(run_cancelled(run.run_id))
            raise
        if entry.result is not None:
            entry.end()
            return
        problem = run_cancelled(run.run_id)
        entry.end(problem)
        raise ProblemError(problem)

    def _open(self, run: RunRequest, listener: EventSink | None) -> Entry:
        now = iso_now()
        record = RunRecord(
            pipeline_run_id=run.run_id,
            orchestration_mode=run.orchestration_mode,
            state=RunState.RUNNING,
            created_at=iso_time(run.created_at),
            started_at=now,
            pipe=run.pipe_code,
            method=run.method.name,
        )
        entry = Entry(
            record=record,
            digest=request_digest(run),
            created_at=run.created_at,
            scope=anyio.CancelScope(),
            listener=listener,
        )
        self._entries[run.run_id] = entry
        self._forget_oldest()
        entry.take(run_events.started(run.run_id, time.time()))
        return entry

    def _make_room(self) -> None:
        """Shrink ended runs, the oldest first, where all take too much; the newest keeps what it has."""
        ended = [entry for entry in self._entries.values() if entry.ended]
        taken = sum(entry.size for entry in ended)
        for entry in ended[:-1]:
            if taken <= MAX_BYTES:
                return
            taken -= entry.size
            entry.shrink()
            taken += entry.size

    def _forget_oldest(self) -> None:
        while len(self._entries) > CAPACITY:
            oldest = next((run_id for run_id, entry in self._entries.items() if entry.ended), None)
            if oldest is None:
                return
            del self._entries[oldest]

    def _entry(self, run_id: str) -> Entry:
        try:
            return self._entries[run_id]
        except KeyError:
            raise run_not_found(run_id) from None

    async def get(self, run_id: str) -> RunRecord:
        """The record as it stands."""
        return self._entry(run_id).record.model_copy()

    async def list(self, query: RunQuery) -> RunPage:
        """Newest first; the cursor is the run id the page before ended with, one of no known run begins anew."""
        entries = [entry for entry in reversed(self._entries.values()) if _matches(entry, query)]
        if query.cursor is not None:
            ids = [entry.record.pipeline_run_id for entry in entries]
            entries = entries[ids.index(query.cursor) + 1 :] if query.cursor in ids else entries
        page = entries[: query.limit]
        more = len(entries) > len(page)
        return RunPage(
            runs=[entry.record.model_copy() for entry in page],
            next_cursor=page[-1].record.pipeline_run_id if more else None,
        )

    async def result(self, run_id: str, wait_s: float) -> RunResult:
        """The result; raises the run's problem, or `run.not_finished` after `wait_s` seconds.

        Raises `run.results_not_stored` for one that had to make room.
        """
        entry = self._entry(run_id)
        with anyio.move_on_after(wait_s):
            while not entry.ended:
                await entry.changed.wait()
        if not entry.ended:
            raise run_not_finished(run_id)
        if entry.record.problem is not None:
            raise ProblemError(entry.record.problem)
        if entry.result is None:
            raise result_not_kept(run_id)
        return FramedResult.opened(entry.result)

    async def cancel(self, run_id: str) -> RunRecord:
        """Stop the run and return its record once it has ended; a run that had ended is left as it is."""
        entry = self._entry(run_id)
        if not entry.ended:
            entry.scope.cancel()
            while not entry.ended:
                await entry.changed.wait()
        return entry.record.model_copy()

    async def watch(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """Each event that is kept with `seq` greater than `after`, to the end of the run."""
        entry = self._entry(run_id)
        position = after
        while True:
            position = max(position, entry.forgotten)
            if position < entry.forgotten + len(entry.events):
                event = entry.events[position - entry.forgotten]
                position += 1
                yield event
            elif entry.ended:
                return
            else:
                await entry.changed.wait()


def _size(event: RunEvent) -> int:
    return _EVENT_BYTES + (0 if event.problem is None else len(event.problem.model_dump_json()))


def _matches(entry: Entry, query: RunQuery) -> bool:
    record = entry.record
    return (
        (query.state is None or record.state == query.state)
        and (query.method is None or record.method == query.method)
        and (query.since is None or entry.created_at >= query.since)
    )
