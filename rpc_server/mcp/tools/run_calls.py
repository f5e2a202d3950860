"""Running methods for MCP callers: within a wait budget, with progress, as tasks where the caller takes them."""

import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import anyio

from orchestrators.plugins.mcp_features import Exchange
from rpc_server.calls import runs, start
from rpc_server.calls.execute import execute_for
from rpc_server.calls.services import Services, mode_of_run
from rpc_server.mcp.protocol import tasks
from rpc_server.mcp.protocol.request import ServedExchange, exchange_of
from rpc_server.mcp.protocol.revisions import IMMEDIATE_RESPONSE, TASKS_EXTENSION
from rpc_server.mcp.tools.method_roots import method_roots
from rpc_server.mcp.tools.run_progress import RunProgress
from rpc_server.mcp.tools.run_results import RunResults
from rpc_server.wire.peer import Peer
from rpc_server.workspace.method_folders import entry_pipe
from schemas.json_types import Json
from schemas.params import ExecuteParams, MethodParams, RunRef, RunResultParams, StartParams
from schemas.problem import ProblemError

logger = logging.getLogger(__name__)

Params = TypeVar("Params", ExecuteParams, StartParams)

_TASK_AFTER_S = 1.0
"""Seconds a run may take before a caller that takes tasks is given one: a short run is answered at once."""
_BACKGROUND_WAIT_S = 0.01
_BEAT_S = 10.0
"""Seconds without news after which progress is shown all the same, so that the host keeps waiting."""


