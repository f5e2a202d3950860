"""The calls of one peer that are being served.

Invariant: each request is answered exactly once, since only `settle` delivers an answer, and forgets the call.
"""

from collections.abc import Callable

import anyio

from rpc_server.wire.dispatch import Answer, Call
from rpc_server.wire.messages import JsonId

Deliver = Callable[[Answer | None], None]
"""Takes the one answer of a call; None where nothing is to be sent."""


class InFlight:
    """Calls by their id. An id's type counts: `1` and `"1"` are two ids, `1` and `1.0` are one number.

    Calls whose id is null cannot be distinguished, so none of them is ever found by its id.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._deliver: dict[Call, Deliver] = {}
        self._by_id: dict[JsonId, Call] = {}
        self._emptied = anyio.Event()

    @property
    def is_full(self) -> bool:
        return len(self._deliver) >= self._limit

    @property
    def is_last(self) -> bool:
        """Whether no more than one call is left."""
        return len(self._deliver) <= 1

    def __contains__(self, call: Call) -> bool:
        return call in self._deliver

    def find(self, id_: JsonId) -> Call | None:
        return self._by_id.get(id_)

    def calls(self) -> list[Call]:
        return list(self._deliver)

    def add(self, call: Call, deliver: Deliver) -> None:
        self._deliver[call] = deliver
        if call.id is not None:
            self._by_id[call.id] = call

    def settle(self, call: Call, answer: Answer | None) -> None:
        """Deliver the answer of `call`, unless it has been answered already."""
        deliver = self._deliver.pop(call, None)
        if deliver is None:
            return
        if self._by_id.get(call.id) is call:
            del self._by_id[call.id]
        deliver(answer)
        if not self._deliver:
            self._emptied.set()

    async def wait_until_empty(self) -> None:
        while self._deliver:
            self._emptied = anyio.Event()
            await self._emptied.wait()
