"""The end of a run's history, where Temporal has what its last activity answered and how the workflow ended."""

import json
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client

from orchestrators.temporal.connection import Connection
from orchestrators.temporal.names import CANCELLED_BY_CALLER, LATE_FOR_CALLER
from schemas.json_types import Json

# What stands behind an activity's end in a history: a workflow task, the memo, the end.
_LAST_EVENTS = 12


@dataclass(frozen=True)
class Closing:
    """The end of a history."""

    result: Any
    """The payload of a completed run; None if it is missing or cannot be read."""
    failure: Failure | None
    reason: str
    """Why it was terminated."""
    outcome: Json
    """What its last activity answered, or the event log that a caller terminated it with; empty where there is neither.
    Unchecked: a foreign worker may have answered anything."""
    outcome_at: float


async def closing(connection: Connection, run_id: str, execution: str) -> Closing:
    """The end of the history of one execution of a run. Raises `ProblemError`."""

    async def read(client: Client) -> Closing:
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=run_id, run_id=execution),
            maximum_page_size=_LAST_EVENTS,
        )
        answer = await client.workflow_service.get_workflow_execution_history_reverse(request)
        return _closing(list(answer.history.events))

    return await connection.call(read)


def _closing(events: list[HistoryEvent]) -> Closing:
    """Of the last events, the very last first."""
    last = events[0] if events else HistoryEvent()
    is_completed = last.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    is_failed = last.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
    answered = next(
        (event for event in events if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED), None
    )
    terminated = last.workflow_execution_terminated_event_attributes
    outcome = None if answered is None else value_of(answered.activity_task_completed_event_attributes.result)
    outcome = outcome if isinstance(outcome, dict) else {}
    if terminated.reason in (CANCELLED_BY_CALLER, LATE_FOR_CALLER) and terminated.HasField("details"):
        outcome = {"story": value_of(terminated.details) or outcome.get("story")}
    return Closing(
        result=value_of(last.workflow_execution_completed_event_attributes.result) if is_completed else None,
        failure=last.workflow_execution_failed_event_attributes.failure if is_failed else None,
        reason=terminated.reason,
        outcome=outcome,
        outcome_at=0.0 if answered is None else seconds_of(answered.event_time),
    )


def value_of(payloads: Payloads) -> Any:
    """The first payload as a JSON value; None if it is missing or is not JSON."""
    try:
        return json.loads(payloads.payloads[0].data) if payloads.payloads else None
    except (ValueError, RecursionError):
        return None


def seconds_of(time: Timestamp) -> float:
    """A time as seconds since the epoch."""
    return time.seconds + time.nanos / 1e9
