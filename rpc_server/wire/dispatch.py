"""The method table, dispatched by jsonrpcserver one call at a time.

The connection has parsed the request and `binding` checks its params, so jsonrpcserver is used from where it looks up
the method and calls it; before that it would gather the calls of a batch, which costs a task each. A method never
raises, so that no exception's text gets into an answer.
"""

import asyncio
import inspect
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from anyio import CancelScope
from oslash.either import Right

from rpc_server.wire import errors
from rpc_server.wire.binding import bind
from rpc_server.wire.errors import ErrorMapping, RpcError
from rpc_server.wire.jsonrpc_core import async_dispatcher, dispatcher, result
from rpc_server.wire.jsonrpc_core import request as theirs
from rpc_server.wire.messages import JsonId, Request

if TYPE_CHECKING:
    from pydantic import BaseModel

Answer = dict[str, Any]
"""A JSON-RPC response object."""


def _tell_nobody(method: str, params: dict[str, Any]) -> None:
    pass


Report = Callable[[float, str, Any], None]
"""Takes a number that grows, a text for people, and the same as JSON for programs."""


@dataclass(slots=True, eq=False)
class Call:
    """One request while it is served. Its handler may keep it until the handler returns, no longer."""

    id: JsonId
    """The caller's id; None also for a notification."""
    method: str
    in_batch: bool = False
    progress: Report | None = None
    """Tells the caller how far it is; does not block. None unless `params._meta.progressToken` was given."""
    notify: Callable[[str, dict[str, Any]], None] = _tell_nobody
    """Sends a notification, its method and params, before the answer; does not block, and drops what is not read."""
    cancel_error: RpcError | None = None
    """What a call that was cancelled is answered with."""
    is_silenced: bool = False
    """Whether its caller wants to hear nothing more of it, not even an answer."""
    closing_result: Any = None
    """What a call that lasts as long as its peer is answered with at the end; set by its handler."""
    _scope: CancelScope | None = field(default=None, init=False)

    @property
    def is_cancelled_by_caller(self) -> bool:
        """Whether the caller cancelled it, rather than the server, which stops."""
        return self.cancel_error is not None and self.cancel_error["code"] == errors.CANCELLED

    def cancel(self, error: RpcError, *, silently: bool = False) -> None:
        """Cancel the handler; the answer is `error`, or none at all, whatever the handler still does."""
        self.is_silenced = self.is_silenced or silently
        if self.cancel_error is None:
            self.cancel_error = error
            if self._scope is not None:
                self._scope.cancel()

    def open_scope(self) -> CancelScope:
        """The scope to run the handler in."""
        self._scope = CancelScope()
        if self.cancel_error is not None:
            self._scope.cancel()
        return self._scope


RAW = "raw"
"""For a method whose handler reads the params itself: it is given the object that was sent, `{}` where none was."""

Handler = Callable[[Call, Any], Awaitable[Any]] | Callable[[Call, Any], Any]
"""Takes the call and an instance of its params model, and returns what JSON can hold.

A coroutine function may wait and is cancelled through anyio; a plain function is for an answer that is at hand: it is
called on the spot, and nothing else happens meanwhile. Raises `ProblemError`, or anything that an error mapper knows.
"""


@dataclass(frozen=True, slots=True)
class CallSpec:
    """One wire method."""

    name: str
    params: "type[BaseModel] | str | None"
    """The params model; its fields give the order of positional params, `_meta` left out. As `"package.module:Name"`
    it is imported when it is first needed, so that start-up does not pay for it. None for a method without params,
    whose handler is given None; `RAW` for one that is given what was sent."""
    handler: Handler
    summary: str
    result: "type[BaseModel] | str | dict[str, Any]"
    """A model, likewise, or a JSON Schema."""
    errors: tuple[str, ...] = ()
    """The problem codes it may answer with, beside those that every method may."""
    answers_cancelled: bool = True
    """Whether a call that `notifications/cancelled` ends is answered, with the error of a cancelled call."""

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The params as the handler takes them. Raises ProblemError coded `request.invalid`."""
        if self.params is RAW and not args:
            return kwargs
        return bind(None if self.params is RAW else self.params_model, args, kwargs)

    @property
    def params_model(self) -> "type[BaseModel] | None":
        """The params model, imported."""
        return _model(self.params)

    @property
    def result_model(self) -> "type[BaseModel] | None":
        """The result's model, imported; None where the result is a JSON Schema."""
        return None if isinstance(self.result, dict) else _model(self.result)


CallTable = Mapping[str, CallSpec]


def method_table(*families: list[CallSpec]) -> CallTable:
    """One table of all `families`. Raises ValueError where two specs share a name."""
    table: dict[str, CallSpec] = {}
    for spec in (spec for family in families for spec in family):
        if spec.name in table:
            raise ValueError(f"two specs are named {spec.name}")
        table[spec.name] = spec
    return table


