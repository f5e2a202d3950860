"""Pages of runs, newest first.

Temporal lists what its visibility store has, in an order of its own, and a moment late. So a page is read in windows of
time, each small enough to be sorted here; and a list waits until it shows what this very process has done.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import anyio
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client

from orchestrators.temporal import reading
from orchestrators.temporal.attributes import Attributes, method_keyword
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.names import METHOD_ATTRIBUTE, RUN
from orchestrators.temporal.reading import RunSnapshot
from schemas.problem import ProblemError
from schemas.runs import RunPage, RunQuery, RunRecord, RunState

Rows = list[WorkflowExecutionInfo]

_OPEN = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
_TERMINATED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
_STATUSES = {
    RunState.QUEUED: ("Running",),
    RunState.RUNNING: ("Running",),
    RunState.COMPLETED: ("Completed",),
    RunState.FAILED: ("Failed",),
    RunState.CANCELLED: ("Canceled", "Terminated"),
    RunState.TIMED_OUT: ("TimedOut", "Failed", "Terminated"),
}

_STATES_OF_TERMINATED = (RunState.CANCELLED, RunState.TIMED_OUT)

# Times are in microseconds since the epoch.
_SECOND = 1_000_000
# As many have the times up to the year 5000.
_DIGITS = 17
# Rows that are read and sorted at once, and those that one page looks at before it says how far it got.
_WINDOW = 1000
_MOST_LOOKED_AT = 20_000
_FIRST_SPAN = 3600 * _SECOND
_WIDER = 8
# Clocks of different machines may differ so much.
_SKEW = 300 * _SECOND
_AT_ONCE = 16
# How long a list waits for Temporal to show what has just happened, and how long that counts as just.
_LATE_S = 2.0
_JUST_S = 20.0
_LOOK_S = 0.03
_MOST_EXPECTED = 50


@dataclass(frozen=True)
class _Place:
    """Where a page begins: after the run with this id, which Temporal took at this time."""

    taken_at: int
    run_id: str

    def __str__(self) -> str:
        return f"{self.taken_at}:{self.run_id}"

    @classmethod
    def of(cls, cursor: str | None) -> "_Place | None":
        """The place of a cursor. An unknown cursor begins at the newest run."""
        taken_at, _, run_id = (cursor or "").partition(":")
        is_place = taken_at.isascii() and taken_at.isdecimal() and len(taken_at) <= _DIGITS and run_id
        return cls(int(taken_at), run_id) if is_place else None


class Listing:
    """The lists of one process."""

    def __init__(self, connection: Connection, attributes: Attributes) -> None:
        self._connection = connection
        self._attributes = attributes
        self._expected: dict[str, tuple[float, bool]] = {}

    def expect(self, run_id: str, *, is_open: bool) -> None:
        """Have the next lists wait a moment until they show that a run is there, or has ended."""
        self._expected.pop(run_id, None)
        self._expected[run_id] = (time.monotonic(), is_open)

    async def page(self, query: RunQuery) -> RunPage:
        """One page. Raises `ProblemError`."""
        await self._catch_up()
        found: list[RunSnapshot] = []
        looked_at, reached = 0, _Place.of(query.cursor)
        is_more = False
        async for window, lower in self._windows(await self._filter(query), reached, _floor(query)):
            looked_at += len(window)
            found += await self._matching(window, query, reached)
            if len(found) > query.limit:
                found, is_more = found[: query.limit], True
                break
            if looked_at >= _MOST_LOOKED_AT:
                end = _Place(lower, "~")
                return RunPage(runs=await self._records(found), next_cursor=str(end))
        cursor = str(_Place(found[-1].taken_at, found[-1].run_id)) if is_more else None
        return RunPage(runs=await self._records(found), next_cursor=cursor)

    async def _filter(self, query: RunQuery) -> str:
        parts = [f"WorkflowType = '{RUN}'", f"TaskQueue = '{self._connection.settings.task_queue}'"]
        if query.state is not None:
            names = ", ".join(f"'{name}'" for name in _STATUSES[query.state])
            parts.append(f"ExecutionStatus IN ({names})")
        if query.method is not None and await self._attributes.has_method():
            # A run that was taken before the attribute was registered has none.
            keyword = method_keyword(query.method)
            parts.append(f"({METHOD_ATTRIBUTE} = '{keyword}' OR {METHOD_ATTRIBUTE} IS NULL)")
        return " AND ".join(parts)

    async def _windows(self, query: str, place: _Place | None, floor: int) -> AsyncIterator[tuple[Rows, int]]:
        """Runs in windows of time, the newest window first, each with its lower end."""
        upper = int(time.time() * _SECOND) + _SKEW if place is None else place.taken_at + 1
        span = _FIRST_SPAN
        while upper > floor:
            if await self._count(_within(query, floor, upper)) <= _WINDOW:
                lower = floor
            else:
                lower, span = await self._lower_end(query, upper, span, floor)
            yield await self._rows(_within(query, lower, upper)), lower
            upper = lower

    async def _lower_end(self, query: str, upper: int, span: int, floor: int) -> tuple[int, int]:
        """The lower end of a window that holds some rows, and few enough; and how long it is."""
        while True:
            lower = max(floor, upper - span)
            count = await self._count(_within(query, lower, upper))
            if count == 0 and lower > floor:
                upper, span = lower, span * _WIDER
            elif count > _WINDOW and span > 1:
                span //= _WIDER
            else:
                return lower, span

    async def _matching(self, rows: Rows, query: RunQuery, after: _Place | None) -> list[RunSnapshot]:
        """The runs among some rows that belong on the page, newest first."""
        found = [run for run in await self._snapshots(rows, query.state) if _belongs(run, query, after)]
        return sorted(found, key=lambda run: (run.taken_at, run.run_id), reverse=True)

    async def _snapshots(self, rows: Rows, state: RunState | None) -> list[RunSnapshot]:
        """How the runs of some rows stand; a run that has not ended is looked up by itself.

        So is one that was terminated, where `state` is wanted: only the reason says whether it was late.
        """
        itself = (_OPEN,) if state not in _STATES_OF_TERMINATED else (_OPEN, _TERMINATED)
        found: dict[int, RunSnapshot | None] = {}
        few = anyio.Semaphore(_AT_ONCE)

        async def take(number: int, run_id: str) -> None:
            async with few:
                try:
                    found[number] = await reading.take_snapshot(self._connection, run_id)
                except ProblemError as error:
                    if error.problem.code != "run.not_found":
                        raise

        async with anyio.create_task_group() as tasks:
            for number, row in enumerate(rows):
                if row.status in itself:
                    tasks.start_soon(take, number, row.execution.workflow_id)
                else:
                    found[number] = reading.snapshot_of(row, None)
        return [snapshot for snapshot in found.values() if snapshot is not None]

    async def _records(self, snapshots: list[RunSnapshot]) -> list[RunRecord]:
        records = [await self._record(snapshot) for snapshot in snapshots]
        return [record for record in records if record is not None]

    async def _record(self, snapshot: RunSnapshot) -> RunRecord | None:
        """The record of a run; None if it was deleted meanwhile."""
        try:
            end = await reading.closing_of(self._connection, snapshot) if snapshot.is_terminated else None
            snapshot = snapshot if end is None else reading.with_outcome(snapshot, end)
            return reading.record_of(snapshot, await reading.problem_of_end(self._connection, snapshot, end))
        except ProblemError as error:
            if error.problem.code != "run.not_found":
                raise
        return None

    async def _catch_up(self) -> None:
        """Wait until Temporal shows what this process has lately done, or for `_LATE_S`."""
        since = time.monotonic() - _JUST_S
        for run_id in [run_id for run_id, (at, _) in self._expected.items() if at < since]:
            del self._expected[run_id]
        with anyio.move_on_after(_LATE_S):
            while self._expected:
                some = list(self._expected)[:_MOST_EXPECTED]
                names = ", ".join(f"'{run_id}'" for run_id in some)
                for row in await self._rows(f"WorkflowId IN ({names})"):
                    expected = self._expected.get(row.execution.workflow_id)
                    if expected is not None and (expected[1] or row.status != _OPEN):
                        del self._expected[row.execution.workflow_id]
                if any(run_id in self._expected for run_id in some):
                    await anyio.sleep(_LOOK_S)

    async def _count(self, query: str) -> int:
        async def count(client: Client) -> int:
            request = CountWorkflowExecutionsRequest(namespace=client.namespace, query=query)
            return (await client.workflow_service.count_workflow_executions(request)).count

        return await self._connection.call(count)

    async def _rows(self, query: str) -> Rows:
        rows: Rows = []
        token = b""
        while True:
            found, token = await self._connection.call(partial(_page_of, query, token))
            rows += found
            if not token:
                return rows


async def _page_of(query: str, token: bytes, client: Client) -> tuple[Rows, bytes]:
    request = ListWorkflowExecutionsRequest(
        namespace=client.namespace, page_size=_WINDOW, query=query, next_page_token=token
    )
    answer = await client.workflow_service.list_workflow_executions(request)
    return list(answer.executions), answer.next_page_token


def _belongs(snapshot: RunSnapshot, query: RunQuery, after: _Place | None) -> bool:
    if after is not None and (snapshot.taken_at, snapshot.run_id) >= (after.taken_at, after.run_id):
        return False
    if query.state is not None and snapshot.state is not query.state:
        return False
    if query.method is not None and snapshot.asked.method != query.method:
        return False
    return query.since is None or snapshot.asked.created_at >= query.since


def _floor(query: RunQuery) -> int:
    """The time before which nothing belongs on the page."""
    return 0 if query.since is None else max(0, int(query.since * _SECOND) - _SKEW)


def _within(query: str, lower: int, upper: int) -> str:
    return f"{query} AND StartTime >= '{_text(lower)}' AND StartTime < '{_text(upper)}'"


def _text(at: int) -> str:
    seconds, micros = divmod(at, _SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"
