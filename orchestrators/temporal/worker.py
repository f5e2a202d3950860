"""`mthds-rpc worker` in the mode `temporal`: Temporal hands out runs, the engine pool runs them."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVarTuple

import anyio
from anyio.abc import TaskGroup
from pydantic import ValidationError
from temporalio import activity
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker import Worker as SdkWorker

from orchestrators.artifact_scope import artifacts_folder
from orchestrators.durable.backoff import Backoff
from orchestrators.engines.pool import pool_of
from orchestrators.plugins.contract import PluginContext
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.event_log import EventLog
from orchestrators.temporal.liveness import any_worker
from orchestrators.temporal.names import RUN, RUNS, VALIDATE, VALIDATION_ID
from orchestrators.temporal.payloads import PayloadStore
from orchestrators.temporal.problems import misconfigured, problem_of, unreadable
from orchestrators.temporal.reading import take_snapshot
from orchestrators.temporal.running import ActiveRun, Runner
from orchestrators.temporal.settings import BEATS_PER_TIMEOUT
from orchestrators.temporal.workflows import RunMethod, ValidateMethod
from schemas.json_types import Json
from schemas.params import RUN_ID_PATTERN
from schemas.problem import ProblemError
from schemas.validation import ValidateRequest

logger = logging.getLogger(__name__)

P = TypeVarTuple("P")

# How long the next task of a workflow is reserved for the worker that ran the last one.
_STICKY = timedelta(seconds=1)
_LOOK_S = 0.2
_TRIES_IN_VAIN = 20
# How long the last workflow tasks may take.
_LAST_S = 3.0
# Events that come together are sent together.
_GATHER_S = 0.02
# How long a run without an activity is kept for the next activity. After an outage temporalio takes up to ten seconds
# to ask for work again.
_LEFT_FOR_S = 30.0


class TemporalWorker:
    """Implements `Worker`."""

    def __init__(self, context: PluginContext) -> None:
        """Raises `ProblemError` for settings that cannot be used."""
        self._connection = Connection.of(context)
        self._settings = self._connection.settings
        self._pool = pool_of(context)
        self._payloads = PayloadStore.of(self._settings)
        artifacts = artifacts_folder(context.state_dir)
        self._runner = Runner(
            self._connection, self._pool, self._payloads, artifacts, self._settings.max_attempts, context.redact
        )
        self._active: dict[str, ActiveRun] = {}
        """By Temporal's own ids: a later run may have the same run id."""
        self._tasks: TaskGroup | None = None

    async def run(self, stop: anyio.Event, working: anyio.Event) -> None:
        """Run what is queued until `stop` is set; then let runs continue for `drain_s`, and hand the rest back."""
        clients = await self._connected(stop)
        if clients is None:
            return
        client, run_client = clients
        await self._check_namespace(client)
        async with anyio.create_task_group() as self._tasks:
            try:
                async with self._workflow_worker(client):
                    async with self._run_worker(run_client):
                        self._begin("looking for workers", self._report_when_known, working)
                        await stop.wait()
                    await self._see_to_the_last()
            except RuntimeError as error:
                # What an SDK worker raises that may not work here, such as in a namespace that is not there.
                why, _, _ = str(error).partition(": Status {")
                raise ProblemError(misconfigured(f"Temporal does not take this worker: {why}.")) from error
            self._tasks.cancel_scope.cancel()

    def _begin(self, name: str, work: Callable[[*P], Awaitable[None]], *of: *P) -> None:
        """Begin a background task of the worker. A failure is logged, and the other tasks continue."""

        async def guarded() -> None:
            try:
                await work(*of)
            except Exception:  # the worker has other runs in hand
                logger.exception("%s failed with an unexpected exception", name)

        assert self._tasks is not None
        self._tasks.start_soon(guarded, name=name)

    async def _check_namespace(self, client: Client) -> None:
        """Raise `ProblemError` where the namespace is not there: two SDK workers that both find that out may hang."""
        try:
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
        except RPCError as error:
            # A worker may lack the right to describe its namespace.
            if error.status is RPCStatusCode.NOT_FOUND:
                raise ProblemError(problem_of(error)) from error

    async def _see_to_the_last(self) -> None:
        """Let the workflows of runs that just ended or were handed back continue: there may be no other worker."""
        with anyio.move_on_after(_LAST_S):
            for active in [active for active in self._active.values() if active.is_fresh]:
                while not await self._has_moved_on(active):  # noqa: ASYNC110 - Temporal sends no signal
                    await anyio.sleep(_LOOK_S / 4)

    async def _has_moved_on(self, active: ActiveRun) -> bool:
        try:
            return (await take_snapshot(self._connection, active.run_id, active.execution)).has_progress
        except ProblemError as error:
            return error.problem.code == "run.not_found"

    async def _report_when_known(self, working: anyio.Event) -> None:
        """Set `working` once servers can see this worker or another one."""
        while not await self._is_any_known():  # noqa: ASYNC110 - Temporal sends no signal
            await anyio.sleep(_LOOK_S)
        working.set()

    async def _is_any_known(self) -> bool:
        try:
            return await any_worker(self._connection)
        except ProblemError:
            return False
        except Exception:  # an unexpected answer does not stop this worker
            logger.exception("the list of workers cannot be read")
            return False

    async def _connected(self, stop: anyio.Event) -> tuple[Client, Client] | None:
        """Clients for workflows and for runs. Waits for the server; None if the worker is stopped before."""
        backoff = Backoff(first_s=0.5, longest_s=10.0)
        while not stop.is_set():
            try:
                return await asyncio.wait_for(self._clients(), self._settings.call_timeout_s)
            except (RuntimeError, RPCError, TimeoutError) as error:
                pause_s = backoff.next_s()
                logger.warning(
                    "the Temporal server at %s cannot be reached (%s); trying again in %g s",
                    self._connection.address,
                    error or "it does not answer",
                    pause_s,
                )
            with anyio.move_on_after(pause_s):
                await stop.wait()
        return None

    async def _clients(self) -> tuple[Client, Client]:
        return await self._connection.connected_client(), await self._connection.connected_client(RUNS)

    def _run_worker(self, client: Client) -> SdkWorker:
        """Runs the activities of runs. Its presence is what tells servers that a worker is alive."""
        settings = self._settings
        return SdkWorker(
            client,
            task_queue=settings.task_queue,
            activities=[self.serve],
            max_concurrent_activities=settings.concurrency,
            graceful_shutdown_timeout=timedelta(seconds=settings.drain_s),
            max_heartbeat_throttle_interval=timedelta(seconds=settings.heartbeat_s),
            default_heartbeat_throttle_interval=timedelta(seconds=settings.heartbeat_s),
        )

    def _workflow_worker(self, client: Client) -> SdkWorker:
        """Runs the workflows, also those of the runs that the other worker ends or hands back while it stops."""
        return SdkWorker(
            client,
            task_queue=self._settings.task_queue,
            workflows=[RunMethod, ValidateMethod],
            activities=[self.validate],
            no_remote_activities=True,
            # These workflows import nothing and a test replays them; a sandbox would import much for each of them.
            workflow_runner=UnsandboxedWorkflowRunner(),
            sticky_queue_schedule_to_start_timeout=_STICKY,
        )

    @activity.defn(name=RUN)
    async def serve(self, order: Any = None, before: Any = None) -> Json:
        """The activity of one run: wait for its outcome, whichever task of this worker runs it.

        `order` and `before` are our workflow's; other values may come from a foreign workflow.
        """
        info = activity.info()
        run_id, execution = _checked(info.workflow_id), str(info.workflow_run_id)
        active = self._active.get(execution)
        if active is None:
            heartbeat = info.heartbeat_details[0] if info.heartbeat_details else None
            active = self._active[execution] = ActiveRun(run_id, execution, EventLog(heartbeat or before))
            if heartbeat is not None:
                self._runner.requeued(active)
            # Temporal also counts tasks that a frozen worker took and never began. Only begun attempts count here,
            # up to a limit.
            is_hopeless = info.attempt > self._settings.max_attempts + _TRIES_IN_VAIN
            attempt = self._settings.max_attempts + 1 if is_hopeless else active.event_log.attempt + 1
            self._begin(f"run {run_id}", self._run_active, active, order, attempt)
        active.owner = owner = object()
        try:
            while True:
                try:
                    return await self._outcome(active)
                except asyncio.CancelledError:
                    self._stop(active)
        finally:
            if active.owner is owner:
                active.owner = None

    async def _run_active(self, active: ActiveRun, order: Any, attempt: int) -> None:
        try:
            await self._runner.run(active, order, attempt)
            # The outcome may be lost on its way to Temporal, which then asks again.
            if active.is_worth_keeping:
                await self._while_it_may_come_back()
            while active.owner is not None:  # noqa: ASYNC110 - no task waits for this
                await anyio.sleep(_LEFT_FOR_S)
        finally:
            del self._active[active.execution]

    async def _outcome(self, active: ActiveRun) -> Json:
        """Send heartbeats until the run has its outcome and Temporal can be reached."""
        news = active.news
        interval_s = _interval_s(self._settings.heartbeat_s, activity.info().heartbeat_timeout)
        while active.outcome is None or not await self._connection.is_up():
            with anyio.move_on_after(interval_s):
                await news.wait()
            await asyncio.sleep(_GATHER_S)
            news = active.news
            if active.outcome is None:
                activity.heartbeat(active.event_log.to_json())
        return active.outcome

    def _stop(self, active: ActiveRun) -> None:
        """Stop a run whose activity was cancelled: a caller asked, this worker stops, or Temporal gave it away.

        In the last case its outcome is not needed, and this raises.
        """
        details = activity.cancellation_details()
        if details is None or details.cancel_requested or details.worker_shutdown:
            active.cancel_asked = details is None or details.cancel_requested
            active.scope.cancel()
            return
        logger.warning("Temporal has given the run %s away: %s", active.run_id, details)
        self._begin(f"the end of {active.run_id}", self._end_unless_wanted, active)
        raise asyncio.CancelledError

    async def _end_unless_wanted(self, active: ActiveRun) -> None:
        """Stop a run that Temporal gave away, unless this very worker gets it back in time and continues it."""
        await self._connection.wait_until_up()
        if not await self._has_ended(active):
            await self._while_it_may_come_back()
        if active.owner is None:
            active.scope.cancel()

    async def _while_it_may_come_back(self) -> None:
        """Wait as long as Temporal may still give the run back: the server may be away."""
        await self._connection.wait_until_up()
        await anyio.sleep(_LEFT_FOR_S)

    async def _has_ended(self, active: ActiveRun) -> bool:
        try:
            return (await take_snapshot(self._connection, active.run_id, active.execution)).state.is_final
        except ProblemError as error:
            return error.problem.code == "run.not_found"

    @activity.defn(name=VALIDATE)
    async def validate(self, order: Any = None) -> Json:
        """The local activity of one validation."""
        validation_id = _checked(activity.info().workflow_id, VALIDATION_ID)
        payload = order.get("request") if isinstance(order, dict) else None
        try:
            request = _validation(validation_id, await self._payloads.unpack(validation_id, payload))
            verdict = await self._pool.validate(request)
            return await self._payloads.pack(validation_id, verdict.model_dump(mode="json"))
        except ProblemError as error:
            problem = error.problem
            raise ApplicationError(problem.detail, problem.to_wire(), type=problem.code, non_retryable=True) from error


def _interval_s(heartbeat_s: float, timeout: timedelta | None) -> float:
    """Seconds between heartbeats: the worker's own setting, or less if the run's timeout asks for it."""
    if timeout is None:
        return heartbeat_s
    return min(heartbeat_s, timeout.total_seconds() / BEATS_PER_TIMEOUT)


def _checked(workflow_id: str | None, pattern: str = RUN_ID_PATTERN) -> str:
    """The id of a run, checked: folders are named by it, and a foreign workflow may have any id."""
    if workflow_id is None or not re.fullmatch(pattern, workflow_id):
        raise ApplicationError("The workflow's id is not the id of a run.", type="request.invalid", non_retryable=True)
    return workflow_id


def _validation(validation_id: str, value: Json) -> ValidateRequest:
    try:
        return ValidateRequest.model_validate(value)
    except ValidationError:
        raise ProblemError(unreadable(validation_id)) from None
