import logging
from typing import Any

import pytest

from rpc_server.calls.errors import COMMON_ERRORS, to_rpc_error
from rpc_server.wire import errors
from schemas.problem import Problem, ProblemError, problem_error


def failure(code: str, *, rpc_code: int | None = None, **members: Any) -> ProblemError:
    return problem_error(code, "What happened.", next_step=("retry", "Again."), rpc_code=rpc_code, **members)


@pytest.mark.parametrize(
    ("problem_code", "integer"),
    [
        ("request.invalid", -32602),
        ("input.missing", -32602),
        ("runtime.unexpected", -32603),
        ("runtime.misconfigured", -32603),
        ("method.invalid", -31010),
        ("pipe.failed", -31020),
        ("model.unknown", -31030),
        ("provider.rate_limited", -31040),
        ("run.lost", -31050),
        ("run.cancelled", -31050),
        ("security.input_path_refused", -31060),
        ("runtime.unavailable", -31070),
        ("pipelex.deployment.orchestration_override_forbidden", -31081),
        ("runtime.unsupported", -31082),
        ("pipelex.plugin.not_found", -31082),
        ("pipelex.run.already_exists", -31050),
        ("pipelex.config.invalid", -32603),
        ("pipelex.deployment.custom_code_requires_sandbox", -31060),
        ("somebody.elses.code", -32603),
    ],
)
def test_the_integer_follows_from_the_problem_code(problem_code: str, integer: int) -> None:
    error = to_rpc_error(failure(problem_code, domain="runtime"))

    assert error["code"] == integer
    assert error["message"] == "What happened."
    assert error["data"]["code"] == problem_code


def test_a_start_that_needs_an_async_orchestrator_has_an_integer_of_its_own() -> None:
    error = to_rpc_error(failure("runtime.unsupported", params={"capability": "start"}))

    assert error["code"] == -31083


def test_a_code_of_no_known_family_goes_by_who_has_to_act() -> None:
    assert to_rpc_error(failure("other.code", domain="method"))["code"] == -31010


def test_a_mappers_own_integer_wins() -> None:
    assert to_rpc_error(failure("run.failed", rpc_code=-31905))["code"] == -31905


def test_the_problem_of_a_foreign_exception_comes_from_the_mapping() -> None:
    def mapping(error: BaseException) -> ProblemError | None:
        return failure("provider.failed", rpc_code=-31901) if isinstance(error, KeyError) else None

    error = to_rpc_error(KeyError("secret"), mapping)

    assert error["code"] == -31901
    assert "secret" not in str(error)


def test_a_problem_that_a_task_group_bundled_is_found() -> None:
    group = ExceptionGroup("bundle", [ExceptionGroup("inner", [failure("run.failed")])])

    assert to_rpc_error(group)["data"]["code"] == "run.failed"


def test_an_unexpected_exception_is_told_by_reference_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        error = to_rpc_error(RuntimeError("internal text"))

    reference = error["data"]["params"]["reference"]
    assert error["code"] == -32603
    assert error["data"]["code"] == "runtime.unexpected"
    assert "internal text" not in str(error)
    assert reference in caplog.text
    assert "internal text" in caplog.text


def test_a_document_has_no_member_without_a_value() -> None:
    assert None not in to_rpc_error(failure("run.failed"))["data"].values()


@pytest.mark.parametrize(
    ("error", "integer"),
    [
        (errors.parse_error("x"), -32700),
        (errors.invalid_request("x"), -32600),
        (errors.message_too_large("x", 1), -32600),
        (errors.method_not_found("x", []), -32601),
        (errors.overloaded(1), -31070),
        (errors.stopping(), -31070),
        (errors.cancelled(), -32800),
    ],
)
def test_the_errors_of_the_wire_are_problem_documents_like_any(error: dict[str, Any], integer: int) -> None:
    problem = Problem.model_validate(error["data"])

    assert error["code"] == integer
    assert problem.to_wire() == error["data"]
    assert problem.detail == error["message"]
    assert problem.code in COMMON_ERRORS


def test_an_overload_says_that_it_may_be_tried_again() -> None:
    assert errors.overloaded(1)["data"]["retry"] == "yes"


@pytest.mark.parametrize(
    ("name", "nearest"), [("exceute", "execute"), ("runs/gets", "runs/get"), ("something", None), ("x" * 10**6, None)]
)
def test_an_unknown_method_names_the_nearest_known_one(name: str, nearest: str | None) -> None:
    error = errors.method_not_found(name, ["execute", "runs/get"])

    assert (f"Did you mean `{nearest}`?" in error["message"]) is (nearest is not None)
    assert len(error["message"]) < 200
