"""jsonrpcserver, met in this module alone: it looks a method up and calls it.

Its documented `dispatch` imports jsonschema and http.server, which adds 60 ms to a start of 90, and takes 49 µs for a
call and 87 for one that waits, where its own inner functions take 3 and 21 (Python 3.13). So this module stands in as
the package, searches jsonrpcserver's folder, and imports its dispatchers without the package's `__init__`: they need
neither. An import of `jsonrpcserver` itself gets it whole and untouched.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from oslash.either import Right

from rpc_server.wire.errors import RpcError
from rpc_server.wire.messages import Request

_spec = find_spec("jsonrpcserver")
if _spec is None or _spec.submodule_search_locations is None:
    raise ModuleNotFoundError("jsonrpcserver is not installed", name="jsonrpcserver")
__path__ = list(_spec.submodule_search_locations)

if TYPE_CHECKING:
    from jsonrpcserver import async_dispatcher, dispatcher, result
    from jsonrpcserver.request import Request as LibraryRequest
else:
    from rpc_server.wire.jsonrpc_core import async_dispatcher, dispatcher, result
    from rpc_server.wire.jsonrpc_core.request import Request as LibraryRequest

Methods = dict[str, Callable[..., Any]]
"""By their names. Each takes the context and the params, and returns `success` or `failure`."""

success = result.Success


class Outcome(NamedTuple):
    """The result of a call, or its error; `error.data` is a problem document unless the library made the error."""

    result: Any = None
    error: Any = None


def failure(error: RpcError) -> Any:
    """What a method returns that failed."""
    return result.Error(**error)


def call_now(methods: Methods, request: Request, context: Any) -> Outcome:
    """Call a method that does not wait."""
    found = dispatcher.get_method(methods, request.method)
    return _outcome(dispatcher.call(_request(request), context, found._value) if isinstance(found, Right) else found)


async def call(methods: Methods, request: Request, context: Any) -> Outcome:
    """Call a method that may wait."""
    found = dispatcher.get_method(methods, request.method)
    if isinstance(found, Right):
        found = await async_dispatcher.call(_request(request), context, found._value)
    return _outcome(found)


def _request(request: Request) -> Any:
    return LibraryRequest(request.method, request.params or [], request.id)


def _outcome(either: Any) -> Outcome:
    return Outcome(result=either._value.result) if isinstance(either, Right) else Outcome(error=either._error)
