"""What Temporal knows of a run, as the ledger needs it."""

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from orchestrators import run_events
from orchestrators.artifact_scope import artifact_scope
from orchestrators.temporal import MODE
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.event_log import events_of
from orchestrators.temporal.history import Closing, closing, seconds_of, value_of
from orchestrators.temporal.memo import Asked, Ended, asked_of, can_be_sent, ended_of, figures_of, members
from orchestrators.temporal.names import ASKED, CANCELLED_BY_CALLER, ENDED, HANDED_BACK, LATE_FOR_CALLER, RUN, WAITING
from orchestrators.temporal.problems import problem_of, run_terminated, unreadable
from schemas.canonical import canonical_json
from schemas.problem import Problem, ProblemError
from schemas.run_problems import run_cancelled, run_not_found, run_timed_out
from schemas.runs import RunEvent, RunRecord, RunState
from schemas.times import iso_time

logger = logging.getLogger(__name__)

# Events of a history whose workflow has not scheduled its activity yet.
_BEFORE_ACTIVITY = 4

_STATES = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: RunState.COMPLETED,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: RunState.FAILED,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: RunState.CANCELLED,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: RunState.CANCELLED,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: RunState.TIMED_OUT,
}
# The states that a memo may name, by how its workflow ended.
_ENDS = {
    RunState.COMPLETED: (RunState.COMPLETED,),
    RunState.FAILED: (RunState.FAILED, RunState.TIMED_OUT),
    RunState.CANCELLED: (RunState.CANCELLED,),
    RunState.TIMED_OUT: (),
}


@dataclass(frozen=True)
class RunSnapshot:
    """The state of a run at one moment."""

    run_id: str
    execution: str
    """Temporal's own id of it."""
    first_execution: str
    """The execution that Temporal has since reset or continued as this one; else the same."""
    taken_at: int
    """When Temporal took it, in microseconds since the epoch: its lists are no finer."""
    state: RunState
    asked: Asked
    is_readable: bool
    """Whether all of `asked` could be read; a foreign program or a newer release may have written it."""
    ended: Ended
    """How it ended; for a run that has not ended, how far it is."""
    event_log: Any
    """Its event log as JSON, unchecked; empty for a run that has ended."""
    has_progress: bool
    """Whether its description says how far it is."""
    is_terminated: bool
    waiting_since: float | None

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return self.ended.event_count + self.state.is_final

    @property
    def files_of(self) -> str:
        """The name of the run among all that have had its id: another execution, or another request, has another.

        Temporal chooses the first id, and a worker runs no request but that with this digest.
        """
        return hashlib.sha256(canonical_json([self.first_execution, self.asked.digest])).hexdigest()[:32]

    @property
    def artifacts(self) -> str:
        """Where its files are, below the folder of artifacts."""
        return artifact_scope(self.run_id, MODE, "", self.files_of)


async def take_snapshot(connection: Connection, run_id: str, execution: str = "") -> RunSnapshot:
    """The snapshot of a run; of the last one with the id, if `execution` is empty.

    Raises `run.not_found` for an unknown id and for the id of a foreign workflow.
    """

    async def describe(client: Client) -> RunSnapshot | None:
        request = DescribeWorkflowExecutionRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=run_id, run_id=execution)
        )
        found = await client.workflow_service.describe_workflow_execution(request)
        info = found.workflow_execution_info
        if info.type.name != RUN:
            return None
        return snapshot_of(info, found.pending_activities[0] if found.pending_activities else None)

    try:
        found = await connection.unmapped(describe)
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise run_not_found(run_id) from error
        raise ProblemError(problem_of(error, run_id)) from error
    if found is None:
        raise run_not_found(run_id)
    if found.has_progress:
        return found
    return with_outcome(found, await closing_of(connection, found))


async def closing_of(connection: Connection, snapshot: RunSnapshot) -> Closing:
    """The end of the run's history. Raises `ProblemError`."""
    return await closing(connection, snapshot.run_id, snapshot.execution)


def with_outcome(snapshot: RunSnapshot, end: Closing) -> RunSnapshot:
    """The snapshot completed by what the last activity answered, where the description had no progress."""
    event_log = end.outcome.get("story")
    ended = snapshot.ended.model_copy(update=figures_of(event_log))
    if snapshot.state.is_final:
        is_late = snapshot.is_terminated and end.reason == LATE_FOR_CALLER
        return replace(snapshot, ended=ended, state=RunState.TIMED_OUT if is_late else snapshot.state)
    if not end.outcome:
        # It never had an activity: a worker died during its first workflow task.
        return replace(snapshot, state=RunState.QUEUED, waiting_since=snapshot.taken_at / 1e6)
    if end.outcome.get("state") == HANDED_BACK:
        return replace(snapshot, state=RunState.QUEUED, ended=ended, event_log=event_log, waiting_since=end.outcome_at)
    return replace(snapshot, ended=ended, event_log=event_log)


