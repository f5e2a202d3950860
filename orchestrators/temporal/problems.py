"""The problem of each of Temporal's errors (docs/errors.md has the table)."""

from collections.abc import Mapping

from pydantic import ValidationError
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    FailureError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from temporalio.service import RPCError, RPCStatusCode

from orchestrators.temporal import MODE
from schemas import run_problems
from schemas.problem import Problem, ProblemError, problem
from schemas.run_problems import run_cancelled, run_id_taken, run_lost, run_not_found, run_timed_out

MAPPED: Mapping[str, type[BaseException]] = {
    "RPCError": RPCError,
    "FailureError": FailureError,
    "WorkflowFailureError": WorkflowFailureError,
}
"""The exception types that the plugin maps; the rest are kinds of these."""

TORN = (
    RPCStatusCode.CANCELLED,
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.ABORTED,
    RPCStatusCode.DATA_LOSS,
)
"""How a call ends whose server dies."""
AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, *TORN)
"""How a call ends that no server answered."""
_REFUSALS = {
    "code: Unauthenticated": RPCStatusCode.UNAUTHENTICATED,
    "code: PermissionDenied": RPCStatusCode.PERMISSION_DENIED,
}
# In a refusal of the server, and as the type that temporalio gives an activity's failure.
_TOO_LARGE = ("size exceeds limit", "message after decompression larger than max", "message larger than max")
_TOO_LARGE_TYPES = ("PayloadsTooLarge", "PayloadSizeError")


def problem_of(error: BaseException, run_id: str | None = None) -> Problem:
    """The problem of an error of temporalio; `run_id` is the run that it is about, if known."""
    if isinstance(error, RPCError):
        return _of_rpc(error, run_id)
    if isinstance(error, WorkflowFailureError | ActivityError) and error.cause is not None:
        return problem_of(error.cause, run_id)
    if isinstance(error, WorkflowAlreadyStartedError):
        return run_id_taken(error.workflow_id).problem
    if isinstance(error, TerminatedError):
        return run_terminated(run_id, error.message)
    if isinstance(error, CancelledError):
        return run_cancelled(run_id)
    if isinstance(error, TimeoutError):
        return _of_timeout(error, run_id)
    if isinstance(error, ApplicationError):
        return _of_application(error, run_id)
    return _failed(run_id, str(error))


def unreachable(address: str, why: str) -> Problem:
    """The Temporal server does not answer."""
    return problem(
        "runtime.unavailable",
        f"The Temporal server at {address} cannot be reached: {_one_line(why)}.",
        next_step=("retry", "Try again once the server is up; `mthds-rpc config` says where its address is set."),
        domain="operator",
        params={"dependency": "orchestrator"},
    )


def not_connected(address: str, why: str) -> Problem:
    """temporalio's client could not connect; all that it says of the reason is a text."""
    for words, status in _REFUSALS.items():
        if words in why:
            return _refusal(status)
    return unreachable(address, why)


def no_worker(task_queue: str) -> ProblemError:
    """The refusal of a call that would wait for a worker of the task queue."""
    detail = f"No worker takes up runs of the task queue {task_queue!r}, and this call would wait for one."
    return run_problems.no_worker(MODE, detail)


def misconfigured(detail: str) -> Problem:
    """What is set cannot be used."""
    return problem(
        "runtime.misconfigured",
        detail,
        next_step=("fix_configuration", "Correct it, then start again; `mthds-rpc config` says where it is set."),
        params={"component": "orchestrator"},
    )


def too_large(size: int | None, limit: int | None) -> Problem:
    """A request that Temporal takes neither as it is nor by way of an artifact store. Sizes in bytes."""
    sizes = "" if size is None else f" It has {size:,} bytes; {limit:,} go without a store."
    return problem(
        "request.too_large",
        f"The request is too large for Temporal.{sizes}",
        next_step=(
            "change_input",
            "Send less, or set `artifact_store` in rpc_temporal_override.toml for server and workers alike.",
        ),
        params={name: value for name, value in (("limit", limit), ("size", size)) if value is not None} or None,
    )


def unreadable(run_id: str) -> Problem:
    """A run whose data in Temporal this release cannot read: a newer release or another program wrote it."""
    return problem(
        "run.lost",
        f"Some of what Temporal keeps of the run {run_id!r} cannot be read by this release of mthds-rpc.",
        next_step=("report", "Ask the release that started the run, or look at the run in Temporal itself."),
        params={"pipeline_run_id": run_id},
        run_id=run_id,
    )


def run_terminated(run_id: str | None, why: str | None) -> Problem:
    """The end of a run that was terminated in Temporal itself."""
    said = f": {_one_line(why)}" if why else ""
    return problem(
        "run.terminated",
        f"The run was terminated in Temporal{said}.",
        next_step=("report", "Ask the operator of the Temporal server why, then run it again."),
        params={"ended_by": "operator"},
        run_id=run_id,
    )


def _of_rpc(error: RPCError, run_id: str | None) -> Problem:
    text = error.message.lower()
    if any(words in text for words in _TOO_LARGE):
        return too_large(None, None)
    if error.status in AWAY:
        return unreachable("the configured address", error.message)
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        return unreachable("the configured address", f"it takes no more calls for now ({error.message})")
    if error.status in _REFUSALS.values():
        return _refusal(error.status)
    if error.status is RPCStatusCode.NOT_FOUND and "namespace" in text:
        return misconfigured(f"The Temporal server has no such namespace: {_one_line(error.message)}.")
    if error.status is RPCStatusCode.NOT_FOUND:
        problem = run_not_found(run_id or "").problem
        if run_id is not None:
            return problem
        # A call that names no run has only Temporal's own message.
        return problem.model_copy(update={"detail": f"{_one_line(error.message)}.", "params": None})
    return misconfigured(f"The Temporal server refuses a call of this mthds-rpc: {_one_line(error.message)}.")


def _refusal(status: RPCStatusCode) -> Problem:
    is_known = status is RPCStatusCode.PERMISSION_DENIED
    return problem(
        "auth.forbidden" if is_known else "auth.invalid_credential",
        "The Temporal server refuses what this mthds-rpc identifies itself by.",
        next_step=(
            "request_access" if is_known else "check_credentials",
            "Check `api_key` and `[tls]` of rpc_temporal.toml, or TEMPORAL_API_KEY, and what they may do.",
        ),
        domain="operator",
        params={"requirement": "access to the Temporal namespace"} if is_known else None,
    )


def _of_timeout(error: TimeoutError, run_id: str | None) -> Problem:
    if error.type is TimeoutType.HEARTBEAT:
        return run_lost(run_id, "The worker that had the run was not heard of any more.")
    return run_timed_out(run_id, None)


def _of_application(error: ApplicationError, run_id: str | None) -> Problem:
    """The problem that the error carries; for an error of a foreign workflow, its message."""
    if error.type in _TOO_LARGE_TYPES:
        return too_large(None, None)
    details = error.details[0] if error.details else None
    try:
        return Problem.model_validate(details)
    except ValidationError:
        return _failed(run_id, error.message)


def _failed(run_id: str | None, detail: str) -> Problem:
    return problem(
        "run.failed",
        _one_line(detail) or "The run ended without success.",
        next_step=("report", "Look at the run in Temporal, and report it to its operator."),
        run_id=run_id,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")[:500]