class Dispatcher:
    """Answers requests from a method table."""

    def __init__(self, table: CallTable, error_mapping: ErrorMapping | None = None) -> None:
        """Look each method up in `table` when it is first called, so that a table may import it then."""
        self.table = table
        self._error_mapping = error_mapping
        self._methods = _Methods(self._method_of)
        self._waiting: set[Callable[..., Any]] = set()

    def may_wait(self, method: str) -> bool:
        """Whether a call of `method` needs `answer`; an unknown method does not."""
        try:
            return self._methods[method] in self._waiting
        except KeyError:
            return False

    def answers_cancelled(self, method: str) -> bool:
        """Whether a call of `method` is answered although `notifications/cancelled` ended it."""
        spec = self.table.get(method)
        return spec is None or spec.answers_cancelled

    def answer_now(self, request: Request, call: Call) -> Answer | None:
        """The answer of a method that does not wait; None for a notification."""
        found = dispatcher.get_method(self._methods, request.method)
        outcome = dispatcher.call(_as_theirs(request), call, found._value) if isinstance(found, Right) else found
        return self._to_answer(request, outcome)

    async def answer(self, request: Request, call: Call) -> Answer | None:
        """The answer of a method that may wait; None for a notification."""
        found = dispatcher.get_method(self._methods, request.method)
        if isinstance(found, Right):
            found = await async_dispatcher.call(_as_theirs(request), call, found._value)
        return self._to_answer(request, found)

    def _to_answer(self, request: Request, outcome: Any) -> Answer | None:
        if request.is_notification:
            return None
        if isinstance(outcome, Right):
            return {"jsonrpc": "2.0", "id": request.id, "result": outcome._value.result}
        return {"jsonrpc": "2.0", "id": request.id, "error": self._to_error(request, outcome._error)}

    def _to_error(self, request: Request, error: Any) -> RpcError:
        """What our methods answered as it is; what the library found in our words, never in its own."""
        if isinstance(error.data, dict):
            return {"code": error.code, "message": error.message, "data": error.data}
        if error.code == errors.METHOD_NOT_FOUND:
            return errors.method_not_found(request.method, self.table)
        return errors.unexpected(RuntimeError(f"jsonrpcserver failed: {error!r}"))

    def _method_of(self, name: str) -> Callable[..., Any]:
        spec = self.table[name]
        if not inspect.iscoroutinefunction(spec.handler):
            return self._immediate_method(spec)
        method = self._waiting_method(spec)
        self._waiting.add(method)
        return method

    def _immediate_method(self, spec: CallSpec) -> Callable[..., Any]:
        def method(call: Call, /, *args: Any, **kwargs: Any) -> Any:
            try:
                return result.Success(spec.handler(call, spec.bind(args, kwargs)))
            except Exception as error:  # noqa: BLE001 - whatever a method raises becomes its answer
                return self._failure(error)

        return method

    def _waiting_method(self, spec: CallSpec) -> Callable[..., Any]:
        async def method(call: Call, /, *args: Any, **kwargs: Any) -> Any:
            outcome = None
            with call.open_scope():
                outcome = await self._outcome(spec, call, args, kwargs)
            return outcome if call.cancel_error is None else _ended(call, call.cancel_error)

        return method

    async def _outcome(self, spec: CallSpec, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return result.Success(await spec.handler(call, spec.bind(args, kwargs)))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if call.cancel_error is not None or (task is not None and task.cancelling()):
                raise
            # Nobody cancelled this call: its handler awaited something that was.
            return self._failure(error)
        except Exception as error:  # noqa: BLE001 - whatever a method raises becomes its answer
            return self._failure(error)

    def _failure(self, error: BaseException) -> Any:
        return result.Error(**errors.to_rpc_error(error, self._error_mapping))


def _ended(call: Call, error: RpcError) -> Any:
    """The answer of a call that was cancelled."""
    if call.closing_result is not None and not call.is_cancelled_by_caller:
        return result.Success(call.closing_result)
    return result.Error(**error)


class _Methods(dict[str, Callable[..., Any]]):
    """jsonrpcserver's methods, each made from its spec at its first call."""

    def __init__(self, method_of: Callable[[str], Callable[..., Any]]) -> None:
        super().__init__()
        self._method_of = method_of

    def __missing__(self, name: str) -> Callable[..., Any]:
        method = self[name] = self._method_of(name)
        return method


def _as_theirs(request: Request) -> Any:
    return theirs.Request(request.method, request.params or [], request.id)


@cache
def _imported(reference: str) -> Any:
    return pkgutil.resolve_name(reference)


def _model(reference: "type[BaseModel] | str | None") -> "type[BaseModel] | None":
    return _imported(reference) if isinstance(reference, str) else reference
