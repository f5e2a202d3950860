"""The errors that the wire itself answers with, and how one is built.

Problem documents are built here as plain members: the first answer does not wait for pydantic.
"""

import difflib
import logging
import os
from collections.abc import Iterable
from typing import Any

from schemas import problem_codes as codes

logger = logging.getLogger(__name__)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CANCELLED = -32800
UNAVAILABLE = -31070
_LONGEST_NAME = 80

RpcError = dict[str, Any]
"""The `error` member of an answer: `code`, `message`, and `data`, the problem document."""


def unexpected(error: BaseException) -> RpcError:
    """An unforeseen failure: the traceback goes to the log, its reference to the caller."""
    reference = os.urandom(6).hex()
    logger.error("Unexpected failure, reference %s", reference, exc_info=error)
    return rpc_error(
        INTERNAL_ERROR,
        "runtime.unexpected",
        f"The server met an unexpected failure; its log names it by the reference {reference}.",
        ("report", "Report it with the lines that the server's stderr holds under that reference."),
        params={"reference": reference},
    )


def parse_error(detail: str) -> RpcError:
    """The bytes are no JSON text, or not framed as one."""
    return rpc_error(
        PARSE_ERROR,
        "request.malformed",
        detail,
        ("change_input", "Send each message as one JSON text in UTF-8, on one line or behind a Content-Length header."),
        params={"reason": "unreadable"},
    )


def message_too_large(detail: str, limit: int) -> RpcError:
    """A message over the limit, which was skipped."""
    return rpc_error(
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
    return rpc_error(
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
    return rpc_error(
        METHOD_NOT_FOUND,
        "request.not_found",
        f"There is no method `{shortened(name)}`.{hint}",
        ("change_input", "Call a method that this server has; `rpc.discover` lists them."),
        params={"method": shortened(name)},
    )


def overloaded(limit: int) -> RpcError:
    """One call more than may be in flight."""
    return rpc_error(
        UNAVAILABLE,
        "runtime.unavailable",
        f"{limit} calls are in flight already, as many as the server takes at once.",
        ("retry", "Send the call again when an earlier one has been answered."),
        params={"limit": limit},
    )


def cancelled() -> RpcError:
    """The caller cancelled the call."""
    return rpc_error(
        CANCELLED,
        "run.cancelled",
        "The call was cancelled by its caller before it ended.",
        ("retry", "Call again if the result is still wanted."),
    )


def stopping() -> RpcError:
    """The server ends before the call could."""
    return rpc_error(
        UNAVAILABLE,
        "runtime.unavailable",
        "The server stopped before the call had ended.",
        ("retry", "Call again on a server that is running."),
    )


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    if len(name) > _LONGEST_NAME:
        return None
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def shortened(text: str) -> str:
    """Enough of a caller's text to recognise it by, fit to be shown."""
    from schemas.shown_text import fit_line

    return fit_line(text, _LONGEST_NAME)


def rpc_error(
    code: int, problem_code: str, detail: str, next_step: tuple[str, str], *, params: dict[str, Any] | None = None
) -> RpcError:
    """An error with a problem document; `next_step` is its kind and a sentence."""
    known = codes.problem_code(problem_code)
    kind, sentence = next_step
    data: dict[str, Any] = {
        "code": problem_code,
        "title": known.title,
        "detail": detail,
        "domain": known.domain,
        "retry": known.retry,
        "next_step": {"kind": kind, "detail": sentence},
    }
    if params:
        data["params"] = params
    return {"code": code, "message": detail, "data": data}
