"""What one JSON value from a peer is: a request, a notification, a response, or none of these."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

JsonId = str | int | float | None
Params = dict[str, Any] | list[Any]

_ID_TYPES = (str, int, type(None))
_PARAMS_TYPES = (dict, list)
_TOKEN = re.compile(rb'[ \t\r\n]*+("(?:[^"\\]|\\.)*+"|[{}\[\]:,]|[^ \t\r\n"{}\[\]:,]++)', re.DOTALL)
"""A string, a mark, or a number or word. Possessive, so that no text makes it go back."""


@dataclass(slots=True)
class Request:
    """A call, or a notification, which has no id and gets no answer."""

    method: str
    params: Params | None
    id: JsonId
    is_notification: bool


class NotARequest(ValueError):
    """Why a value is no request, as a sentence; `id` is the request's own where it can be read, else None."""

    def __init__(self, detail: str, id_: JsonId = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.id = id_


def read_request(value: Any) -> Request | None:
    """The request in `value`; None for what is not answered. Raises NotARequest.

    Not answered are a response, since the server asks nothing, and a notification, even a faulty one.
    """
    if not isinstance(value, dict):
        raise NotARequest("A message must be an object.")
    if "method" not in value and ("result" in value or "error" in value):
        return None
    try:
        return _read_request(value)
    except NotARequest:
        if "id" not in value and isinstance(value.get("method"), str):
            return None
        raise


def id_in_head(head: bytes) -> JsonId:
    """The id of the message that begins with `head`, where it stands in there, whole and at the top; else None."""
    tokens = list(_tokens(head))
    depth = 0
    for index, token in enumerate(tokens):
        if depth == 1 and token == b'"id"' and tokens[index - 1] in (b"{", b","):
            colon, value, end = (tokens[index + 1 : index + 4] + [b""] * 3)[:3]
            return _scalar(value) if colon == b":" and end in (b",", b"}") else None
        if index == 0 and token != b"{":
            return None
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
    return None


def _tokens(text: bytes) -> Iterator[bytes]:
    position = 0
    while token := _TOKEN.match(text, position):
        yield token[1]
        position = token.end()


def _scalar(text: bytes) -> JsonId:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if _is_id(value) else None


def progress_token(params: Any) -> str | int | None:
    """The token for progress notifications: `_meta.progressToken`, a string or an integer, where given."""
    meta = params.get("_meta") if isinstance(params, dict) else None
    token = meta.get("progressToken") if isinstance(meta, dict) else None
    return token if isinstance(token, str | int) and not isinstance(token, bool) else None


def _read_request(value: dict[str, Any]) -> Request:
    id_ = _read_id(value)
    if value.get("jsonrpc") != "2.0":
        raise NotARequest('A message must have `"jsonrpc": "2.0"`.', id_)
    method = value.get("method")
    if not isinstance(method, str):
        raise NotARequest("A request must have a `method`, a string.", id_)
    return Request(method, _read_params(value, id_), id_, "id" not in value)


def _read_id(value: dict[str, Any]) -> JsonId:
    id_: JsonId = value.get("id")
    if not _is_id(id_):
        raise NotARequest("An `id` must be a string, a number or null.")
    return id_


def _is_id(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, _ID_TYPES) and not isinstance(value, bool)


def _read_params(value: dict[str, Any], id_: JsonId) -> Params | None:
    """Null counts as absent: clients send it for a method without params."""
    params = value.get("params")
    if params is None or isinstance(params, _PARAMS_TYPES):
        return params
    raise NotARequest("`params` must be an object or an array.", id_)
