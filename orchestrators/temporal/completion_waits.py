"""Notifies waiters that a run has ended: one long poll of Temporal for each run that has any."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.service import RPCError, RPCStatusCode

from orchestrators.plugins.contract import BackgroundTasks
from orchestrators.temporal.connection import Connection

logger = logging.getLogger(__name__)

# How long the server may be away before waiters are woken.
PATIENCE_S = 120.0
# Temporal answers a long poll within a minute, possibly with nothing.
_POLL_S = 70.0
_PAUSE_S = 0.5


@dataclass
class _Awaited:
    waiters: int = 0
    ended: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class CompletionWaits:
    """The waiting of one process. `tasks` holds the long polls."""

    def __init__(self, connection: Connection, tasks: BackgroundTasks) -> None:
        self._connection = connection
        self._tasks = tasks
        self._awaited: dict[str, _Awaited] = {}

    @contextmanager
    def of(self, run_id: str) -> Iterator[anyio.Event]:
        """An event that is set once the run may have ended."""
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
        try:
            with awaited.scope:
                await self._wait_for_the_end(run_id)
        finally:
            awaited.ended.set()
            self._forget(run_id, awaited)

    async def _wait_for_the_end(self, run_id: str) -> None:
        last_good, token = time.monotonic(), b""
        while time.monotonic() - last_good < PATIENCE_S:
            try:
                token = await asyncio.wait_for(self._poll(run_id, token), _POLL_S)
            except Exception as error:  # the waits for other runs continue
                if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
                    return
                if not isinstance(error, RPCError | RuntimeError | TimeoutError):
                    logger.exception("waiting for the run %s failed; trying again", run_id)
                token = b""
                await anyio.sleep(_PAUSE_S)
                continue
            last_good = time.monotonic()
            if not token:
                return

    async def _poll(self, run_id: str, token: bytes) -> bytes:
        """One long poll: nothing once the run has ended, else the token of the next one."""
        client = await self._connection.client()
        request = GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=run_id),
            wait_new_event=True,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
            next_page_token=token,
        )
        answer = await client.workflow_service.get_workflow_execution_history(request)
        return b"" if answer.history.events else answer.next_page_token

    def _forget(self, run_id: str, awaited: _Awaited) -> None:
        if self._awaited.get(run_id) is awaited:
            del self._awaited[run_id]
