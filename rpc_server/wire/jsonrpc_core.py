"""jsonrpcserver's dispatchers, imported without their package's `__init__`.

That `__init__` loads jsonschema and http.server, a third of our time to the first answer, for the defaults of hooks
that `dispatch` fills with its own. The dispatcher modules need neither, so this module stands in as their package: it
searches jsonrpcserver's folder. Whoever imports `jsonrpcserver` itself gets it whole and untouched.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

_spec = find_spec("jsonrpcserver")
if _spec is None or _spec.submodule_search_locations is None:
    raise ModuleNotFoundError("jsonrpcserver is not installed", name="jsonrpcserver")
__path__ = list(_spec.submodule_search_locations)

if TYPE_CHECKING:
    from jsonrpcserver import async_dispatcher, codes, dispatcher, request, result
else:
    from rpc_server.wire.jsonrpc_core import async_dispatcher, codes, dispatcher, request, result

__all__ = ["async_dispatcher", "codes", "dispatcher", "request", "result"]
