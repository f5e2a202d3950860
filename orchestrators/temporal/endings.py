"""Tells those who wait that a run has ended: one long poll of Temporal for each run that anybody waits for."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup
from temporalio.client import WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from orchestrators.temporal.connection import Connection

# How long the server may be away before those who wait are told.
PATIENCE_S = 120.0
# Temporal answers a long poll within a minute, be it with nothing.
_POLL_S = 70.0
_PAUSE_S = 0.5


@dataclass
class _Awaited:
    waiters: int = 0
    ended: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Endings:
    """The waiting of one process. `tasks` holds the long polls."""

    def __init__(self, connection: Connection, tasks: TaskGroup) -> None:
        self._connection = connection
        self._tasks = tasks
        self._awaited: dict[str, _Awaited] = {}

    @contextmanager
    def of(self, run_id: str) -> Iterator[anyio.Event]:
        """An event that is set once there is reason to look whether the run has ended."""
        awaited = self._awaited.get(run_id)
        if awaited is None:
            awaited = self._awaited[run_id] = _Awaited()
            self._tasks.start_soon(self._wait, run_id, awaited, name=f"the end of {run_id}")
        awaited.waiters += 1
        try:
            yield awaited.ended
        finally:
            awaited.waiters -= 1
            if awaited.waiters == 0:
                awaited.scope.cancel()
                self._forget(run_id, awaited)

    async def _wait(self, run_id: str, awaited: _Awaited) -> None:
        last_good = time.monotonic()
        with awaited.scope:
            while time.monotonic() - last_good < PATIENCE_S:
                try:
                    if await asyncio.wait_for(self._poll(run_id), _POLL_S):
                        break
                except (RPCError, RuntimeError, TimeoutError) as error:
                    if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
                        break
                    await anyio.sleep(_PAUSE_S)
                else:
                    last_good = time.monotonic()
        awaited.ended.set()
        self._forget(run_id, awaited)

    async def _poll(self, run_id: str) -> bool:
        """Whether the run has ended; false where a poll came back with nothing."""
        handle = (await self._connection.client()).get_workflow_handle(run_id)
        events = handle.fetch_history_events(
            wait_new_event=True, event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
        )
        async for _ in events:
            return True
        return False

    def _forget(self, run_id: str, awaited: _Awaited) -> None:
        if self._awaited.get(run_id) is awaited:
            del self._awaited[run_id]
