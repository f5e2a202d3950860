"""Notifies waiters of the progress of runs: one query for all of them, and none while there are none."""

import logging
import time
from dataclasses import dataclass, field

import anyio

from orchestrators.dbos import reading
from orchestrators.dbos.database import Database
from orchestrators.dbos.reading import Standing
from orchestrators.plugins.contract import BackgroundTasks
from schemas.problem import ProblemError

logger = logging.getLogger(__name__)

_POLL_S = 0.03
# How long the database may be away before waiters get an error.
_PATIENCE_S = 5.0
_AT_ONCE = 500


@dataclass(eq=False)
class _Waiter:
    run_id: str
    seen: Standing | None
    changed: anyio.Event = field(default_factory=anyio.Event)
    standing: Standing | None = None
    error: Exception | None = None


class Changes:
    """The waiters of one process. `tasks` runs the polling."""

    def __init__(self, database: Database, tasks: BackgroundTasks) -> None:
        self._database = database
        self._tasks = tasks
        self._waiters: set[_Waiter] = set()
        self._is_looking = False

    async def after(self, run_id: str, seen: Standing | None) -> Standing | None:
        """How far a run is, once that is not `seen` any more; None once it is gone. Raises `ProblemError`."""
        waiter = _Waiter(run_id, seen)
        self._waiters.add(waiter)
        if not self._is_looking:
            self._is_looking = True
            self._tasks.start_soon(self._look, name="changes of runs")
        try:
            await waiter.changed.wait()
        finally:
            self._waiters.discard(waiter)
        if waiter.error is not None:
            raise waiter.error
        return waiter.standing

    async def _look(self) -> None:
        last_good = time.monotonic()
        try:
            while self._waiters:
                try:
                    await self._look_once()
                    last_good = time.monotonic()
                except ProblemError as error:
                    if time.monotonic() - last_good > _PATIENCE_S:
                        self._fail_all(error)
                except Exception as error:  # noqa: BLE001 - raised again in each waiter
                    logger.exception("the changes of runs cannot be read")
                    self._fail_all(error)
                await anyio.sleep(_POLL_S)
        finally:
            self._is_looking = False

    async def _look_once(self) -> None:
        waiters = list(self._waiters)
        ids = sorted({waiter.run_id for waiter in waiters})
        standings: dict[str, Standing] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            standings |= await self._database.read(reading.standings, some)
        for waiter in waiters:
            standing = standings.get(waiter.run_id)
            if standing != waiter.seen:
                waiter.standing = standing
                waiter.changed.set()

    def _fail_all(self, error: Exception) -> None:
        for waiter in self._waiters:
            waiter.error = error
            waiter.changed.set()
