"""The MCP face: its methods, each served in the era of the request that calls it.

A request with the modern envelope stands alone; any other belongs to the session that `initialize` began. Both may
come on one connection, in any order, beside plain JSON-RPC (2026-07-28, "Versioning").
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio import to_thread

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.calls.call_spec import RAW, CallSpec, CallTable
from rpc_server.mcp.protocol import handshake
from rpc_server.mcp.protocol.caller import (
    Caller,
    Session,
    check_log_level,
    is_modern,
    legacy_caller,
    modern_caller,
    no_version,
)
from rpc_server.mcp.protocol.params import optional_object, required_text
from rpc_server.mcp.protocol.revisions import BATCHES, LATEST_LEGACY, MODERN, V2024_11_05
from rpc_server.redaction import Redactor
from rpc_server.wire.dispatch import Call, Handler
from rpc_server.wire.errors import INVALID_REQUEST, METHOD_NOT_FOUND
from rpc_server.wire.peer import Peer

if TYPE_CHECKING:
    from rpc_server.calls.services import Services
    from rpc_server.mcp.protocol.server import McpServer
    from schemas.problem import ProblemError

Params = dict[str, Any]


class Late(Protocol):
    """What is there only after a while."""

    async def ready(self) -> "Services":
        """The services, once they are open."""
        ...

    def map_error(self, error: BaseException) -> "ProblemError | None":
        """An `ErrorMapping`."""
        ...


@dataclass(frozen=True, slots=True)
class _Offer:
    """Where a method exists: since which legacy revision, None for no legacy one; and whether in the modern era."""

    legacy_since: str | None
    modern: bool

    def includes(self, caller: Caller) -> bool:
        if caller.is_modern:
            return self.modern
        return self.legacy_since is not None and caller.version >= self.legacy_since


_BOTH = _Offer(V2024_11_05, True)
_LEGACY = _Offer(V2024_11_05, False)
_LEGACY_TASKS = _Offer(LATEST_LEGACY, False)
_TASKS = _Offer(LATEST_LEGACY, True)
_MODERN = _Offer(None, True)

_OFFERS = {
    "tools/list": _BOTH,
    "tools/call": _BOTH,
    "resources/list": _BOTH,
    "resources/templates/list": _BOTH,
    "resources/read": _BOTH,
    "resources/subscribe": _LEGACY,
    "resources/unsubscribe": _LEGACY,
    "subscriptions/listen": _MODERN,
    "prompts/list": _BOTH,
    "prompts/get": _BOTH,
    "completion/complete": _BOTH,
    "tasks/get": _TASKS,
    "tasks/cancel": _TASKS,
    "tasks/update": _MODERN,
    "tasks/result": _LEGACY_TASKS,
    "tasks/list": _LEGACY_TASKS,
}


class McpEndpoint:
    """The methods of MCP for one peer."""

    def __init__(self, peer: Peer, redactor: Redactor, late: Late) -> None:
        """`late` is waited for by everything but the introductions, which are answered at once."""
        self._session = Session()
        self._peer = peer
        self._redactor = redactor
        self._late = late
        self._server: McpServer | None = None
        self._opening = anyio.Lock()

    def methods(self) -> CallTable:
        """The table of every method of both eras."""
        specs = [
            _spec("initialize", self._initialize),
            _spec("ping", self._ping),
            _spec("logging/setLevel", self._set_level),
            _spec("server/discover", self._discover),
            *(_spec(name, self._served(name, offer)) for name, offer in _OFFERS.items()),
        ]
        return {spec.name: spec for spec in specs}

    def refuse_batch(self, values: list[Any]) -> str | None:
        """Why a batch of `values` is not taken: by the version agreed on, or named in it, there are none; else None."""
        version = self._session.version
        if version is None or version in BATCHES:
            version = MODERN[-1] if any(map(_is_modern_message, values)) else None
        return None if version is None else f"Protocol version {version} has no batches; send messages singly."

    def _initialize(self, call: Call, params: Params) -> Any:
        if is_modern(params):
            raise _no_such_method("initialize")
        _check_id(call)
        if call.in_batch:
            raise McpFault(INVALID_REQUEST, "`initialize` must not be part of a batch.")
        version = handshake.agreed_version(required_text(params, "protocolVersion"))
        self._session.version = version
        self._session.capabilities = optional_object(params, "capabilities")
        self._session.log_level = None
        return handshake.initialize_result(version)

    def _ping(self, call: Call, params: Params) -> Any:
        if is_modern(params):
            raise _no_such_method("ping")
        _check_id(call)
        return {}

    def _set_level(self, call: Call, params: Params) -> Any:
        caller = self._caller(call, params, _LEGACY)
        level = required_text(params, "level")
        check_log_level(level)
        self._session.log_level = level
        return _complete({}, caller)

    def _discover(self, call: Call, params: Params) -> Any:
        return _complete(handshake.discover_result(), self._caller(call, params, _MODERN))

    def _served(self, name: str, offer: _Offer) -> Handler:
        async def handler(call: Call, params: Params) -> Any:
            caller = self._caller(call, params, offer)
            server = self._server or await self._opened()
            return _complete(await server.serve(name, call, caller, params), caller)

        return handler

    async def _opened(self) -> "McpServer":
        services = await self._late.ready()
        async with self._opening:
            if self._server is None:
                opening = await to_thread.run_sync(import_module, "rpc_server.mcp.bootstrap")
                self._server = await opening.open_mcp(
                    services, self._session, self._peer, self._redactor, self._late.map_error
                )
        return self._server

    def _caller(self, call: Call, params: Params, offer: _Offer) -> Caller:
        """Who calls; raises `McpFault` for a request that cannot be served in its era."""
        _check_id(call)
        if is_modern(params):
            if not offer.modern:
                raise _no_such_method(call.method)
            caller = modern_caller(params)
        elif offer.legacy_since is None:
            # Only the modern era has it, and there the envelope is not optional.
            raise no_version()
        else:
            caller = legacy_caller(params, self._session)
        if not offer.includes(caller):
            raise _no_such_method(call.method)
        return caller


def _spec(name: str, handler: Handler) -> CallSpec:
    return CallSpec(name=name, params=RAW, handler=handler, summary="", result={}, answers_cancelled=False)


def _check_id(call: Call) -> None:
    """MCP allows strings and whole numbers as ids, where JSON-RPC also allows null and fractions."""
    if not isinstance(call.id, str | int):
        raise McpFault(INVALID_REQUEST, "The `id` of a request must be a string or a whole number.")


def _complete(result: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """The result with what the modern era adds to each (2026-07-28, "Result")."""
    if not caller.is_modern:
        return result
    meta = {**handshake.RESULT_META, **result.get("_meta", {})}
    return {"resultType": "complete", **result, "_meta": meta}


def _is_modern_message(value: Any) -> bool:
    params = value.get("params") if isinstance(value, dict) else None
    return isinstance(params, dict) and is_modern(params)


def _no_such_method(name: str) -> McpFault:
    return McpFault(METHOD_NOT_FOUND, f"There is no method `{name}` in this protocol version.")