class RunCalls:
    """Runs methods, and answers as the caller's era has it."""

    def __init__(self, services: Services, results: RunResults, peer: Peer) -> None:
        self._services = services
        self._peer = peer
        self._settings = services.settings.mcp
        self._results = results
        self._outside = [root for root in method_roots(services.settings, services.workspace) if root.outside]

    async def execute(self, params: ExecuteParams, exchange: ServedExchange) -> Json:
        """Run and wait within the budget: the result, or what to call next."""
        given = _with_id(params)
        self._results.remember(given, exchange.caller)
        if exchange.task is not None:
            return await self._as_legacy_task(given, exchange)
        takes_tasks = exchange.caller.has_extension(TASKS_EXTENSION) and exchange.is_modern
        waiting = given.model_copy(update={"wait_s": _TASK_AFTER_S if takes_tasks else self._budget(given, exchange)})
        async with self._shown(exchange) as progress:
            answer = await execute_for(self._services, exchange.call, waiting, progress.take)
        if "next_call" not in answer:
            return await self._results.of_result(answer, exchange.caller)
        if takes_tasks:
            return await self._modern_task(answer["pipeline_run_id"])
        return await self._results.of_running(answer, exchange.caller)

    async def run_method(self, path: str, inputs: Json, exchange: Exchange) -> Json:
        """Run a method that is a tool of its own. One outside the workspace is sent as its files."""
        assert isinstance(exchange, ServedExchange)
        outside = next((root for root in self._outside if Path(path).is_relative_to(root.folder)), None)
        if outside is None:
            return await self.execute(ExecuteParams(method=path, inputs=inputs), exchange)
        source = await outside.workspace.method_source(MethodParams(method=path))
        sent = source.model_dump(include={"files", "dependencies"})
        params = ExecuteParams.model_validate({**sent, "inputs": inputs, "pipe_code": entry_pipe(source)})
        return await self.execute(params, exchange)

    async def start(self, params: StartParams, exchange: ServedExchange) -> Json:
        """Start a run that needs no caller: its acknowledgement, or a task."""
        given = _with_id(params)
        self._results.remember(given, exchange.caller)
        answer = await start.start(self._services, given)
        if exchange.task is not None:
            return await self._legacy_task(answer["pipeline_run_id"], exchange)
        if exchange.is_modern and exchange.caller.has_extension(TASKS_EXTENSION):
            return await self._modern_task(answer["pipeline_run_id"])
        return await self._results.of_running(answer, exchange.caller)

    async def result(self, params: RunResultParams, exchange: ServedExchange) -> Json:
        """Wait for a run within the budget. One that has not ended is answered as such, without an error."""
        waiting = params.model_copy(update={"wait_s": min(params.wait_s, self._longest(exchange))})
        async with self._followed(params, exchange):
            try:
                answer = await runs.result(self._services, waiting)
            except ProblemError as error:
                if error.problem.code != "run.not_finished":
                    raise
                record = await runs.get(self._services, _ref(params))
                return await self._results.of_running(record, exchange.caller)
        return await self._results.of_result(answer, exchange.caller)

    async def _modern_task(self, run_id: str) -> Json:
        """The `CreateTaskResult` for a run that has not ended."""
        record = await self._record(run_id)
        return {"resultType": "task", **tasks.modern_task(record)}

    async def _as_legacy_task(self, params: ExecuteParams, exchange: ServedExchange) -> Json:
        assert params.run_id is not None
        services = self._services
        mode = await mode_of_run(services, params.orchestration_mode)
        if services.plugins.orchestrators.supports_fire_and_forget(mode):
            fields = params.model_dump(exclude={"wait_s"}, exclude_unset=True, by_alias=True)
            answer = await start.start(services, StartParams.model_validate(fields))
            return await self._legacy_task(answer["pipeline_run_id"], exchange)
        try:
            waiting = params.model_copy(update={"wait_s": _BACKGROUND_WAIT_S})
            await execute_for(services, exchange.call, waiting, RunProgress(exchange).take)
        except ProblemError:
            # A run that failed at once is a task that failed; a request that never became a run is no task.
            if not await self._is_known(params.run_id):
                raise
        return await self._legacy_task(params.run_id, exchange)

    async def _is_known(self, run_id: str) -> bool:
        try:
            await self._record(run_id)
        except ProblemError:
            return False
        return True

    async def _legacy_task(self, run_id: str, exchange: ServedExchange) -> Json:
        record = await self._record(run_id)
        if exchange.wants_progress:
            # The token is good for as long as the task lasts, which is longer than the call.
            lasting = exchange_of(replace(exchange.call, notify=self._peer.notify), exchange.caller)
            ref = RunRef(run_id=record["pipeline_run_id"])
            self._services.left_running.start_soon(self._follow, ref, RunProgress(lasting), anyio.CancelScope())
        said = f"The run {record['pipeline_run_id']} was started as a task."
        return {"task": tasks.legacy_task(record), "_meta": {IMMEDIATE_RESPONSE: said}}

    async def _record(self, run_id: str) -> Json:
        record: Json = await runs.get(self._services, RunRef(run_id=run_id))
        return record

    def _budget(self, params: ExecuteParams, exchange: ServedExchange) -> float:
        longest = self._longest(exchange)
        return longest if params.wait_s is None else min(params.wait_s, longest)

    def _longest(self, exchange: ServedExchange) -> float:
        return self._settings.wait_with_progress_s if exchange.wants_progress else self._settings.wait_s

    @asynccontextmanager
    async def _followed(self, ref: RunRef, exchange: ServedExchange) -> AsyncIterator[None]:
        """Show the events of a run that runs elsewhere, for the block."""
        async with self._shown(exchange) as progress:
            scope = anyio.CancelScope()
            if exchange.wants_progress or exchange.caller.log_level is not None:
                self._services.left_running.start_soon(self._follow, ref, progress, scope)
            try:
                yield
            finally:
                scope.cancel()

    async def _follow(self, ref: RunRef, progress: RunProgress, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                ledger, _ = await runs.found(self._services, _ref(ref))
                async for event in ledger.watch(ref.run_id, 0):
                    progress.take(event)
            except ProblemError as error:
                logger.debug("the run %s cannot be followed: %s", ref.run_id, error)

    @asynccontextmanager
    async def _shown(self, exchange: ServedExchange) -> AsyncIterator[RunProgress]:
        """Show the run's events to the caller for the block."""
        progress = RunProgress(exchange)
        scope = anyio.CancelScope()
        if exchange.wants_progress:
            self._services.left_running.start_soon(_beat, progress, scope)
        try:
            yield progress
        finally:
            scope.cancel()


def _ref(params: RunRef) -> RunRef:
    """The run alone, of params that ask for more."""
    return RunRef(run_id=params.run_id, orchestration_mode=params.orchestration_mode)


def _with_id(params: Params) -> Params:
    """The params with the id that the run will have."""
    return params.model_copy(update={"run_id": params.run_id or params.pipeline_run_id or str(uuid.uuid4())})


async def _beat(progress: RunProgress, scope: anyio.CancelScope) -> None:
    with scope:
        while True:
            await anyio.sleep(_BEAT_S)
            progress.beat()
