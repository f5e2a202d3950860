"""`mthds-rpc worker` in the mode `temporal`: Temporal hands out runs, the engine pool runs them."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import anyio
from anyio.abc import TaskGroup
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker import Worker as SdkWorker

from orchestrators.contract import PluginContext
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.names import HANDED_BACK, RUN, VALIDATE
from orchestrators.temporal.parcels import Parcels
from orchestrators.temporal.problems import misconfigured
from orchestrators.temporal.reading import look
from orchestrators.temporal.running import ActiveRun, Runner
from orchestrators.temporal.story import Story
from orchestrators.temporal.workflows import RunMethod, ValidateMethod
from schemas.problem import ProblemError
from schemas.validation import ValidateRequest

logger = logging.getLogger(__name__)

Json = dict[str, Any]

# A worker that ran a workflow last gets its next task first, for that long.
_STICKY = timedelta(seconds=1)
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
# Events that come together are told together.
_GATHER_S = 0.02
# What a run that nobody waits for any more waits here for its next activity, in heartbeat time-outs.
_LEFT_FOR = 3


class TemporalWorker:
    """Implements `Worker`."""

    def __init__(self, context: PluginContext) -> None:
        """Raises `ProblemError` for settings that cannot be used."""
        self._connection = Connection.of(context)
        self._settings = self._connection.settings
        self._pool = context.pool
        self._parcels = Parcels.of(self._settings)
        artifacts = context.state_dir / "artifacts"
        self._runner = Runner(context.pool, self._parcels, artifacts, self._settings.max_attempts, context.redact)
        self._active: dict[str, ActiveRun] = {}
        self._left_for_s = _LEFT_FOR * self._settings.heartbeat_timeout_s
        self._tasks: TaskGroup | None = None

    async def run(self, stop: anyio.Event) -> None:
        """Take up runs until `stop` is set; then let them go on for `drain_s`, and hand the others back."""
        client = await self._connected(stop)
        if client is None:
            return
        async with anyio.create_task_group() as self._tasks:
            try:
                async with self._sdk_worker(client):
                    await stop.wait()
            except RuntimeError as error:
                # What an SDK worker raises that may not work here, such as in a namespace that is not there.
                raise ProblemError(misconfigured(f"Temporal does not take this worker: {error}")) from error
            self._tasks.cancel_scope.cancel()

    async def _connected(self, stop: anyio.Event) -> Client | None:
        """A client, however long the server is away; None where this worker is stopped before."""
        pause_s = _FIRST_PAUSE_S
        while not stop.is_set():
            try:
                return await asyncio.wait_for(self._connection.connected_client(), self._settings.call_timeout_s)
            except (RuntimeError, RPCError, TimeoutError) as error:
                logger.warning(
                    "the Temporal server at %s cannot be reached (%s); trying again in %g s",
                    self._connection.address,
                    error or "it does not answer",
                    pause_s,
                )
            with anyio.move_on_after(pause_s):
                await stop.wait()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return None

    def _sdk_worker(self, client: Client) -> SdkWorker:
        settings = self._settings
        return SdkWorker(
            client,
            task_queue=settings.task_queue,
            workflows=[RunMethod, ValidateMethod],
            activities=[self.serve, self.validate],
            # Ours import nothing and are replayed in a test; a sandbox would import the world for each of them.
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=settings.concurrency,
            graceful_shutdown_timeout=timedelta(seconds=settings.drain_s),
            max_heartbeat_throttle_interval=timedelta(seconds=settings.heartbeat_s),
            default_heartbeat_throttle_interval=timedelta(seconds=settings.heartbeat_s),
            sticky_queue_schedule_to_start_timeout=_STICKY,
        )

    @activity.defn(name=RUN)
    async def serve(self, order: Json, before: Json | None) -> Json:
        """The activity of one run: see it to its outcome, whoever of this worker has it in hand."""
        info = activity.info()
        run_id = str(info.workflow_id)
        active = self._active.get(run_id)
        if active is None:
            story = Story(info.heartbeat_details[0] if info.heartbeat_details else before)
            counted_before = 0 if before is None else int(before["attempt"])
            attempt = max(story.attempt + 1, counted_before + info.attempt)
            active = self._active[run_id] = ActiveRun(run_id, story)
            if info.heartbeat_details:
                self._runner.requeued(active)
            assert self._tasks is not None
            self._tasks.start_soon(self._keep, active, order, attempt, name=f"run {run_id}")
        active.owner = owner = object()
        while True:
            try:
                return await self._outcome(active)
            except asyncio.CancelledError:
                self._stop(active, owner)

    async def _keep(self, active: ActiveRun, order: Json, attempt: int) -> None:
        try:
            await self._runner.run(active, order, attempt)
            if active.outcome is not None and active.outcome["state"] != HANDED_BACK:
                # What came of it may be lost on its way, and is asked for again then.
                await anyio.sleep(self._left_for_s)
        finally:
            del self._active[active.run_id]

    async def _outcome(self, active: ActiveRun) -> Json:
        """Tell Temporal how a run gets on until it has its outcome, and Temporal can be told that."""
        while active.outcome is None or not await self._connection.is_up():
            news = active.news
            activity.heartbeat(active.story.snapshot())
            with anyio.move_on_after(self._settings.heartbeat_s):
                await news.wait()
            await asyncio.sleep(_GATHER_S)
        return active.outcome

    def _stop(self, active: ActiveRun, owner: object) -> None:
        """The activity was cancelled: somebody cancelled the run, this worker stops, or Temporal gave it away.

        In the last case nobody wants its outcome, and this raises.
        """
        details = activity.cancellation_details()
        if details is None or details.cancel_requested or details.worker_shutdown:
            active.cancel_asked = details is None or details.cancel_requested
            active.scope.cancel()
            return
        logger.warning("Temporal has given the run %s away: %s", active.run_id, details)
        assert self._tasks is not None
        self._tasks.start_soon(self._end_unless_wanted, active, owner)
        raise asyncio.CancelledError

    async def _end_unless_wanted(self, active: ActiveRun, owner: object) -> None:
        """Temporal may give the run back to this very worker, which then goes on with what it has."""
        if not await self._has_ended(active.run_id):
            await anyio.sleep(self._left_for_s)
        if active.owner is owner:
            active.scope.cancel()

    async def _has_ended(self, run_id: str) -> bool:
        try:
            return (await look(self._connection, run_id)).state.is_final
        except ProblemError as error:
            return error.problem.code == "run.not_found"

    @activity.defn(name=VALIDATE)
    async def validate(self, order: Json) -> Json:
        """The local activity of one validation."""
        validation_id = str(activity.info().workflow_id)
        try:
            request = ValidateRequest.model_validate(await self._parcels.unpack(validation_id, order["request"]))
            verdict = await self._pool.validate(request)
            return await self._parcels.pack(validation_id, verdict.model_dump(mode="json"))
        except ProblemError as error:
            problem = error.problem
            raise ApplicationError(problem.detail, problem.to_wire(), type=problem.code, non_retryable=True) from error
