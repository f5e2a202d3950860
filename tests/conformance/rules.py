"""What the Streamable HTTP transport asks of a server beyond its messages: addresses, headers, status codes."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

LOCAL = {"localhost", "127.0.0.1", "::1"}
NAMED_BY = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Which parameter the header Mcp-Name repeats."""


def is_local(headers: Mapping[str, str]) -> bool:
    """Whether a request was meant for this machine, which a page that had its name rebound to us was not."""
    origin = headers.get("origin")
    return _host(f"//{headers.get('host', '')}") in LOCAL and (origin is None or _host(origin) in LOCAL)


def is_modern(headers: Mapping[str, str], message: Mapping[str, Any]) -> bool:
    """Whether a message stands alone, outside any session."""
    return VERSION in meta(message) or headers.get("mcp-protocol-version", "") >= "2026"


def header_fault(headers: Mapping[str, str], request: Mapping[str, Any]) -> str | None:
    """What the headers of a modern request say other than its body, if anything."""
    version = headers.get("mcp-protocol-version")
    if version is None or version != meta(request).get(VERSION, version):
        return f"MCP-Protocol-Version is {version!r}, but the request says {meta(request).get(VERSION)!r}"
    if headers.get("mcp-method") != request["method"]:
        return f"Mcp-Method is {headers.get('mcp-method')!r}, but the method is {request['method']!r}"
    named_by = NAMED_BY.get(request["method"])
    name = params(request).get(named_by) if named_by else None
    if isinstance(name, str) and _decoded(headers.get("mcp-name")) != name:
        return f"Mcp-Name is {headers.get('mcp-name')!r}, but {named_by} is {name!r}"
    return None


def status_of(request: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    """The HTTP status of the answer to a modern request."""
    code = answer.get("error", {}).get("code")
    if code == METHOD_NOT_FOUND:
        return 404
    is_bad_meta = code == INVALID_PARAMS and not {VERSION, CAPABILITIES} <= set(meta(request))
    return 400 if is_bad_meta or code in (HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION) else 200


def params(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a message; none where they are no object."""
    found = message.get("params")
    return found if isinstance(found, dict) else {}


def meta(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `_meta` of a message; empty where it is no object."""
    found = params(message).get("_meta")
    return found if isinstance(found, dict) else {}


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _decoded(value: str | None) -> str | None:
    """A header's value; one that no header could carry as it is comes as `=?base64?...?=`."""
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[len("=?base64?") : -len("?=")], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
