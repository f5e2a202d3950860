"""The server's side of `temporal`: runs are given to Temporal, and followed; workers run them."""

from datetime import timedelta
from typing import Any

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from orchestrators.artifact_scope import artifacts_folder
from orchestrators.plugins.contract import EventSink, PluginContext
from orchestrators.temporal import MODE, reading
from orchestrators.temporal.attributes import Attributes
from orchestrators.temporal.completion_waits import CompletionWaits
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.ledger import TemporalLedger
from orchestrators.temporal.listing import Listing
from orchestrators.temporal.liveness import any_worker
from orchestrators.temporal.memo import Asked
from orchestrators.temporal.names import ASKED, LATE_S, RUN
from orchestrators.temporal.payloads import PayloadStore
from orchestrators.temporal.problems import no_worker, problem_of
from schemas.problem import ProblemError
from schemas.run_problems import run_id_taken
from schemas.runs import RunRequest, RunResult, RunState, StartAck
from schemas.times import iso_time

# Our workflow takes milliseconds of a worker; what takes longer is a worker that died with it.
_TASK_TIMEOUT = timedelta(seconds=2)


class TemporalOrchestrator:
    """Implements `RemoteOrchestrator`. A run does not depend on its caller, who may stop waiting."""

    def __init__(
        self, connection: Connection, payloads: PayloadStore, attributes: Attributes, ledger: TemporalLedger
    ) -> None:
        self._connection = connection
        self._payloads = payloads
        self._attributes = attributes
        self._ledger = ledger

    @classmethod
    def of(cls, context: PluginContext) -> "TemporalOrchestrator":
        """By the settings; connects at the first call. Raises `ProblemError`."""
        assert context.tasks is not None
        connection = Connection.of(context)
        payloads = PayloadStore.of(connection.settings)
        attributes = Attributes(connection)
        listing = Listing(connection, attributes)
        completion_waits = CompletionWaits(connection, context.tasks)
        ledger = TemporalLedger(connection, completion_waits, listing, payloads, artifacts_folder(context.state_dir))
        return cls(connection, payloads, attributes, ledger)

    @property
    def ledger(self) -> TemporalLedger:
        """The runs of the namespace."""
        return self._ledger

    async def reach(self) -> None:
        """Raise `ProblemError` where the server does not answer."""

        async def ask(client: Client) -> None:
            await client.workflow_service.get_system_info(GetSystemInfoRequest())

        await self._connection.call(ask)

    async def start(self, run: RunRequest) -> StartAck:
        """Give a run to Temporal; it is safe once this returns. The very same request again returns the same run."""
        asked = Asked.of(run)
        order = await self._order(run)
        state, created_at = await self._start(run.run_id, asked, order)
        return StartAck(
            pipeline_run_id=run.run_id,
            orchestration_mode=MODE,
            state=state,
            created_at=iso_time(created_at),
            worker_alive=await self._any_worker(),
        )

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        """Start a run and wait for its end; cancelling this leaves the run going."""
        if not await any_worker(self._connection):
            raise no_worker(self._connection.settings.task_queue)
        await self.start(run)
        if events is not None:
            async for event in self._ledger.watch(run.run_id, 0):
                events(event)
        return await self._ledger.awaited(run.run_id)

    async def _order(self, run: RunRequest) -> dict[str, Any]:
        settings = self._connection.settings
        return {
            "request": await self._payloads.pack(run.run_id, run.model_dump(mode="json", exclude_none=True)),
            "deadline": run.deadline,
            "heartbeat_timeout_s": settings.heartbeat_timeout_s,
            "retry_pause_s": settings.retry_pause_s,
        }

    async def _start(self, run_id: str, asked: Asked, order: dict[str, Any]) -> tuple[RunState, float]:
        """The state of the run that has the id now, and when it was requested."""
        search_attributes = await self._attributes.of(asked)

        async def start(client: Client) -> None:
            await client.start_workflow(
                RUN,
                order,
                id=run_id,
                task_queue=self._connection.settings.task_queue,
                execution_timeout=_time_left(asked),
                task_timeout=_TASK_TIMEOUT,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo={ASKED: asked.model_dump(exclude_none=True)},
                search_attributes=search_attributes,
            )

        try:
            await self._connection.unmapped(start)
        except WorkflowAlreadyStartedError:
            return await self._known(run_id, asked)
        except RPCError as error:
            raise ProblemError(problem_of(error, run_id)) from error
        self._ledger.expect(run_id)
        return RunState.QUEUED, asked.created_at

    async def _known(self, run_id: str, asked: Asked) -> tuple[RunState, float]:
        try:
            snapshot = await reading.take_snapshot(self._connection, run_id)
        except ProblemError as error:
            if error.problem.code == "run.not_found":
                # A foreign workflow has the id.
                raise run_id_taken(run_id) from error
            raise
        if snapshot.asked.digest != asked.digest:
            raise run_id_taken(run_id)
        return snapshot.state, snapshot.asked.created_at

    async def _any_worker(self) -> bool | None:
        """Whether a worker is there; None if that cannot be known: the run is safe anyway."""
        try:
            return await any_worker(self._connection)
        except ProblemError:
            return None


def _time_left(asked: Asked) -> timedelta | None:
    if asked.deadline is None:
        return None
    # By the clock that set the deadline, so that no machine's clock shortens a run.
    return timedelta(seconds=max(0.0, asked.deadline - asked.created_at) + 2 * LATE_S)
