"""What every worker does for all from time to time: dead workers, overdue runs, strays, old runs.

A step takes each row by itself, so that a row that cannot be used does not stop the others.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Container, Iterable
from functools import partial
from typing import Any

import anyio
import sqlalchemy as sa

from orchestrators.dbos import transitions
from orchestrators.dbos.clock import Clock, move_age_clock, steady
from orchestrators.dbos.database import Database
from orchestrators.dbos.executors import Executors
from orchestrators.dbos.failures import LedgerUnusable
from orchestrators.dbos.migration import refuse_newer
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.retention import Pruner
from orchestrators.dbos.rows import DamagedRow, RunRow, key
from orchestrators.dbos.settings import DbosSettings
from orchestrators.dbos.tables import queued, runs
from schemas.problem import ProblemError
from schemas.run_problems import run_cancelled, run_lost
from schemas.runs import RunState

logger = logging.getLogger(__name__)

_RECOVER_S = 2.0
_OVERDUE_S = 5.0
_STRAYS_S = 10.0
_PRUNE_S = 600.0
# How long after its deadline a run is ended by others: its own worker must have failed to by then.
_LATE_S = 5.0
_AT_ONCE = 100
# How many rows a worker reports as beyond repair, and skips from then on.
_MOST_LEFT_ALONE = 500
# The part of `max_age_days` by which the clock may leap before it is doubted.
_LEAP = 1 / 4


class Maintenance:
    """The maintenance of one worker. Several workers may do all of it at once."""

    def __init__(
        self,
        database: Database,
        queue: RunQueue,
        executors: Executors,
        pruner: Pruner,
        settings: DbosSettings,
        executor: str,
        in_hand: Container[str],
        clock: Clock,
    ) -> None:
        self._database = database
        self._queue = queue
        self._executors = executors
        self._pruner = pruner
        self._settings = settings
        self._executor = executor
        self._in_hand = in_hand
        self._clock = clock
        self._suspects: set[str] = set()
        self._left_alone: set[str] = set()
        self._complaints: set[str] = set()
        self._overdue: dict[tuple[str, int], float] = {}
        self._pruned_at: float | None = None

    async def run(self) -> None:
        """Do every task in its own interval, until cancelled. Raises `LedgerUnusable`."""
        due = dict.fromkeys((self.recover, self.end_overdue, self.collect_strays, self.prune), 0.0)
        every = {self.recover: _RECOVER_S, self.end_overdue: _OVERDUE_S, self.collect_strays: _STRAYS_S}
        while True:
            self._clock.look()
            for task in due:
                if time.monotonic() >= due[task]:
                    await self._do(task)
                    due[task] = time.monotonic() + every.get(task, _PRUNE_S)
            await anyio.sleep(_RECOVER_S)

    async def _do(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except LedgerUnusable:
            raise
        except ProblemError as error:
            logger.warning("the database is away: %s", error)
        except Exception as error:  # noqa: BLE001 - one step must not stop the others
            self._complain(f"a step of maintenance failed: {error!r}", error)

    async def recover(self) -> None:
        """Put the runs of dead workers back into the queue. Raises `LedgerUnusable`."""
        # A worker without runs must notice a newer release too.
        await self._database.read(refuse_newer)
        running = await self._database.rows(sa.select(runs).where(runs.c.state == RunState.RUNNING))
        await self._each(running, self._check)
        owners = {run.executor for run in map(RunRow.of, running) if run.executor is not None}
        owners = (owners | await self._queue.owners()) - {self._executor}
        burial = self._executors.burying(owners)
        dead = await self._database.in_thread(burial.__enter__)
        try:
            for executor in dead:
                await self._take_away(executor)
        finally:
            with anyio.CancelScope(shield=True):
                await self._database.in_thread(burial.__exit__, None, None, None)

    async def _check(self, row: Any) -> None:
        run = RunRow.of(row)
        if run.damage:
            raise DamagedRow(run.run_id, ", ".join(run.damage))

    async def _take_away(self, executor: str) -> None:
        held = sa.select(runs).where(runs.c.state == RunState.RUNNING, runs.c.executor == executor)
        lost: list[str] = []

        async def take(row: Any) -> None:
            if await self._database.write(transitions.take_away, row.run_id, executor, time.time()):
                lost.append(row.run_id)

        await self._each(await self._database.rows(held), take)
        await self._queue.put_back(await self._queue.owned([executor]))
        if lost:
            logger.warning("the worker %s is dead; its runs wait for another: %s", executor, ", ".join(lost))

    async def end_overdue(self) -> None:
        """End the runs whose deadline has long passed."""
        now = self._clock.look()
        select = sa.select(runs).where(runs.c.state.in_(transitions.GOING), runs.c.deadline < now - _LATE_S)
        # Runs that were started after the clock was set forward come first: the others may have to wait for long.
        select = self._not_left_alone(select).order_by(runs.c.created_at.desc()).limit(_AT_ONCE)
        seen, self._overdue = self._overdue, {}
        await self._each(await self._database.rows(select), partial(self._end_overdue, now=now, seen=seen))

    async def _end_overdue(self, row: Any, now: float, seen: dict[tuple[str, int], float]) -> None:
        await self._check(row)
        run = RunRow.of(row)
        if run.deadline is None or run.deadline + self._clock.set_forward_since(run.created_at) >= now - _LATE_S:
            return
        if run.state is RunState.RUNNING and run.executor != self._executor and run.deadline < self._clock.began_at:
            # The run may be late, or the clock was set forward before this process began. Only its worker knows; if
            # that hangs, the run gets its whole time once more, by the clock of this process.
            first = self._overdue[run.run_id, run.attempt] = seen.get((run.run_id, run.attempt), steady())
            if steady() - first < run.limit_s:
                return
        await self._database.write(transitions.time_out, row.run_id, run.limit_s, now)

    async def collect_strays(self) -> None:
        """Put back runs that DBOS gave to this worker and that never came; end runs that only DBOS holds for done."""
        mine = {run_id for run_id in await self._queue.owned([self._executor]) if run_id not in self._in_hand}
        again = mine & self._suspects
        self._suspects = mine - again
        if again:
            await self._queue.put_back(sorted(again))
        select = self._not_left_alone(_strays(time.time() - _STRAYS_S))
        await self._each(await self._database.rows(select), self._end_stray)

    async def _end_stray(self, row: Any) -> None:
        problem = run_lost(row.run_id, "The queue no longer knows the run.")
        if row.status == "CANCELLED":
            problem = run_cancelled(row.run_id)
        await self._database.write(transitions.end_unclaimed, row.run_id, problem, time.time())

    async def prune(self) -> None:
        """Forget runs that are too old or too many."""
        keep_s, now = self._settings.keep_s, self._clock.look()
        if keep_s is not None:
            elapsed_s = 0.0 if self._pruned_at is None else steady() - self._pruned_at
            self._pruned_at = steady()
            now = await self._database.write(move_age_clock, now, elapsed_s, keep_s * _LEAP)
        await self._pruner.prune(keep_s, self._settings.keep_runs, now)

    async def _each(self, rows: Iterable[Any], work: Callable[[Any], Awaitable[None]]) -> None:
        """Do `work` on each row; end a run whose row is damaged, and skip a row from now on if even that fails."""
        for row in rows:
            try:
                try:
                    await work(row)
                except DamagedRow as damage:
                    logger.error("%s; it ends as failed", damage)
                    await self._database.write(transitions.end_damaged, row.run_id, damage.what, time.time())
            except ProblemError:
                raise
            except Exception as error:  # noqa: BLE001 - the next row is another run's
                if len(self._left_alone) < _MOST_LEFT_ALONE and isinstance(row.run_id, str):
                    self._left_alone.add(row.run_id)
                self._complain(f"nothing can be done about the run {row.run_id!r:.200}: {error!r:.500}", error)

    def _not_left_alone(self, select: sa.Select[Any]) -> sa.Select[Any]:
        return select.where(runs.c.run_id.not_in([key(run_id) for run_id in self._left_alone]))

    def _complain(self, text: str, error: Exception) -> None:
        """Log a text once."""
        if text not in self._complaints and len(self._complaints) < _MOST_LEFT_ALONE:
            self._complaints.add(text)
            logger.error("%s", text, exc_info=error)


def _strays(before: float) -> sa.Select[Any]:
    """Runs that have not ended in the ledger, and that DBOS has ended or does not know."""
    joined = runs.outerjoin(queued, queued.c.workflow_uuid == runs.c.run_id)
    select = sa.select(runs.c.run_id, queued.c.status).select_from(joined).where(runs.c.state.in_(transitions.GOING))
    # On SQLite anything may be in the place of a time; as a number it is an early one.
    select = select.where(sa.cast(runs.c.created_at, sa.Double) < before)
    over = sa.or_(queued.c.status.is_(None), queued.c.status.not_in(("ENQUEUED", "PENDING", "DELAYED")))
    return select.where(over).limit(_AT_ONCE)
