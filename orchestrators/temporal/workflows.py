"""The workflows. They run in a worker, again and again over the same history.

Invariant: a change that a recorded history would notice stands behind `workflow.patched`.
"""

import math
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
_OUTCOMES = (HANDED_BACK, "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
# Seconds that Temporal can count.
_LONGEST_S = 253_370_764_799


@workflow.defn(name=RUN)
class RunMethod:
    """One run: attempts until one of them is not handed back, then the end as Temporal knows ends.

    The order is `{request: payload, deadline, heartbeat_timeout_s, retry_pause_s}`, with times in seconds. A completed
    run answers with the payload of its `RunResult`. Anyone who may start workflows can start this one with any order.
    """

    @workflow.run
    async def run(self, order: Any = None, *others: Any) -> Json:
        if others or not _is_order(order):
            problem = _unexpected("What the run was started with cannot be read.")
            raise ApplicationError(problem["detail"], problem, type=problem["code"], non_retryable=True)
        story: Any = None
        while True:
            outcome = await _attempt(order, story)
            if outcome["state"] != HANDED_BACK:
                break
            story = outcome.get("story")
            workflow.upsert_memo({WAITING: story})
            if workflow.cancellation_reason() is not None:
                # The worker that stopped had not heard of it.
                outcome = _outcome("CANCELLED", story)
                break
        workflow.upsert_memo({ENDED: {name: value for name, value in outcome.items() if name not in _ELSEWHERE}})
        return _ended(outcome)


@workflow.defn(name=VALIDATE)
class ValidateMethod:
    """One validation: `{request: payload}` in, the payload of its verdict out."""

    @workflow.run
    async def run(self, order: Any = None, *_others: Any) -> Json:
        verdict: Json = await workflow.execute_local_activity(
            VALIDATE, order, schedule_to_close_timeout=_VALIDATION, retry_policy=RetryPolicy(maximum_attempts=1)
        )
        return verdict


def _is_order(order: Any) -> bool:
    return (
        isinstance(order, dict)
        and (order.get("deadline") is None or _is_duration(order["deadline"]))
        and all(_is_duration(order.get(name)) for name in ("heartbeat_timeout_s", "retry_pause_s"))
    )


def _is_duration(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 < value <= _LONGEST_S


async def _attempt(order: Json, story: Any) -> Json:
    """The outcome of one scheduling of the activity. Temporal tries it again, elsewhere, when its worker dies."""
    try:
        outcome: Any = await workflow.execute_activity(
            RUN,
            args=[order, story],
            schedule_to_close_timeout=_remaining(order.get("deadline")),
            heartbeat_timeout=timedelta(seconds=order["heartbeat_timeout_s"]),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=order["retry_pause_s"]),
                backoff_coefficient=1.0,
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
    except ActivityError as error:
        return _without_outcome(error.cause, story)
    if not isinstance(outcome, dict) or outcome.get("state") not in _OUTCOMES:
        return _outcome("FAILED", story) | {"problem": _unexpected("What came of the run cannot be read.")}
    return outcome


def _remaining(deadline: float | None) -> timedelta:
    if deadline is None:
        return _WITHOUT_END
    return timedelta(seconds=max(1.0, deadline - workflow.time() + LATE_S))


def _without_outcome(cause: BaseException | None, story: Any) -> Json:
    """The outcome where no activity gave one: it was cancelled while it waited, or its worker is gone for good."""
    if isinstance(cause, CancelledError):
        return _outcome("CANCELLED", story)
    if isinstance(cause, TimeoutError):
        return _outcome("TIMED_OUT", cause.last_heartbeat_details[0] if cause.last_heartbeat_details else story)
    detail = f"The worker failed unexpectedly: {cause}"
    return _outcome("FAILED", story) | {"problem": _unexpected(detail)}


def _outcome(state: str, story: Any) -> Json:
    told = {name: value for name, value in story.items() if name != "events"} if isinstance(story, dict) else {}
    return told | {"state": state, "finished_at": workflow.time()}


def _unexpected(detail: str) -> Json:
    return {
        "code": "runtime.unexpected",
        "title": "Something unexpected failed",
        "detail": detail,
        "domain": "runtime",
        "retry": "no",
        "next_step": {"kind": "report", "detail": "Report it with what the worker's stderr holds."},
    }


def _ended(outcome: Json) -> Json:
    """What the workflow answers. Raises what ends it otherwise."""
    if outcome["state"] == "COMPLETED":
        result: Json = outcome.get("result") or {}
        return result
    if outcome["state"] == "CANCELLED":
        raise CancelledError("the run was cancelled")
    problem = {"code": "run.timed_out", "detail": "The run did not end in time."}
    told = outcome.get("problem")
    problem |= told if isinstance(told, dict) else {}
    raise ApplicationError(problem["detail"], problem, type=problem["code"], non_retryable=True)
