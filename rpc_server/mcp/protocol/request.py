"""One MCP request while it is served: what features are given, bound to the call behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrators.plugins.mcp_features import Exchange, LogLevel
from rpc_server.mcp.protocol.caller import Caller
from rpc_server.mcp.protocol.revisions import LOG_LEVELS
from rpc_server.wire.dispatch import Call

Notify = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class ServedExchange(Exchange):
    """An exchange that knows its call and its caller: our own features need both."""

    call: Call
    caller: Caller
    task: Mapping[str, Any] | None = None
    """The `task` member of a `tools/call` (2025-11-25): its caller wants a task in place of the result."""


def exchange_of(call: Call, caller: Caller, task: Mapping[str, Any] | None = None) -> ServedExchange:
    """The exchange of a request."""
    return ServedExchange(
        version=caller.version,
        client_capabilities=caller.capabilities,
        progress=_Progress(caller.progress_token, call.notify).tell,
        log=_Log(caller.log_level, call.notify).tell,
        wants_progress=caller.progress_token is not None,
        call=call,
        caller=caller,
        task=task,
    )


class _Progress:
    """Sends progress that increases, to a caller that gave a token."""

    def __init__(self, token: str | int | None, notify: Notify) -> None:
        self._token = token
        self._notify = notify
        self._last = float("-inf")

    def tell(self, progress: float, total: float | None, message: str | None) -> None:
        if self._token is None or progress <= self._last:
            return
        self._last = progress
        params: dict[str, Any] = {"progressToken": self._token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        self._notify("notifications/progress", params)


class _Log:
    """Sends log messages of at least the level that the caller asked for."""

    def __init__(self, level: str | None, notify: Notify) -> None:
        self._lowest = None if level is None else LOG_LEVELS.index(level)
        self._notify = notify

    def tell(self, level: LogLevel, data: Any) -> None:
        if self._lowest is not None and LOG_LEVELS.index(level) >= self._lowest:
            self._notify("notifications/message", {"level": level, "logger": "mthds-rpc", "data": data})
