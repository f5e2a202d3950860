"""Forgetting ended runs: their rows, DBOS's rows, their artifacts."""

import re
import shutil
import time
from pathlib import Path

import anyio.to_thread
import sqlalchemy as sa

from orchestrators.dbos.database import Database
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.tables import events, results, runs
from schemas.params import RUN_ID_PATTERN
from schemas.runs import RunState

_AT_ONCE = 200
_ENDED = [state for state in RunState if state.is_final]


class Pruner:
    """Prunes in small transactions, so that nobody waits long for one."""

    def __init__(self, database: Database, queue: RunQueue, artifacts: Path) -> None:
        self._database = database
        self._queue = queue
        self._artifacts = artifacts

    async def prune(self, keep_s: float | None, keep_runs: int | None) -> int:
        """Forget ended runs that ended more than `keep_s` seconds ago, and all but the newest `keep_runs`."""
        pruned = 0
        if keep_s is not None:
            old = runs.c.finished_at < time.time() - keep_s
            pruned += await self._prune(old)
        if keep_runs is not None:
            if keep_runs < 0:
                raise ValueError("nobody keeps fewer than no runs")
            border = await self._border(keep_runs)
            if border is not None:
                pruned += await self._prune(sa.tuple_(runs.c.created_at, runs.c.run_id) <= border)
        return pruned

    async def _border(self, keep_runs: int) -> "sa.Tuple | None":
        """The newest ended run that is one too many."""
        select = sa.select(runs.c.created_at, runs.c.run_id).where(runs.c.state.in_(_ENDED))
        select = select.order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).offset(keep_runs).limit(1)
        for row in await self._database.rows(select):
            return sa.tuple_(sa.literal(row.created_at), sa.literal(row.run_id))
        return None

    async def _prune(self, which: sa.ColumnElement[bool]) -> int:
        pruned = 0
        select = sa.select(runs.c.run_id).where(runs.c.state.in_(_ENDED), which).limit(_AT_ONCE)
        while ids := [row.run_id for row in await self._database.rows(select)]:
            await anyio.to_thread.run_sync(self._remove_artifacts, ids)
            await self._queue.delete(ids)
            await self._database.write(_delete, ids)
            pruned += len(ids)
        return pruned

    def _remove_artifacts(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            # A shared database may hold what somebody else wrote: no path is made of that.
            if not re.fullmatch(RUN_ID_PATTERN, run_id):
                continue
            shutil.rmtree(self._artifacts / run_id, ignore_errors=True)


def _delete(connection: sa.Connection, run_ids: list[str]) -> None:
    for table in (events, results, runs):
        connection.execute(table.delete().where(table.c.run_id.in_(run_ids)))
