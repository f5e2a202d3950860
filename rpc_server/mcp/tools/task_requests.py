"""`tasks/*`: runs as tasks, in both forms: of 2025-11-25, and of the extension of 2026-07-28."""

from pydantic import ValidationError

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.calls import runs
from rpc_server.calls.services import Services
from rpc_server.mcp.protocol import tasks
from rpc_server.mcp.protocol.caller import Caller
from rpc_server.mcp.protocol.params import optional_text, required_object, required_text
from rpc_server.mcp.protocol.revisions import RELATED_TASK, TASKS_EXTENSION, V2026_07_28
from rpc_server.mcp.protocol.server import Failures
from rpc_server.mcp.protocol.subscriptions import missing_tasks_extension
from rpc_server.mcp.tools.run_results import RunResults
from rpc_server.wire.dispatch import Call
from rpc_server.wire.errors import INVALID_PARAMS
from schemas.json_types import Json
from schemas.params import RunRef, RunResultParams, RunsListParams
from schemas.problem import ProblemError

_WAIT_S = 3600.0
_PAGE = 50


class RunTasks:
    """Answers about runs by their ids, which are their tasks' ids."""

    def __init__(self, services: Services, results: RunResults, failures: Failures) -> None:
        self._services = services
        self._results = results
        self._failures = failures

    async def get(self, call: Call, caller: Caller, params: Json) -> Json:
        """How the task stands; in the modern form with the result of one that has ended."""
        record = await self._record(caller, params)
        if not caller.is_modern:
            return tasks.legacy_task(record)
        return await self._detailed(record, caller)

    async def detailed(self, task_id: str) -> Json:
        """The `DetailedTask` of the extension, for a client that listens."""
        caller = Caller(V2026_07_28, True, {"extensions": {TASKS_EXTENSION: {}}}, None, None)
        return await self._detailed(await self._record(caller, {"taskId": task_id}), caller)

    async def result(self, call: Call, caller: Caller, params: Json) -> Json:
        """Wait for the task's end: what the call would have been answered with (2025-11-25, "Tasks")."""
        record = await self._record(caller, params)
        result = await self._outcome(record["pipeline_run_id"], caller)
        return {**result, "_meta": {**result.get("_meta", {}), RELATED_TASK: {"taskId": record["pipeline_run_id"]}}}

    async def cancel(self, call: Call, caller: Caller, params: Json) -> Json:
        """Stop the run. The older form refuses a task that has ended; the modern one takes it as done."""
        record = await self._record(caller, params)
        if tasks.has_ended(record) and not caller.is_modern:
            raise McpFault(INVALID_PARAMS, f"The task has ended already: {record['state'].lower()}.")
        cancelled = await runs.cancel(self._services, RunRef(run_id=record["pipeline_run_id"]))
        return {} if caller.is_modern else tasks.legacy_task(cancelled)

    async def update(self, call: Call, caller: Caller, params: Json) -> Json:
        """Take answers to what the task asked. Runs ask nothing, so that none is awaited."""
        await self._record(caller, params)
        required_object(params, "inputResponses")
        return {}

    async def list(self, call: Call, caller: Caller, params: Json) -> Json:
        """Every run, newest first."""
        cursor = optional_text(params, "cursor") or None
        if cursor is not None and "/" not in cursor:
            raise McpFault(INVALID_PARAMS, "There is no such cursor; begin without one.")
        asked = RunsListParams(cursor=cursor, limit=_PAGE)
        page = await runs.list_runs(self._services, asked)
        found: Json = {"tasks": [tasks.legacy_task(record) for record in page["runs"]]}
        return found | ({"nextCursor": page["next_cursor"]} if "next_cursor" in page else {})

    async def _detailed(self, record: Json, caller: Caller) -> Json:
        task = tasks.modern_task(record)
        if task["status"] == "completed":
            result = await self._outcome(record["pipeline_run_id"], caller)
            task["result"] = {"resultType": "complete", **result}
        return task

    async def _outcome(self, run_id: str, caller: Caller) -> Json:
        try:
            answer = await runs.result(self._services, RunResultParams(run_id=run_id, wait_s=_WAIT_S))
        except ProblemError as error:
            return self._failures.result(error, caller)
        return await self._results.of_result(answer, caller)

    async def _record(self, caller: Caller, params: Json) -> Json:
        """The run's record. Raises `McpFault` for an id of no run."""
        if caller.is_modern and not caller.has_extension(TASKS_EXTENSION):
            raise missing_tasks_extension()
        task_id = required_text(params, "taskId")
        try:
            record: Json = await runs.get(self._services, RunRef(run_id=task_id))
        except ValidationError:
            raise _no_such_task() from None
        except ProblemError as error:
            if error.problem.code != "run.not_found":
                raise
            raise _no_such_task() from error
        return record


def _no_such_task() -> McpFault:
    return McpFault(INVALID_PARAMS, "There is no such task.")
