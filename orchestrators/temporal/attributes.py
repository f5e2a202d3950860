"""The search attribute that finds the runs of a method, where the namespace has it registered."""

import hashlib
import time

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from orchestrators.temporal.connection import Connection
from orchestrators.temporal.memo import Asked
from orchestrators.temporal.names import METHOD_ATTRIBUTE

# A registration is noticed within that time.
_LOOK_AGAIN_S = 60.0
# SQL visibility keeps no longer keyword.
_MOST_CHARACTERS = 200
# What Temporal's query language cannot quote in every visibility store.
_UNQUOTABLE = frozenset("'\"\\")
_METHOD = SearchAttributeKey.for_keyword(METHOD_ATTRIBUTE)


class Attributes:
    """What this process knows of the namespace's search attributes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._has_method = False
        self._looked_at: float | None = None

    async def of(self, asked: Asked) -> TypedSearchAttributes:
        """The attributes that a new run gets."""
        if asked.method is None or not await self.has_method():
            return TypedSearchAttributes.empty
        return TypedSearchAttributes([SearchAttributePair(_METHOD, method_keyword(asked.method))])

    async def has_method(self) -> bool:
        """Whether runs can be found by their method. Raises `ProblemError` where the server is away."""
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at > _LOOK_AGAIN_S:
            self._has_method = await self._look()
            self._looked_at = now
        return self._has_method

    async def _look(self) -> bool:
        async def listed(client: Client) -> bool:
            request = ListSearchAttributesRequest(namespace=client.namespace)
            found = await client.operator_service.list_search_attributes(request)
            return found.custom_attributes.get(METHOD_ATTRIBUTE) == IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

        try:
            return await self._connection.unmapped(listed)
        except RPCError:
            # A process that may start runs may lack the right to ask this. The memo is enough then.
            return False


def method_keyword(method: str) -> str:
    """A method's name as a keyword: itself, or something as distinct where the name is long or odd."""
    if len(method) <= _MOST_CHARACTERS and method.isprintable() and _UNQUOTABLE.isdisjoint(method):
        return method
    return "sha256:" + hashlib.sha256(method.encode("utf-8", "surrogatepass")).hexdigest()