def snapshot_of(info: WorkflowExecutionInfo, activity: PendingActivityInfo | None) -> RunSnapshot | None:
    """The snapshot by a run's description; None for a foreign workflow with the same name."""
    if ASKED not in info.memo.fields:
        return None
    found = members(info.memo)
    asked, is_readable = asked_of(found, seconds_of(info.start_time))
    state = _STATES.get(info.status) or _state_of_open(info, activity)
    finished_at = seconds_of(info.close_time) if info.HasField("close_time") else 0.0
    ended = ended_of(found, finished_at)
    if ended is not None and state.is_final and ended.state not in _ENDS[state]:
        ended = None
    is_terminated = info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
    has_progress = not is_terminated and (ended is not None or (not state.is_final and _tells(info, activity)))
    event_log = {} if state.is_final else _event_log(activity) or found.get(WAITING)
    if ended is None:
        figures = figures_of(found.get(ENDED, found.get(WAITING)) if state.is_final else event_log)
        ended = Ended.model_validate({"state": state, "finished_at": finished_at, **figures})
    elif state.is_final:
        state = ended.state
    return RunSnapshot(
        run_id=info.execution.workflow_id,
        execution=info.execution.run_id,
        first_execution=info.first_run_id or info.execution.run_id,
        taken_at=info.start_time.ToNanoseconds() // 1000,
        state=state,
        asked=asked,
        is_readable=is_readable,
        ended=ended,
        event_log=event_log,
        has_progress=has_progress,
        is_terminated=is_terminated,
        waiting_since=_waiting_since(info, activity) if state is RunState.QUEUED else None,
    )


def record_of(snapshot: RunSnapshot, problem: Problem | None, worker_alive: bool | None = None) -> RunRecord:
    """The record of a run. `problem` is why it failed, if it did."""
    ended = snapshot.ended
    if problem is None and not snapshot.is_readable:
        problem = unreadable(snapshot.run_id)
    return RunRecord(
        pipeline_run_id=snapshot.run_id,
        orchestration_mode=MODE,
        state=snapshot.state,
        created_at=iso_time(snapshot.asked.created_at),
        started_at=None if ended.started_at is None else iso_time(ended.started_at),
        finished_at=iso_time(ended.finished_at) if snapshot.state.is_final else None,
        pipe=snapshot.asked.pipe,
        method=snapshot.asked.method,
        attempt=ended.attempt,
        problem=problem,
        event_count=snapshot.event_count,
        worker_alive=worker_alive,
        waiting_since=None if snapshot.waiting_since is None else iso_time(snapshot.waiting_since),
        execution=snapshot.files_of,
    )


def _problem_without_history(snapshot: RunSnapshot) -> Problem | None:
    """Why a run failed, as far as its description says."""
    if snapshot.ended.problem is not None:
        return snapshot.ended.problem
    if snapshot.state is RunState.TIMED_OUT:
        limit = None if snapshot.asked.deadline is None else snapshot.asked.deadline - snapshot.asked.created_at
        return run_timed_out(snapshot.run_id, limit)
    if snapshot.state is RunState.CANCELLED and not snapshot.is_terminated:
        return run_cancelled(snapshot.run_id)
    return None


async def problem_of_end(connection: Connection, snapshot: RunSnapshot, end: Closing | None = None) -> Problem | None:
    """Why a run failed, if it did. `end` is the end of its history, if that has been read."""
    if not snapshot.state.is_final or snapshot.state is RunState.COMPLETED:
        return None
    problem = _problem_without_history(snapshot)
    if problem is not None:
        return problem
    return await _problem_of_closing(connection, snapshot, end or await closing_of(connection, snapshot))


async def _problem_of_closing(connection: Connection, snapshot: RunSnapshot, end: Closing) -> Problem:
    """Why a run failed whose memo does not say so."""
    if snapshot.is_terminated and end.reason != CANCELLED_BY_CALLER:
        return run_terminated(snapshot.run_id, end.reason)
    if end.failure is not None:
        return await _problem_of_failure(connection, snapshot.run_id, end.failure)
    return run_cancelled(snapshot.run_id)


async def _problem_of_failure(connection: Connection, run_id: str, failure: Failure) -> Problem:
    client = await connection.client()
    try:
        problem = problem_of(await client.data_converter.decode_failure(failure), run_id)
    except Exception:  # temporalio raises what it likes where details are encoded as it does not know
        logger.info("the failure of the run %s cannot be read", run_id, exc_info=True)
        return unreadable(run_id)
    return problem if can_be_sent(problem) else unreadable(run_id)


def last_event(snapshot: RunSnapshot, seq: int, problem: Problem | None) -> RunEvent:
    """The event that says how an ended run ended."""
    ended = snapshot.ended
    return run_events.ended(
        snapshot.run_id,
        ended.finished_at,
        snapshot.state,
        problem,
        attempt=ended.attempt,
        started=ended.started,
        ended=ended.ended,
        seq=seq,
    )


def events_so_far(snapshot: RunSnapshot, after: int) -> list[RunEvent]:
    """The events after `after` of a run that has not ended."""
    return events_of(snapshot.event_log, snapshot.run_id, after) if snapshot.ended.event_count > after else []


def _state_of_open(info: WorkflowExecutionInfo, activity: PendingActivityInfo | None) -> RunState:
    if activity is None:
        # Between the end of its activity and its own, a run does not wait for a worker.
        return RunState.RUNNING if _is_between(info) else RunState.QUEUED
    waits = activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    return RunState.QUEUED if waits else RunState.RUNNING


def _tells(info: WorkflowExecutionInfo, activity: PendingActivityInfo | None) -> bool:
    return activity is not None or not _is_between(info)


def _is_between(info: WorkflowExecutionInfo) -> bool:
    """Whether a run without an activity has had one."""
    return info.history_length > _BEFORE_ACTIVITY


def _waiting_since(info: WorkflowExecutionInfo, activity: PendingActivityInfo | None) -> float:
    if activity is not None and activity.HasField("scheduled_time"):
        return seconds_of(activity.scheduled_time)
    return seconds_of(info.start_time)


def _event_log(activity: PendingActivityInfo | None) -> Any:
    return None if activity is None else value_of(activity.heartbeat_details)
