"""What errors of temporalio's mean that no test can provoke in a real server, or that differ in their words alone.

The others are provoked in tests/contract/test_temporal_errors.py.
"""

from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    ServerError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
)
from temporalio.service import RPCError, RPCStatusCode

from orchestrators.temporal import problems
from orchestrators.temporal.problems import problem_of
from schemas.problem import NextStep, Problem
from tests.support.docs import codes, page

OURS = Problem(
    code="method.invalid",
    title="The method is not valid",
    detail="It is not valid.",
    domain="method",
    next_step=NextStep(kind="change_method", detail="Mend it."),
    pipeline_run_id="run-1",
)


def of_activity(cause: BaseException | None) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="mthds.run",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error


def of_child(cause: BaseException | None) -> ChildWorkflowError:
    error = ChildWorkflowError(
        "Child Workflow execution failed",
        namespace="default",
        workflow_id="child",
        run_id="r",
        workflow_type="foreign",
        initiated_event_id=1,
        started_event_id=2,
        retry_state=None,
    )
    error.__cause__ = cause
    return error


def of_workflow(cause: BaseException) -> WorkflowFailureError:
    return WorkflowFailureError(cause=cause)


def timeout(kind: TimeoutType | None) -> TimeoutError:
    return TimeoutError("activity timeout", type=kind, last_heartbeat_details=[])


def refusal(status: RPCStatusCode, message: str = "no") -> RPCError:
    return RPCError(message, status, b"")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (of_activity(None), "run.failed"),
        (of_workflow(of_activity(timeout(TimeoutType.HEARTBEAT))), "run.lost"),
        (of_workflow(of_activity(timeout(TimeoutType.SCHEDULE_TO_CLOSE))), "run.timed_out"),
        (timeout(TimeoutType.SCHEDULE_TO_START), "run.timed_out"),
        (timeout(None), "run.timed_out"),
        (of_workflow(of_activity(CancelledError("cancelled"))), "run.cancelled"),
        (TerminatedError("terminated"), "run.terminated"),
        (ServerError("internal"), "run.failed"),
        (FailureError("anything"), "run.failed"),
        (of_child(None), "run.failed"),
        (ApplicationError("too large", type="PayloadsTooLarge"), "request.too_large"),
        # What 1.29 calls it.
        (ApplicationError("too large", type="PayloadSizeError"), "request.too_large"),
        (refusal(RPCStatusCode.CANCELLED, "Timeout expired"), "runtime.unavailable"),
        (refusal(RPCStatusCode.DEADLINE_EXCEEDED), "runtime.unavailable"),
        (refusal(RPCStatusCode.UNKNOWN, "transport error"), "runtime.unavailable"),
        (refusal(RPCStatusCode.NOT_FOUND, "workflow not found for ID: x"), "run.not_found"),
        (refusal(RPCStatusCode.NOT_FOUND, "Namespace x is not found."), "runtime.misconfigured"),
        (refusal(RPCStatusCode.INVALID_ARGUMENT, "Blob data size exceeds limit."), "request.too_large"),
        (
            refusal(RPCStatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5 vs. 4)"),
            "request.too_large",
        ),
        (refusal(RPCStatusCode.UNIMPLEMENTED), "runtime.misconfigured"),
        (refusal(RPCStatusCode.FAILED_PRECONDITION), "runtime.misconfigured"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:60],
)
def test_every_kind_of_error_has_one_code(error: BaseException, code: str) -> None:
    problem = problem_of(error)

    assert problem.code == code
    assert problem.code in codes(page("docs/errors.md"))
    assert problem.next_step.detail.endswith((".", "?"))


@pytest.mark.parametrize(
    "error",
    [TerminatedError("why"), CancelledError("why"), timeout(TimeoutType.HEARTBEAT), timeout(None), ServerError("why")],
    ids=lambda error: type(error).__name__,
)
def test_the_run_is_named_where_it_is_known(error: BaseException) -> None:
    assert problem_of(of_workflow(error), "run-1").pipeline_run_id == "run-1"
    assert problem_of(error).pipeline_run_id is None


def test_a_stranger_is_named_where_it_is_known() -> None:
    error = refusal(RPCStatusCode.NOT_FOUND, "workflow not found for ID: run-1")

    assert "'run-1'" in problem_of(error, "run-1").detail


def test_a_problem_of_ours_comes_out_of_a_failure_as_it_went_in() -> None:
    failure = ApplicationError(OURS.detail, OURS.to_wire(), type=OURS.code)

    assert problem_of(of_workflow(of_activity(failure)), "run-2") == OURS


@pytest.mark.parametrize(
    "details",
    [
        [],
        ["a text"],
        [None],
        [{"code": "method.invalid"}],
        [{"code": 1, "title": 2, "detail": 3, "next_step": 4}],
        [{"code": "a.b", "title": "t", "detail": "d", "next_step": {}}],
    ],
    ids=repr,
)
def test_a_failure_of_somebody_elses_is_told_by_its_message(details: list[Any]) -> None:
    problem = problem_of(ApplicationError("there is no such invoice", *details, type="NoSuchInvoice"))

    assert (problem.code, problem.detail) == ("run.failed", "there is no such invoice")


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (TerminatedError("to save\n\tpower."), "The run was terminated in Temporal: to save power."),
        (TerminatedError(""), "The run was terminated in Temporal."),
        (ApplicationError(""), "The run ended without success."),
        (ApplicationError("first\r\nsecond"), "first second"),
    ],
    ids=repr,
)
def test_what_others_wrote_is_told_in_one_line(error: BaseException, detail: str) -> None:
    assert problem_of(error).detail == detail


@pytest.mark.parametrize(
    "error",
    [ApplicationError("x" * 100_000), TerminatedError("x" * 100_000), refusal(RPCStatusCode.UNKNOWN, "x" * 100_000)],
    ids=lambda error: type(error).__name__,
)
def test_what_others_wrote_at_length_is_cut(error: BaseException) -> None:
    assert len(problem_of(error).detail) < 1000


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (
            "Failed client connect: `get_system_info` call error: Status { code: Unauthenticated, … }",
            "auth.invalid_credential",
        ),
        ("Failed client connect: `get_system_info` call error: Status { code: PermissionDenied, … }", "auth.forbidden"),
        ("Failed client connect: Server connection error: tonic::transport::Error(…)", "runtime.unavailable"),
        ("", "runtime.unavailable"),
    ],
)
def test_why_a_client_could_not_connect_is_read_from_its_words(words: str, code: str) -> None:
    assert problems.not_connected("host:1", words).code == code


def test_who_cannot_be_reached_is_named() -> None:
    problem = problems.unreachable("host:7233", "it does not\nanswer")

    assert problem.detail == "The Temporal server at host:7233 cannot be reached: it does not answer."
    assert (problem.retry, problem.params) == ("yes", {"dependency": "orchestrator"})


def test_a_size_is_told_where_it_is_known() -> None:
    known, unknown = problems.too_large(3_000_000, 1_000_000), problems.too_large(None, None)

    assert "3,000,000" in known.detail
    assert known.params == {"limit": 1_000_000, "size": 3_000_000}
    assert unknown.params is None


def test_the_mapped_types_are_the_roots_of_all_that_temporalio_raises() -> None:
    kinds = (ActivityError, ApplicationError, CancelledError, TerminatedError, TimeoutError, ServerError)

    assert set(problems.MAPPED.values()) == {RPCError, FailureError, WorkflowFailureError}
    assert all(issubclass(kind, FailureError) for kind in kinds)
