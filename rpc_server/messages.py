"""What one JSON value from a peer is: a request, a notification, a response, or none of these."""

from dataclasses import dataclass
from typing import Any

JsonId = str | int | float | None
Params = dict[str, Any] | list[Any]

_LENIENT_METHODS = ("shutdown", "exit")
"""Editors send these with `"params": null`."""


@dataclass(slots=True)
class Request:
    """A call, or a notification, which has no id and gets no answer."""

    method: str
    params: Params | None
    id: JsonId
    is_notification: bool


class NotARequest(ValueError):
    """Why a value is no request, as a sentence; `id` is the request's own where it can be told, else None."""

    def __init__(self, detail: str, id_: JsonId = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.id = id_


def read_request(value: Any) -> Request | None:
    """The request in `value`, None for a response, which a server that asks nothing ignores. Raises NotARequest."""
    if not isinstance(value, dict):
        raise NotARequest("A message must be an object.")
    if "method" not in value and ("result" in value or "error" in value):
        return None
    id_ = _read_id(value)
    if value.get("jsonrpc") != "2.0":
        raise NotARequest('A message must have `"jsonrpc": "2.0"`.', id_)
    method = value.get("method")
    if not isinstance(method, str):
        raise NotARequest("A request must have a `method`, a string.", id_)
    return Request(method, _read_params(value, method, id_), id_, "id" not in value)


def _read_id(value: dict[str, Any]) -> JsonId:
    id_ = value.get("id")
    if isinstance(id_, bool) or not isinstance(id_, str | int | float | None):
        raise NotARequest("An `id` must be a string, a number or null.")
    return id_


def _read_params(value: dict[str, Any], method: str, id_: JsonId) -> Params | None:
    if "params" not in value:
        return None
    params = value["params"]
    if isinstance(params, dict | list):
        return params
    if params is None and (method in _LENIENT_METHODS or method.startswith("$/")):
        return None
    raise NotARequest("`params` must be an object or an array.", id_)
