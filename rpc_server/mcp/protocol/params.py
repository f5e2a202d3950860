"""Reading the params of MCP requests, by hand: the first answer does not wait for pydantic."""

from collections.abc import Mapping
from typing import Any

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.wire.errors import INVALID_PARAMS


def required_text(params: Mapping[str, Any], name: str) -> str:
    """A string that must be there. Raises `McpFault`."""
    value = params.get(name)
    if not isinstance(value, str):
        raise McpFault(INVALID_PARAMS, f'The param `{name}` must be a string, such as "text".')
    return value


def optional_text(params: Mapping[str, Any], name: str) -> str | None:
    """A string that may be absent. Raises `McpFault`."""
    return None if params.get(name) is None else required_text(params, name)


def optional_object(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object that may be absent, then `{}`. Raises `McpFault`."""
    value = params.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise McpFault(INVALID_PARAMS, f"The param `{name}` must be an object, such as {{}}.")
    return value


def required_object(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object that must be there. Raises `McpFault`."""
    if params.get(name) is None:
        raise McpFault(INVALID_PARAMS, f"The param `{name}` must be an object, such as {{}}.")
    return optional_object(params, name)
