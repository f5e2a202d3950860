"""Forgetting ended runs: their rows, DBOS's rows, their artifacts."""

import re
import shutil
from pathlib import Path
from typing import Any

import anyio.to_thread
import sqlalchemy as sa

from orchestrators.dbos.database import Database
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.rows import key, literal
from orchestrators.dbos.tables import events, results, runs
from schemas.params import RUN_ID_PATTERN
from schemas.runs import RunState

_AT_ONCE = 200
_ENDED = [state for state in RunState if state.is_final]


class Pruner:
    """Prunes in small transactions, so that other processes do not wait long."""

    def __init__(self, database: Database, queue: RunQueue, artifacts: Path) -> None:
        self._database = database
        self._queue = queue
        self._artifacts = artifacts

    async def prune(self, keep_s: float | None, keep_runs: int | None, now: float) -> int:
        """Forget ended runs that ended more than `keep_s` seconds before `now`, and all but the newest `keep_runs`."""
        pruned = 0
        if keep_s is not None:
            # A time that cannot be read has no age.
            old = runs.c.finished_at.between(1.0, now - keep_s)
            pruned += await self._prune(old)
        if keep_runs is not None:
            if keep_runs < 0:
                raise ValueError("keep_runs must not be negative")
            border = await self._border(keep_runs)
            if border is not None:
                pruned += await self._prune(sa.tuple_(runs.c.created_at, runs.c.run_id) <= border)
        return pruned

    async def _border(self, keep_runs: int) -> "sa.Tuple | None":
        """The newest ended run that is one too many."""
        select = sa.select(runs.c.created_at, runs.c.run_id).where(runs.c.state.in_(_ENDED))
        select = select.order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).offset(keep_runs).limit(1)
        for row in await self._database.rows(select):
            return sa.tuple_(literal(row.created_at), literal(row.run_id))
        return None

    async def _prune(self, which: sa.ColumnElement[bool]) -> int:
        pruned = 0
        select = sa.select(runs.c.run_id).where(runs.c.state.in_(_ENDED), which).limit(_AT_ONCE)
        while ids := [row.run_id for row in await self._database.rows(select)]:
            usable = [run_id for run_id in ids if _is_usable(run_id)]
            await anyio.to_thread.run_sync(self._remove_artifacts, usable)
            await self._queue.delete(usable)
            deleted = await self._database.write(_delete, ids)
            if deleted == 0:
                # The next query would find the same runs.
                break
            pruned += deleted
        return pruned

    def _remove_artifacts(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            shutil.rmtree(self._artifacts / run_id, ignore_errors=True)


def _is_usable(run_id: object) -> bool:
    """Whether it is the id of a run. A shared database may hold anything: no path is made of that."""
    return isinstance(run_id, str) and re.fullmatch(RUN_ID_PATTERN, run_id) is not None


def _delete(connection: sa.Connection, run_ids: list[Any]) -> int:
    keys = [key(run_id) for run_id in run_ids]
    deleted = 0
    for table in (events, results, runs):
        deleted = connection.execute(table.delete().where(table.c.run_id.in_(keys))).rowcount
    return deleted
