"""Who sent a request: in which era, and what it can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.mcp.protocol.revisions import (
    CLIENT_CAPABILITIES,
    LOG_LEVEL,
    LOG_LEVELS,
    MODERN,
    PROTOCOL_VERSION,
    UNSUPPORTED_VERSION,
)
from rpc_server.wire.errors import INVALID_PARAMS
from rpc_server.wire.messages import progress_token


@dataclass
class Session:
    """What a legacy client has agreed on with `initialize`, for the life of its connection."""

    version: str | None = None
    """None before `initialize`."""
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    log_level: str | None = None
    """Nothing is logged to a client that has not set a level."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of one request."""

    version: str
    is_modern: bool
    capabilities: Mapping[str, Any]
    log_level: str | None
    progress_token: str | int | None

    def has_extension(self, name: str) -> bool:
        """Whether the client declared an extension, by its full name."""
        extensions = self.capabilities.get("extensions")
        return isinstance(extensions, dict) and isinstance(extensions.get(name), dict)


def is_modern(params: Mapping[str, Any]) -> bool:
    """Whether a request carries the modern envelope (2026-07-28, "Versioning")."""
    meta = params.get("_meta")
    return isinstance(meta, dict) and PROTOCOL_VERSION in meta


def modern_caller(params: Mapping[str, Any]) -> Caller:
    """The sender of a request with the modern envelope. Raises `McpFault` for an envelope that is not whole."""
    meta = params["_meta"]
    version = meta[PROTOCOL_VERSION]
    if not isinstance(version, str):
        raise no_version()
    if version not in MODERN:
        raise McpFault(
            UNSUPPORTED_VERSION, "Unsupported protocol version", {"supported": list(MODERN), "requested": version}
        )
    capabilities = meta.get(CLIENT_CAPABILITIES)
    if not isinstance(capabilities, dict):
        raise McpFault(INVALID_PARAMS, f"`_meta` must hold `{CLIENT_CAPABILITIES}`, an object such as {{}}.")
    level = meta.get(LOG_LEVEL)
    if level is not None:
        check_log_level(level)
    return Caller(version, True, capabilities, level, progress_token(params))


def legacy_caller(params: Mapping[str, Any], session: Session) -> Caller:
    """The sender of a request after `initialize`. Raises `McpFault` where there was none."""
    if session.version is None:
        raise McpFault(
            INVALID_PARAMS,
            f"No protocol version is agreed on: send `initialize` first, or `_meta` with `{PROTOCOL_VERSION}`.",
        )
    return Caller(session.version, False, session.capabilities, session.log_level, progress_token(params))


def no_version() -> McpFault:
    """The refusal of a request that must name its version, and does not."""
    return McpFault(INVALID_PARAMS, f"`_meta` must hold `{PROTOCOL_VERSION}`, a string such as `{MODERN[-1]}`.")


def check_log_level(level: Any) -> None:
    """Raise `McpFault` for what is no log level."""
    if level not in LOG_LEVELS:
        raise McpFault(INVALID_PARAMS, f"There is no such log level; the levels are {', '.join(LOG_LEVELS)}.")
