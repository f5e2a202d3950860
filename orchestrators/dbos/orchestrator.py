"""The server's side of `dbos`: runs are kept and queued, and followed; workers run them."""

import anyio.from_thread
import sqlalchemy as sa

from orchestrators.artifact_scope import artifacts_folder
from orchestrators.dbos import MODE, reading, transitions
from orchestrators.dbos.changes import Changes
from orchestrators.dbos.database import Database
from orchestrators.dbos.executors import Executors, executors_of
from orchestrators.dbos.ledger import DbosLedger
from orchestrators.dbos.opening import open_database
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.retention import Pruner
from orchestrators.dbos.supervisor import WorkerSupervisor
from orchestrators.plugins.contract import EventSink, PluginContext
from schemas.canonical import request_digest
from schemas.run_problems import no_worker, run_id_taken
from schemas.runs import RunRequest, RunResult, RunState, StartAck
from schemas.times import iso_time


def open_orchestrator(context: PluginContext) -> "DbosOrchestrator":
    """Called in a thread. A server whose configured mode is `dbos`, on SQLite, keeps workers from now on."""
    settings, database = open_database(context)
    assert context.tasks is not None
    queue = RunQueue(database)
    executors = executors_of(database, settings.lease_s)
    changes = Changes(database, context.tasks)
    pruner = Pruner(database, queue, artifacts_folder(context.state_dir))
    ledger = DbosLedger(database, queue, executors, changes, pruner)
    keeps_workers = context.resumes and database.file is not None
    if keeps_workers:
        supervisor = WorkerSupervisor(context.worker_command, settings.workers, settings.drain_s, context.logger)
        anyio.from_thread.run_sync(context.tasks.start_soon, supervisor.run)
    return DbosOrchestrator(database, queue, executors, ledger, keeps_workers=keeps_workers)


class DbosOrchestrator:
    """Implements `Orchestrator`. A run does not depend on its caller, who may stop waiting."""

    def __init__(
        self, database: Database, queue: RunQueue, executors: Executors, ledger: DbosLedger, *, keeps_workers: bool
    ) -> None:
        self._database = database
        self._queue = queue
        self._executors = executors
        self._ledger = ledger
        self._keeps_workers = keeps_workers

    @property
    def ledger(self) -> DbosLedger:
        """The runs of all who share the database."""
        return self._ledger

    async def start(self, run: RunRequest) -> StartAck:
        """Keep and queue a run; it is safe once this returns. The very same request again returns the same run."""
        digest = request_digest(run)
        return await self._database.write(lambda connection: self._keep(connection, run, digest))

    def _keep(self, connection: sa.Connection, run: RunRequest, digest: str) -> StartAck:
        alive = self._executors.any_alive()
        if transitions.keep(connection, run, digest):
            self._queue.add(connection, run)
            return _acknowledged(run.run_id, RunState.QUEUED, run.created_at, alive)
        kept = reading.kept(connection, run.run_id)
        if kept.digest != digest:
            raise run_id_taken(run.run_id)
        return _acknowledged(run.run_id, kept.state, kept.created_at, alive)

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        """Start a run and wait for its end; cancelling this leaves the run going."""
        if not (self._keeps_workers or await self._database.in_thread(self._executors.any_alive)):
            raise no_worker(MODE, "No worker is alive that could run it, and `execute` would wait for one.")
        await self.start(run)
        if events is None:
            await self._ledger.ended(run.run_id)
        else:
            async for event in self._ledger.watch(run.run_id, 0):
                events(event)
        return await self._ledger.outcome(run.run_id)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _acknowledged(run_id: str, state: RunState, created_at: float, alive: bool) -> StartAck:
    return StartAck(
        pipeline_run_id=run_id,
        orchestration_mode=MODE,
        state=state,
        created_at=iso_time(created_at),
        worker_alive=alive,
    )
