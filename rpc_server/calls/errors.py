"""From an exception to a JSON-RPC error: the table of integers, and what is said of each kind of failure."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from rpc_server.wire.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    UNAVAILABLE,
    RpcError,
    rpc_error,
    unexpected,
)
from rpc_server.wire.exception_groups import leaves
from schemas.rpc_fault import RpcFault

if TYPE_CHECKING:
    from schemas.problem import Problem, ProblemError

logger = logging.getLogger(__name__)

METHOD_FAULT = -31010
PIPE_FAULT = -31020
MODEL_FAULT = -31030
PROVIDER_FAULT = -31040
RUN_FAULT = -31050
SECURITY_FAULT = -31060
OVERRIDE_FORBIDDEN = -31081
NO_SUCH_MODE = -31082
START_NEEDS_ASYNC = -31083
ORCHESTRATOR_UNREACHABLE = -31084

_BY_CODE = {
    "request.malformed": INVALID_REQUEST,
    "request.too_large": INVALID_REQUEST,
    "request.not_found": METHOD_NOT_FOUND,
    "request.method_not_allowed": METHOD_NOT_FOUND,
    "runtime.unavailable": UNAVAILABLE,
    "runtime.unsupported": NO_SUCH_MODE,
    "pipelex.sandbox.unavailable": UNAVAILABLE,
    "pipelex.plugin.not_found": NO_SUCH_MODE,
    "pipelex.deployment.orchestration_override_forbidden": OVERRIDE_FORBIDDEN,
}
_BY_FAMILY = {
    "request": INVALID_PARAMS,
    "input": INVALID_PARAMS,
    "runtime": INTERNAL_ERROR,
    "method": METHOD_FAULT,
    "pipe": PIPE_FAULT,
    "model": MODEL_FAULT,
    "provider": PROVIDER_FAULT,
    "run": RUN_FAULT,
    "security": SECURITY_FAULT,
    "auth": SECURITY_FAULT,
    "account": PROVIDER_FAULT,
    "pipelex.run": RUN_FAULT,
    "pipelex.request": INVALID_PARAMS,
    "pipelex.security": SECURITY_FAULT,
    "pipelex.deployment": SECURITY_FAULT,
}
_BY_DOMAIN = {"input": INVALID_PARAMS, "method": METHOD_FAULT}

COMMON_ERRORS = (
    "request.malformed",
    "request.too_large",
    "request.not_found",
    "request.invalid",
    "run.cancelled",
    "runtime.misconfigured",
    "runtime.unavailable",
    "runtime.unexpected",
)
"""The problem codes that any call may be answered with."""

_MCP_PROBLEMS = {INVALID_REQUEST: "request.malformed", METHOD_NOT_FOUND: "request.not_found"}
_MCP_NEXT_STEP = ("change_input", "Correct the request as the message says, then send it again.")


class ErrorMapping(Protocol):
    """What the plugins' error mappers are asked through."""

    def __call__(self, error: BaseException) -> "ProblemError | None":
        """The problem behind `error`, or None if no mapper knows its type. Never raises."""
        ...


def to_rpc_error(error: BaseException, mapping: ErrorMapping | None = None) -> RpcError:
    """The error for an exception. An unknown one is logged under a reference, which is all that the caller gets."""
    if isinstance(error, RpcFault):
        return _of_fault(error)
    from schemas.problem import ProblemError

    for cause in leaves(error):
        if isinstance(cause, RpcFault):
            return _of_fault(cause)
        known = cause if isinstance(cause, ProblemError) else mapping(cause) if mapping is not None else None
        if known is not None:
            return problem_to_rpc_error(known.problem, known.rpc_code)
    return _of_surroundings(error) or unexpected(error)


def _no_text() -> RpcError:
    """Something in the request is a string of JSON, and yet no text: half a surrogate pair."""
    return rpc_error(
        INVALID_PARAMS,
        "request.invalid",
        "A string in the params, or the name of a member, holds half of a surrogate pair, which is no text.",
        ("change_input", "Send whole characters, then send the request again."),
    )


def _of_surroundings(error: BaseException) -> RpcError | None:
    """What the request or this machine is at fault for, though nothing says so."""
    from schemas.system_problems import system_problem

    for cause in leaves(error):
        if isinstance(cause, UnicodeEncodeError):
            return _no_text()
        problem = system_problem(cause)
        if problem is not None:
            logger.warning("a call failed for a reason of this machine: %s", cause)
            return problem_to_rpc_error(problem)
    return None


def problem_to_rpc_error(problem: "Problem", rpc_code: int | None = None) -> RpcError:
    """The error for a problem; `rpc_code` stands in for the table's integer."""
    code = code_of(problem.code, problem.params, problem.domain) if rpc_code is None else rpc_code
    return {"code": code, "message": problem.detail, "data": problem.to_wire()}


def code_of(problem_code: str, params: Mapping[str, Any] | None = None, domain: str = "") -> int:
    """The integer of a problem: by its code, else by its family, else by who has to act."""
    if problem_code == "runtime.unsupported" and params and params.get("capability") == "start":
        return START_NEEDS_ASYNC
    if problem_code == "runtime.unavailable" and params and params.get("dependency") == "orchestrator":
        return ORCHESTRATOR_UNREACHABLE
    if problem_code in _BY_CODE:
        return _BY_CODE[problem_code]
    family = problem_code.rpartition(".")[0]
    return _BY_FAMILY.get(family) or _BY_DOMAIN.get(domain, INTERNAL_ERROR)


def _of_fault(fault: RpcFault) -> RpcError:
    """A protocol error as it was raised: with the `data` that it has, else with a problem document."""
    if fault.data is not None:
        return {"code": fault.code, "message": fault.message, "data": fault.data}
    problem_code = _MCP_PROBLEMS.get(fault.code, "request.invalid")
    return rpc_error(fault.code, problem_code, fault.message, _MCP_NEXT_STEP)
