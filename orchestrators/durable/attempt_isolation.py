"""Which engine each attempt of a run gets, in the modes that repeat lost runs.

A method may be the reason why its engine ended. So the last attempt has an engine of its own, and cannot end the runs
beside it; few such engines exist at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from orchestrators.engines.pool import SHARED, EnginePool, Lane

_ALONE = 2


class AttemptIsolation:
    """Chooses for one worker. `max_attempts` is how often a run is begun at the most."""

    def __init__(self, pool: EnginePool, max_attempts: int) -> None:
        self._pool = pool
        self._max_attempts = max_attempts
        self._alone = anyio.Semaphore(_ALONE)

    @asynccontextmanager
    async def engine(self, run_id: str, lost_attempt: int) -> AsyncIterator[Lane]:
        """The lane of the attempt after `lost_attempt`, which is 0 for the first attempt."""
        if lost_attempt == 0 or lost_attempt + 1 < self._max_attempts:
            yield SHARED
            return
        lane = Lane(key=f"alone:{run_id}", max_engines=1)
        async with self._alone:
            try:
                yield lane
            finally:
                self._pool.end_lane(lane)
