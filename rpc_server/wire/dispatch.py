"""Answers requests from a table of methods, by way of jsonrpcserver.

The connection has parsed the request and the method reads its params, so jsonrpcserver looks the method up and calls
it. A method never raises, so that no exception's text gets into an answer.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from anyio import CancelScope

from rpc_server.wire import errors
from rpc_server.wire.errors import RpcError
from rpc_server.wire.jsonrpc_core import Methods, Outcome, call, call_now, failure, success
from rpc_server.wire.messages import JsonId, Request

Answer = dict[str, Any]
"""A JSON-RPC response object."""


def _discard(method: str, params: dict[str, Any]) -> None:
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
    notify: Callable[[str, dict[str, Any]], None] = _discard
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
        """Cancel the handler; the answer is `error`, or none at all, even if the handler still returns."""
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


Handler = Callable[[Call, Any], Awaitable[Any]] | Callable[[Call, Any], Any]
"""Takes the call and an instance of its params model, and returns what JSON can hold.

A coroutine function may wait and is cancelled through anyio; a plain function is for an answer that is at hand: it is
called on the spot, and nothing else happens meanwhile. Raises `ProblemError`, or anything that an error mapper knows.
"""


class Method(Protocol):
    """One wire method, as the dispatcher needs it."""

    @property
    def handler(self) -> Handler: ...

    @property
    def answers_cancelled(self) -> bool:
        """Whether a call that `notifications/cancelled` ends is answered, with the error of a cancelled call."""
        ...

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The params as the handler takes them. May raise."""
        ...


ToError = Callable[[BaseException], RpcError]
"""Makes the error of an answer from an exception of a method. Never raises."""


class Dispatcher:
    """Answers requests from a method table."""

    def __init__(self, table: Mapping[str, Method], to_error: ToError) -> None:
        """Look each method up in `table` when it is first called, so that a table may import it then."""
        self.table = table
        self._to_error = to_error
        self._methods: Methods = _Methods(self._method_of)
        self._waiting: set[Callable[..., Any]] = set()

    def may_wait(self, method: str) -> bool:
        """Whether a call of `method` needs `answer`; an unknown method does not."""
        try:
            return self._methods[method] in self._waiting
        except KeyError:
            return False

    def answers_cancelled(self, method: str) -> bool:
        """Whether a call of `method` is answered although `notifications/cancelled` ended it."""
        found = self.table.get(method)
        return found is None or found.answers_cancelled

    def answer_now(self, request: Request, served: Call) -> Answer | None:
        """The answer of a method that does not wait; None for a notification."""
        return self._answer(request, call_now(self._methods, request, served))

    async def answer(self, request: Request, served: Call) -> Answer | None:
        """The answer of a method that may wait; None for a notification."""
        return self._answer(request, await call(self._methods, request, served))

    def _answer(self, request: Request, outcome: Outcome) -> Answer | None:
        if request.is_notification:
            return None
        if outcome.error is None:
            return {"jsonrpc": "2.0", "id": request.id, "result": outcome.result}
        return {"jsonrpc": "2.0", "id": request.id, "error": self._error(request, outcome.error)}

    def _error(self, request: Request, error: Any) -> RpcError:
        """What our methods answered as it is; what the library found in our words, never in its own."""
        if isinstance(error.data, dict):
            return {"code": error.code, "message": error.message, "data": error.data}
        if error.code == errors.METHOD_NOT_FOUND:
            return errors.method_not_found(request.method, self.table)
        return errors.unexpected(RuntimeError(f"jsonrpcserver failed: {error!r}"))

    def _method_of(self, name: str) -> Callable[..., Any]:
        found = self.table[name]
        if not inspect.iscoroutinefunction(found.handler):
            return self._immediate_method(found)
        method = self._waiting_method(found)
        self._waiting.add(method)
        return method

    def _immediate_method(self, found: Method) -> Callable[..., Any]:
        def method(served: Call, /, *args: Any, **kwargs: Any) -> Any:
            try:
                return success(found.handler(served, found.bind(args, kwargs)))
            except Exception as error:  # noqa: BLE001 - each exception becomes the answer
                return failure(self._to_error(error))

        return method

    def _waiting_method(self, found: Method) -> Callable[..., Any]:
        async def method(served: Call, /, *args: Any, **kwargs: Any) -> Any:
            outcome = None
            with served.open_scope():
                outcome = await self._outcome(found, served, args, kwargs)
            return outcome if served.cancel_error is None else _ended(served, served.cancel_error)

        return method

    async def _outcome(self, found: Method, served: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return success(await found.handler(served, found.bind(args, kwargs)))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if served.cancel_error is not None or (task is not None and task.cancelling()):
                raise
            # This call was not cancelled: its handler awaited something that was.
            return failure(self._to_error(error))
        except Exception as error:  # noqa: BLE001 - each exception becomes the answer
            return failure(self._to_error(error))


def _ended(served: Call, error: RpcError) -> Any:
    """The answer of a call that was cancelled."""
    if served.closing_result is not None and not served.is_cancelled_by_caller:
        return success(served.closing_result)
    return failure(error)


class _Methods(Methods):
    """Each made from its spec at its first call."""

    def __init__(self, method_of: Callable[[str], Callable[..., Any]]) -> None:
        super().__init__()
        self._method_of = method_of

    def __missing__(self, name: str) -> Callable[..., Any]:
        method = self[name] = self._method_of(name)
        return method
