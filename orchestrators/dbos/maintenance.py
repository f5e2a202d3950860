"""What every worker looks after now and then, for all: dead workers, overdue runs, strays, old runs."""

import logging
import time
from collections.abc import Container

import anyio
import sqlalchemy as sa

from orchestrators.dbos import transitions
from orchestrators.dbos.database import Database
from orchestrators.dbos.executors import Executors
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.retention import Pruner
from orchestrators.dbos.settings import DbosSettings
from orchestrators.dbos.tables import queued, runs
from orchestrators.run_problems import run_cancelled, run_lost
from schemas.problem import ProblemError
from schemas.runs import RunState

logger = logging.getLogger(__name__)

_RECOVER_S = 2.0
_OVERDUE_S = 5.0
_STRAYS_S = 10.0
_PRUNE_S = 600.0
# A run is ended by others only so long after its deadline that its own worker must have failed to.
_LATE_S = 5.0
_AT_ONCE = 100


class Maintenance:
    """One worker's share. All of it may be done by several workers at once."""

    def __init__(
        self,
        database: Database,
        queue: RunQueue,
        executors: Executors,
        pruner: Pruner,
        settings: DbosSettings,
        executor: str,
        in_hand: Container[str],
    ) -> None:
        self._database = database
        self._queue = queue
        self._executors = executors
        self._pruner = pruner
        self._settings = settings
        self._executor = executor
        self._in_hand = in_hand
        self._suspects: set[str] = set()

    async def keep(self) -> None:
        """Look after everything, each in its own interval, until cancelled."""
        due = dict.fromkeys((self.recover, self.end_overdue, self.collect_strays, self.prune), 0.0)
        every = {self.recover: _RECOVER_S, self.end_overdue: _OVERDUE_S, self.collect_strays: _STRAYS_S}
        while True:
            for task in due:
                if time.monotonic() >= due[task]:
                    try:
                        await task()
                    except ProblemError as error:
                        logger.warning("the database is away: %s", error)
                    due[task] = time.monotonic() + every.get(task, _PRUNE_S)
            await anyio.sleep(_RECOVER_S)

    async def recover(self) -> None:
        """Put back in the queue what dead workers had in hand."""
        owners = await self._queue.owners() - {self._executor}
        owners |= await self._database.read(_claimants) - {self._executor}
        burial = self._executors.burying(owners)
        dead = await self._database.in_thread(burial.__enter__)
        try:
            for executor in dead:
                lost = await self._database.write(transitions.take_away, executor, time.time())
                await self._queue.put_back(await self._queue.owned([executor]))
                if lost:
                    logger.warning("the worker %s is dead; its runs wait for another: %s", executor, ", ".join(lost))
        finally:
            with anyio.CancelScope(shield=True):
                await self._database.in_thread(burial.__exit__, None, None, None)

    async def end_overdue(self) -> None:
        """End the runs whose deadline has long passed, whatever became of whoever had them."""
        now = time.time()
        select = sa.select(runs.c.run_id, runs.c.deadline, runs.c.created_at).where(runs.c.state.in_(transitions.GOING))
        select = select.where(runs.c.deadline < now - _LATE_S).limit(_AT_ONCE)
        for row in await self._database.rows(select):
            limit_s = row.deadline - row.created_at
            await self._database.write(transitions.time_out, row.run_id, limit_s, now)

    async def collect_strays(self) -> None:
        """Put back what DBOS gave to this worker and it never got; end what DBOS holds for done and never was."""
        mine = {run_id for run_id in await self._queue.owned([self._executor]) if run_id not in self._in_hand}
        again = mine & self._suspects
        self._suspects = mine - again
        if again:
            await self._queue.put_back(sorted(again))
        before = time.time() - _STRAYS_S
        for run_id, status in await self._database.read(_strays, before):
            state, problem = RunState.FAILED, run_lost(run_id, "The queue no longer knows the run.")
            if status == "CANCELLED":
                state, problem = RunState.CANCELLED, run_cancelled(run_id)
            await self._database.write(transitions.end_unclaimed, run_id, state, problem, time.time())

    async def prune(self) -> None:
        """Forget what is too old or too much."""
        await self._pruner.prune(self._settings.keep_s, self._settings.keep_runs)


def _claimants(connection: sa.Connection) -> set[str]:
    """The executors that the ledger knows to have a run."""
    select = sa.select(runs.c.executor).where(runs.c.state == RunState.RUNNING).distinct()
    return {executor for executor in connection.scalars(select) if executor is not None}


def _strays(connection: sa.Connection, before: float) -> list[tuple[str, str | None]]:
    """Runs that go on in the ledger and are over, or never were, for DBOS."""
    joined = runs.outerjoin(queued, queued.c.workflow_uuid == runs.c.run_id)
    select = sa.select(runs.c.run_id, queued.c.status).select_from(joined).where(runs.c.state.in_(transitions.GOING))
    select = select.where(runs.c.created_at < before)
    over = sa.or_(queued.c.status.is_(None), queued.c.status.not_in(("ENQUEUED", "PENDING", "DELAYED")))
    return [(row.run_id, row.status) for row in connection.execute(select.where(over).limit(_AT_ONCE))]
