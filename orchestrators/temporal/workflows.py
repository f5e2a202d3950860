"""The workflows. They run in a worker, again and again over the same history, so they change only as Temporal's rules
for versioning allow: a change that a recorded history would notice stands behind `workflow.patched`.
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutError

from orchestrators.temporal.names import ENDED, HANDED_BACK, LATE_S, RUN, VALIDATE, WAITING

Json = dict[str, Any]

# The longest that Temporal keeps a timer; for a run without a deadline.
_WITHOUT_END = timedelta(days=365)
_VALIDATION = timedelta(minutes=5)
# What of an outcome is kept in the history alone.
_ELSEWHERE = ("result", "story")


@workflow.defn(name=RUN)
class RunMethod:
    """One run: attempts until one of them is not handed back, then the end as Temporal knows ends.

    The order is `{request: parcel, deadline, heartbeat_timeout_s, retry_pause_s}`, with times in seconds. What comes of
    a completed run is the parcel of its `RunResult`.
    """

    @workflow.run
    async def run(self, order: Json) -> Json:
        story: Json | None = None
        while True:
            outcome = await _attempt(order, story)
            if outcome["state"] != HANDED_BACK:
                break
            story = outcome["story"]
            workflow.upsert_memo({WAITING: story})
            if workflow.cancellation_reason() is not None:
                # The worker that stopped had not heard of it.
                outcome = _outcome("CANCELLED", story)
                break
        workflow.upsert_memo({ENDED: {name: value for name, value in outcome.items() if name not in _ELSEWHERE}})
        return _ended(outcome)


@workflow.defn(name=VALIDATE)
class ValidateMethod:
    """One validation: `{request: parcel}` in, the parcel of its verdict out."""

    @workflow.run
    async def run(self, order: Json) -> Json:
        verdict: Json = await workflow.execute_local_activity(
            VALIDATE, order, schedule_to_close_timeout=_VALIDATION, retry_policy=RetryPolicy(maximum_attempts=1)
        )
        return verdict


async def _attempt(order: Json, story: Json | None) -> Json:
    """The outcome of one scheduling of the activity. Temporal tries it again, elsewhere, when its worker dies."""
    try:
        outcome: Json = await workflow.execute_activity(
            RUN,
            args=[order, story],
            schedule_to_close_timeout=_remaining(order["deadline"]),
            heartbeat_timeout=timedelta(seconds=order["heartbeat_timeout_s"]),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=order["retry_pause_s"]),
                backoff_coefficient=1.0,
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
    except ActivityError as error:
        return _without_outcome(error.cause, story)
    return outcome


def _remaining(deadline: float | None) -> timedelta:
    if deadline is None:
        return _WITHOUT_END
    return timedelta(seconds=max(1.0, deadline - workflow.time() + LATE_S))


def _without_outcome(cause: BaseException | None, story: Json | None) -> Json:
    """The outcome where no activity gave one: it was cancelled while it waited, or its worker is gone for good."""
    if isinstance(cause, CancelledError):
        return _outcome("CANCELLED", story)
    if isinstance(cause, TimeoutError):
        return _outcome("TIMED_OUT", cause.last_heartbeat_details[0] if cause.last_heartbeat_details else story)
    return _outcome("FAILED", story) | {"problem": _unexplained(cause)}


def _outcome(state: str, story: Json | None) -> Json:
    told = {} if story is None else {name: value for name, value in story.items() if name != "events"}
    return told | {"state": state, "finished_at": workflow.time()}


def _unexplained(cause: BaseException | None) -> Json:
    return {
        "code": "runtime.unexpected",
        "title": "Something unexpected failed",
        "detail": f"The worker failed in a way that nobody foresaw: {cause}",
        "domain": "runtime",
        "retry": "no",
        "next_step": {"kind": "report", "detail": "Report it with what the worker's stderr holds."},
    }


def _ended(outcome: Json) -> Json:
    """What the workflow answers. Raises what ends it otherwise."""
    if outcome["state"] == "COMPLETED":
        result: Json = outcome["result"]
        return result
    if outcome["state"] == "CANCELLED":
        raise CancelledError("the run was cancelled")
    problem = outcome.get("problem") or {"code": "run.timed_out", "detail": "The run did not end in time."}
    raise ApplicationError(problem["detail"], problem, type=problem["code"], non_retryable=True)
