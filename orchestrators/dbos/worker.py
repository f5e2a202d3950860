"""`mthds-rpc worker` in the mode `dbos`: DBOS hands out runs, the engine pool runs them, the ledger keeps what happens.

DBOS's workflow of a run is one call without steps: what has to survive is in the ledger, so a workflow that is begun
again finds there how far the run is.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import sqlalchemy as sa
from pydantic import ValidationError

from orchestrators import run_events
from orchestrators.artifact_scope import artifacts_folder
from orchestrators.dbos import MODE, transitions
from orchestrators.dbos.clock import Clock
from orchestrators.dbos.dbos_setup import (
    APPLICATION,
    DBOS,
    JSON,
    QUEUE,
    WIRE_VERSION,
    WORKFLOW,
    hush,
    log_through_root,
)
from orchestrators.dbos.executors import Executors, executors_of, new_executor_id
from orchestrators.dbos.maintenance import Maintenance
from orchestrators.dbos.opening import open_database
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.retention import Pruner
from orchestrators.dbos.rows import DamagedRow
from orchestrators.dbos.running import Runner
from orchestrators.dbos.tables import runs
from orchestrators.dbos.transitions import ClaimLost
from orchestrators.engines.pool import pool_of
from orchestrators.plugins.contract import PluginContext
from schemas.problem import Problem, ProblemError
from schemas.run_problems import run_damaged, run_lost, run_unexpected
from schemas.runs import RunRequest, RunState

logger = logging.getLogger(__name__)

# How soon a run that was cancelled, or taken away, is noticed.
_LOOK_S = 0.1
# How long to wait before looking again, after looking failed unexpectedly.
_PAUSE_S = 5.0
# How long runs that are stopped may take to be handed back, the database being slow or away.
_LAST_S = 3.0


class DbosWorker:
    """Implements `Worker`."""

    def __init__(self, context: PluginContext) -> None:
        """Blocks. Raises `ProblemError` where the database cannot be used."""
        self._context = context
        # This worker's runs belong to the file that was opened.
        self._settings, self._database = open_database(context, follows=False)
        self._executor = new_executor_id()
        self._executors: Executors = executors_of(self._database, self._settings.lease_s)
        self._queue = RunQueue(self._database)
        self._clock = Clock()
        self._runner = Runner(
            self._database, pool_of(context), self._executor, self._settings.max_attempts, context.redact, self._clock
        )

    async def run(self, stop: anyio.Event, working: anyio.Event) -> None:
        """Run what is queued until `stop` is set; then let runs continue for `drain_s`, and hand the rest back.

        Raises `LedgerUnusable` once this process can do nothing more with the database.
        """
        pruner = Pruner(self._database, self._queue, artifacts_folder(self._context.state_dir))
        maintenance = Maintenance(
            self._database,
            self._queue,
            self._executors,
            pruner,
            self._settings,
            self._executor,
            self._runner.in_hand,
            self._clock,
        )
        async with self._registered(), anyio.create_task_group() as tasks:
            await self._launch()
            tasks.start_soon(self._look_at_active_runs)
            tasks.start_soon(maintenance.run)
            working.set()
            await stop.wait()
            await self._hand_back()
            hush()
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def _registered(self) -> AsyncIterator[None]:
        await self._database.in_thread(self._executors.enter, self._executor)
        try:
            async with anyio.create_task_group() as tasks:
                if self._executors.beat_s is not None:
                    tasks.start_soon(self._beat, self._executors.beat_s)
                yield
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._leave()

    async def _leave(self) -> None:
        try:
            await self._database.in_thread(self._executors.leave, self._executor)
        except ProblemError as error:
            logger.warning("the database is away; the others will notice that this worker is gone: %s", error)

    async def _beat(self, interval_s: float) -> None:
        while True:
            await anyio.sleep(interval_s)
            try:
                await self._database.in_thread(self._executors.beat, self._executor)
            except Exception as error:  # noqa: BLE001 - the next beat may get there
                logger.warning("this worker cannot show that it lives: %s", error)

    async def _launch(self) -> None:
        """Have DBOS hand out runs, on this event loop."""
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": self._database.engine,
                "application_version": WIRE_VERSION,
                "executor_id": self._executor,
                "serializer": JSON,
                "log_level": "WARNING",
                "use_listen_notify": False,
                # Nothing here uses notifications or schedules.
                "notification_listener_polling_interval_sec": 60.0,
                "scheduler_polling_interval_sec": 3600.0,
            }
        )
        log_through_root()
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(_workflow(self._serve))
        DBOS.listen_queues([QUEUE])
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE,
            polling_interval_sec=self._settings.poll_s,
            worker_concurrency=self._settings.concurrency,
            on_conflict="always_update",
        )

    async def _serve(self, payload: dict[str, Any]) -> None:
        """DBOS's workflow of one run."""
        if self._runner.is_stopping:
            await anyio.sleep_forever()
        run_id = str(DBOS.workflow_id)
        try:
            request = RunRequest.model_validate(payload)
        except ValidationError as error:
            logger.error("the request of the run %s cannot be read: %s", run_id, error)
            await self._end(run_id, run_lost(run_id, run_events.UNREADABLE_REQUEST))
            return
        # They name the files that it may read.
        if (request.run_id, request.orchestration_mode, request.execution) != (run_id, MODE, None):
            logger.error("the request of the run %s is that of another run", run_id)
            await self._end(run_id, run_damaged(run_id, "its request is another run's"))
            return
        if not await self._has_ended(request):
            # If this returned, DBOS would take the run for done.
            await anyio.sleep_forever()

    async def _has_ended(self, request: RunRequest) -> bool:
        """Take a run to its end; false where it was handed back."""
        try:
            return await self._runner.run(request)
        except Exception:
            logger.exception("the run %s failed with an unexpected exception", request.run_id)
            await self._end(request.run_id, run_unexpected(request.run_id))
            return True

    async def _end(self, run_id: str, problem: Problem) -> None:
        try:
            await self._runner.surely(transitions.end_unclaimed, run_id, problem, time.time())
        except DamagedRow as damage:
            await self._runner.surely(transitions.end_damaged, run_id, damage.what, time.time())

    async def _look_at_active_runs(self) -> None:
        """Stop the runs that were cancelled, and those that another worker has now."""
        while True:
            await self._runner.wait_until_active()
            await anyio.sleep(_LOOK_S)
            try:
                await self._look_once()
            except ProblemError:
                # Every write logs the same failure.
                continue
            except Exception:
                logger.exception("the state of this worker's runs cannot be read")
                await anyio.sleep(_PAUSE_S)

    async def _look_once(self) -> None:
        columns = (runs.c.run_id, runs.c.attempt, runs.c.executor, runs.c.state, runs.c.cancel_asked_at)
        select = sa.select(*columns).where(runs.c.run_id.in_(list(self._runner.active)))
        rows = await self._database.rows(select)
        for row in rows:
            active = self._runner.active.get(row.run_id)
            if active is None or (isinstance(row.attempt, int) and row.attempt < active.claim.attempt):
                continue
            held = (active.claim.attempt, self._executor, RunState.RUNNING)
            if (row.attempt, row.executor, row.state) != held:
                active.lost = ClaimLost(row.run_id)
                active.scope.cancel()
            elif row.cancel_asked_at is not None:
                active.cancel_asked = True
                active.scope.cancel()

    async def _hand_back(self) -> None:
        drain_s = self._settings.drain_s
        with anyio.move_on_after(2 * drain_s + _LAST_S):
            await self._runner.hand_back(drain_s)
            await self._queue.put_back(await self._queue.owned([self._executor]))


def _workflow(serve: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """A function as DBOS wants one."""

    async def run_method(payload: dict[str, Any]) -> None:
        await serve(payload)

    return run_method
