"""From a failure to a JSON-RPC error: the one table of integers, and the errors that the wire itself raises.

Problem documents are built here as plain members where no model is needed: the first answer does not wait for pydantic.
"""

import difflib
import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from rpc_server.wire.exception_groups import leaves
from schemas.problem_codes import title_of
from schemas.rpc_fault import RpcFault

if TYPE_CHECKING:
    from schemas.problem import Problem, ProblemError

logger = logging.getLogger(__name__)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CANCELLED = -32800
METHOD_FAULT = -31010
PIPE_FAULT = -31020
MODEL_FAULT = -31030
PROVIDER_FAULT = -31040
RUN_FAULT = -31050
SECURITY_FAULT = -31060
UNAVAILABLE = -31070
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
_LONGEST_NAME = 80

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

RpcError = dict[str, Any]
"""The `error` member of an answer: `code`, `message`, and `data`, the problem document."""


class ErrorMapping(Protocol):
    """What the plugins' error mappers are asked through."""

    def __call__(self, error: BaseException) -> "ProblemError | None":
        """The problem behind `error`, or None if no mapper knows its type. Never raises."""
        ...


def to_rpc_error(error: BaseException, mapping: ErrorMapping | None = None) -> RpcError:
    """The answer to whatever a method raised. What nobody knows is logged under a reference, and only that is told."""
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
    return _error(
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


def unexpected(error: BaseException) -> RpcError:
    """A failure nobody foresaw: the traceback goes to the log, its reference to the caller."""
    reference = os.urandom(6).hex()
    logger.error("Unexpected failure, reference %s", reference, exc_info=error)
    return _error(
        INTERNAL_ERROR,
        "runtime.unexpected",
        f"The server met an unexpected failure; its log names it by the reference {reference}.",
        ("report", "Report it with the lines that the server's stderr holds under that reference."),
        domain="runtime",
        params={"reference": reference},
    )


def parse_error(detail: str) -> RpcError:
    """The bytes are no JSON text, or not framed as one."""
    return _error(
        PARSE_ERROR,
        "request.malformed",
        detail,
        ("change_input", "Send each message as one JSON text in UTF-8, on one line or behind a Content-Length header."),
        params={"reason": "unreadable"},
    )


def message_too_large(detail: str, limit: int) -> RpcError:
    """A message over the limit, which was skipped."""
    return _error(
        INVALID_REQUEST,
        "request.too_large",
        detail,
        (
            "change_input",
            "Send less in one message: name files by their path, or raise the limit in rpc_override.toml.",
        ),
        params={"limit": limit},
    )


def invalid_request(detail: str) -> RpcError:
    """JSON that is no request."""
    return _error(
        INVALID_REQUEST,
        "request.malformed",
        detail,
        ("change_input", "Send an object with `jsonrpc`, `method`, and, where an answer is wanted, `id`."),
        params={"reason": "not_a_request"},
    )


def method_not_found(name: str, known: Iterable[str]) -> RpcError:
    """No such wire method; the nearest known one is named."""
    nearest = nearest_name(name, known)
    hint = f" Did you mean `{nearest}`?" if nearest else ""
    return _error(
        METHOD_NOT_FOUND,
        "request.not_found",
        f"There is no method `{shortened(name)}`.{hint}",
        ("change_input", "Call a method that this server has; `rpc.discover` lists them."),
        params={"method": shortened(name)},
    )


def overloaded(limit: int) -> RpcError:
    """One call more than may be in flight."""
    return _error(
        UNAVAILABLE,
        "runtime.unavailable",
        f"{limit} calls are in flight already, as many as the server takes at once.",
        ("retry", "Send the call again when an earlier one has been answered."),
        domain="runtime",
        retry="yes",
        params={"limit": limit},
    )


def cancelled() -> RpcError:
    """The caller cancelled the call."""
    return _error(
        CANCELLED,
        "run.cancelled",
        "The call was cancelled by its caller before it ended.",
        ("retry", "Call again if the result is still wanted."),
        retry="yes",
    )


def stopping() -> RpcError:
    """The server ends before the call could."""
    return _error(
        UNAVAILABLE,
        "runtime.unavailable",
        "The server stopped before the call had ended.",
        ("retry", "Call again on a server that is running."),
        domain="runtime",
        retry="yes",
    )


def _of_fault(fault: RpcFault) -> RpcError:
    """A protocol error as it was raised: with the `data` that it has, else with a problem document."""
    if fault.data is not None:
        return {"code": fault.code, "message": fault.message, "data": fault.data}
    problem_code = _MCP_PROBLEMS.get(fault.code, "request.invalid")
    return _error(fault.code, problem_code, fault.message, _MCP_NEXT_STEP)


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    if len(name) > _LONGEST_NAME:
        return None
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def shortened(text: str) -> str:
    """Enough of a caller's text to recognise it by, fit to be shown."""
    from schemas.shown_text import fit_line

    return fit_line(text, _LONGEST_NAME)


def _error(
    code: int,
    problem_code: str,
    detail: str,
    next_step: tuple[str, str],
    *,
    domain: str = "input",
    retry: str = "no",
    params: dict[str, Any] | None = None,
) -> RpcError:
    kind, sentence = next_step
    data: dict[str, Any] = {
        "code": problem_code,
        "title": title_of(problem_code),
        "detail": detail,
        "domain": domain,
        "retry": retry,
        "next_step": {"kind": kind, "detail": sentence},
    }
    if params:
        data["params"] = params
    return {"code": code, "message": detail, "data": data}
