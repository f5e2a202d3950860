"""What Temporal's errors mean to a caller, each provoked for real, and compared with the table of docs/errors.md."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import anyio
import anyio.to_thread
import pytest
from anyio.abc import TaskGroup
from temporalio import activity, workflow
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker import Worker as SdkWorker

from orchestrators.engines.pool import EnginePool
from orchestrators.plugins.discovery import load_plugins
from orchestrators.plugins.registries import Plugins
from orchestrators.plugins.testing.methods import OBEDIENT, Order
from orchestrators.plugins.testing.subject import request
from orchestrators.temporal import completion_waits
from orchestrators.temporal.completion_waits import CompletionWaits
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.liveness import any_worker
from orchestrators.temporal.memo import Asked
from orchestrators.temporal.names import ASKED, RUN, RUNS
from orchestrators.temporal.orchestrator import TemporalOrchestrator
from orchestrators.temporal.sdk_runtime import RUNTIME
from orchestrators.temporal.validator import TemporalValidator
from rpc_server.calls.errors import to_rpc_error
from schemas.method_source import MethodSource
from schemas.problem import NextStep, Problem
from schemas.runs import RunQuery, RunRecord, RunRequest, RunState
from schemas.validation import ValidateRequest
from tests.support.bundles import GREETING
from tests.support.defaults import pool_settings
from tests.support.docs import codes, page, rows, section
from tests.support.grpc_refusals import refusing_server
from tests.support.ledgers import PATIENCE_S, context_of, worker_process, write_settings
from tests.support.temporal import BINARY, TemporalServer, temporal_server

pytestmark = pytest.mark.anyio

# Where this module's own worker listens, and where nobody does.
FOREIGN, NOBODYS, OURS = "foreign", "nobodys", "ours"
NO_TLS = {"enabled": False, "server_ca_file": "", "client_cert_file": "", "client_key_file": "", "server_name": ""}
# What a problem of ours looks like in another program's failure.
CARRIED = Problem(
    code="method.invalid",
    title="The method is not valid",
    detail="It is not valid.",
    domain="method",
    next_step=NextStep(kind="change_method", detail="Mend it."),
)

Told = tuple[str, int]
Call = Callable[[TemporalOrchestrator, TemporalValidator], Awaitable[Any]]


@workflow.defn(name="foreign.workflow")
class ForeignWorkflow:
    """Another program's: it does what it is told."""

    @workflow.run
    async def run(self, order: str) -> None:
        if order == "raise":
            raise ApplicationError("there is no such invoice")
        if order == "raise a problem":
            raise ApplicationError(CARRIED.detail, CARRIED.to_wire(), type=CARRIED.code, non_retryable=True)
        if order == "wait":
            await workflow.wait_condition(lambda: False)
        await workflow.execute_activity(
            "foreign.activity",
            order,
            start_to_close_timeout=timedelta(seconds=0.3 if order == "be late" else 30),
            heartbeat_timeout=timedelta(seconds=0.3) if order == "be silent" else None,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@workflow.defn(name=RUN)
class ForeignRun:
    """A workflow of our name in a program that is none of ours."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> None:
        raise ApplicationError("this program knows better")


@activity.defn(name="foreign.activity")
async def foreign_activity(order: str) -> str:
    if order == "fail":
        raise ValueError("it failed as it was told")
    if order == "answer too much":
        return "x" * 3_000_000
    await asyncio.sleep(3600)
    return "too late"


@dataclass
class Scene:
    """A Temporal server with a foreign program beside ours."""

    server: TemporalServer
    client: Client
    plugins: Plugins
    folder: Path
    pool: EnginePool
    tasks: TaskGroup

    def told(self, error: BaseException) -> Told:
        """The problem code and the integer that our server answers."""
        answer = to_rpc_error(error, self.plugins.errors.map)
        return answer["data"]["code"], answer["code"]

    async def told_of(self, call: Awaitable[Any]) -> Told:
        """The same of a call that fails."""
        with anyio.fail_after(PATIENCE_S), pytest.raises(Exception) as raised:  # noqa: PT011 - it is mapped
            await call
        return self.told(raised.value)

    def ours(self, **settings: Any) -> tuple[TemporalOrchestrator, TemporalValidator]:
        """Ours, with these settings."""
        values = {"address": self.server.address, "task_queue": NOBODYS, **settings}
        context = context_of("temporal", self.folder, values, self.pool, self.tasks)
        return TemporalOrchestrator.of(context), TemporalValidator.of(context)

    def orchestrator(self, **settings: Any) -> TemporalOrchestrator:
        return self.ours(**settings)[0]

    async def is_served(self, task_queue: str) -> None:
        """Wait until Temporal knows of a worker."""
        settings = {"address": self.server.address, "task_queue": task_queue}
        connection = Connection.of(context_of("temporal", self.folder, settings, self.pool, self.tasks))
        with anyio.fail_after(PATIENCE_S):
            while not await any_worker(connection):
                await anyio.sleep(0.02)

    async def result_of(self, order: str, **options: Any) -> Any:
        """What the foreign workflow answers."""
        return await (await self.foreign(order, **options)).result()

    async def foreign(self, order: str, **options: Any) -> Any:
        options = {"id": new_id("foreign"), "task_queue": FOREIGN, **options}
        return await self.client.start_workflow("foreign.workflow", order, **options)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(temporal_server(folder))
        pool = await stack.enter_async_context(EnginePool.open(pool_settings(folder / "state")))
        # By this identity it counts as one that takes our runs up, which it does in its own way.
        client = await Client.connect(server.address, runtime=RUNTIME, identity=f"foreign {RUNS}")
        await stack.enter_async_context(
            SdkWorker(
                client,
                task_queue=FOREIGN,
                workflows=[ForeignWorkflow, ForeignRun],
                activities=[foreign_activity],
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
        )
        tasks = await stack.enter_async_context(anyio.create_task_group())
        settings = {"address": server.address}
        plugins = await load_plugins((), lambda _, mode: context_of(mode, folder, settings, pool, tasks))
        # Its mappers count from its first use.
        await plugins.orchestrators.get("temporal")
        scene = Scene(server, client, plugins, folder, pool, tasks)
        await scene.is_served(FOREIGN)
        yield scene
        tasks.cancel_scope.cancel()


@pytest.fixture(scope="module")
async def worker(scene: Scene) -> AsyncIterator[None]:
    """A worker of ours, on the queue `ours`, that Temporal knows of."""
    config = write_settings(scene.folder, "temporal", address=scene.server.address, task_queue=OURS)
    with worker_process(scene.folder, "--config", str(config), mode="temporal") as process:
        await anyio.to_thread.run_sync(process.wait_until_it_works)
        await scene.is_served(OURS)
        yield


def new_id(name: str = "run") -> str:
    return f"{name}-{uuid.uuid4().hex}"


def greeting(run_id: str | None = None, **more: Any) -> RunRequest:
    return request("temporal", MethodSource(mthds_contents=[GREETING]), {"name": "Ann"}, run_id or new_id(), **more)


def too_large(size: int) -> RunRequest:
    return request("temporal", MethodSource(mthds_contents=[GREETING]), {"name": "x" * size}, new_id())


def documented() -> dict[str, Told]:
    """The table of docs/errors.md."""
    table = rows(section(page("docs/errors.md"), "Temporal's errors"))
    return {row[0]: (codes(row[2])[0], int(row[3])) for row in table}


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of somebody who accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    """An address where nobody listens, and nobody will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


async def ended_by_hand(scene: Scene, how: str, *options: str) -> Any:
    """What a workflow answers that somebody ends with the `temporal` command."""
    handle = await scene.foreign("wait")
    await by_hand(scene, how, handle.id, *options)
    return await handle.result()


async def by_hand(scene: Scene, how: str, run_id: str, *options: str) -> None:
    await anyio.to_thread.run_sync(scene.server.command, "workflow", how, "--workflow-id", run_id, *options)


async def cause_of(call: Awaitable[Any]) -> NoReturn:
    with pytest.raises(WorkflowFailureError) as raised:
        await call
    raise raised.value.cause


async def started_twice(scene: Scene) -> None:
    handle = await scene.foreign("wait")
    await scene.foreign("wait", id=handle.id, id_conflict_policy=WorkflowIDConflictPolicy.FAIL)


async def in_a_stranger_namespace(scene: Scene) -> None:
    client = await Client.connect(scene.server.address, namespace="strangers", runtime=RUNTIME)
    await client.get_workflow_handle("anything").describe()


async def count(client: Client, within: timedelta | None = None) -> None:
    asked = CountWorkflowExecutionsRequest(namespace=client.namespace)
    await client.workflow_service.count_workflow_executions(asked, timeout=within)


async def refused(status: RPCStatusCode) -> None:
    with refusing_server(status, tells_of_itself=True) as address:
        await count(await Client.connect(address, runtime=RUNTIME))


class TestMappers:
    """An error of temporalio's becomes what its row of the table says."""

    PROVOKED: tuple[tuple[str, str, Callable[[Scene], Awaitable[Any]]], ...] = (
        ("workflow", "that raises", lambda scene: scene.result_of("raise")),
        ("activity", "that raises", lambda scene: scene.result_of("fail")),
        ("application", "in a workflow", lambda scene: cause_of(scene.result_of("raise"))),
        ("application, too large", "from an activity", lambda scene: scene.result_of("answer too much")),
        ("timeout", "of an activity", lambda scene: scene.result_of("be late")),
        (
            "timeout",
            "of a workflow",
            lambda scene: scene.result_of("wait", execution_timeout=timedelta(seconds=0.5)),
        ),
        ("timeout of a heartbeat", "of an activity", lambda scene: scene.result_of("be silent")),
        ("terminated", "by hand", lambda scene: ended_by_hand(scene, "terminate", "--reason", "to save power")),
        ("cancelled", "by hand", lambda scene: ended_by_hand(scene, "cancel")),
        ("already started", "by the same program", started_twice),
        ("not found", "when described", lambda scene: scene.client.get_workflow_handle("nobody").describe()),
        ("not found", "when waited for", lambda scene: scene.client.get_workflow_handle("nobody").result()),
        ("namespace not found", "when described", in_a_stranger_namespace),
        ("too large", "for a payload", lambda scene: scene.foreign("x" * 2_500_000)),
        ("too large", "for a message", lambda scene: scene.foreign("x" * 5_000_000)),
        ("too large", "for a memo", lambda scene: scene.foreign("wait", memo={"it": "x" * 2_500_000})),
        ("unavailable", "as it says", lambda scene: refused(RPCStatusCode.UNAVAILABLE)),
        ("unavailable", "in time", lambda scene: count(scene.client, timedelta(microseconds=1))),
        ("too busy", "as it says", lambda scene: refused(RPCStatusCode.RESOURCE_EXHAUSTED)),
        ("unauthenticated", "as it says", lambda scene: refused(RPCStatusCode.UNAUTHENTICATED)),
        ("permission denied", "as it says", lambda scene: refused(RPCStatusCode.PERMISSION_DENIED)),
        ("any other", "refusal", lambda scene: scene.client.count_workflows("nonsense")),
    )

    @pytest.mark.parametrize(
        ("row", "provoke"),
        [(row, provoke) for row, _, provoke in PROVOKED],
        ids=[f"{row}: {how}" for row, how, _ in PROVOKED],
    )
    async def test_it_is_told_as_the_table_says(
        self, scene: Scene, row: str, provoke: Callable[[Scene], Awaitable[Any]]
    ) -> None:
        assert await scene.told_of(provoke(scene)) == documented()[row]

    def test_every_row_of_the_table_is_provoked(self) -> None:
        assert {row for row, *_ in self.PROVOKED} == set(documented())

    async def test_a_failure_that_carries_a_problem_of_ours_is_told_as_that_problem(self, scene: Scene) -> None:
        with pytest.raises(Exception, match="failed") as raised:
            await scene.result_of("raise a problem")

        mapped = scene.plugins.errors.map(raised.value)

        assert mapped is not None
        assert mapped.problem == CARRIED
        assert scene.told(raised.value) == ("method.invalid", -31010)

    async def test_an_error_that_is_not_of_temporalio_is_none_of_the_mappers_business(self, scene: Scene) -> None:
        assert scene.plugins.errors.map(ValueError("anything")) is None


CALLS: dict[str, Call] = {
    "start": lambda ours, _: ours.start(greeting()),
    "execute": lambda ours, _: ours.execute(greeting(), None),
    "runs/get": lambda ours, _: ours.ledger.get("anything"),
    "runs/list": lambda ours, _: ours.ledger.list(RunQuery()),
    "runs/result": lambda ours, _: ours.ledger.result("anything", 30),
    "runs/cancel": lambda ours, _: ours.ledger.cancel("anything"),
    "runs/watch": lambda ours, _: anext(ours.ledger.watch("anything", 0)),
    "validate": lambda _, validator: validator.validate(
        ValidateRequest(method=greeting().method, orchestration_mode="temporal")
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
class TestCallsThatAreRefused:
    """Each call of ours is answered as the table says, whatever keeps it from Temporal."""

    @pytest.mark.parametrize("place", [closed_port, black_hole], ids=["nobody listens", "nobody answers"])
    async def test_by_a_server_that_is_away(self, scene: Scene, call: Call, place: Callable[[], Any]) -> None:
        with place() as address:
            told = await scene.told_of(call(*scene.ours(address=address, call_timeout_s=0.5)))

        assert told == documented()["unavailable"]

    @pytest.mark.parametrize("tells_of_itself", [True, False], ids=["once connected", "when it connects"])
    @pytest.mark.parametrize(
        ("status", "row"),
        [
            (RPCStatusCode.UNAUTHENTICATED, "unauthenticated"),
            (RPCStatusCode.PERMISSION_DENIED, "permission denied"),
            (RPCStatusCode.UNAVAILABLE, "unavailable"),
            (RPCStatusCode.RESOURCE_EXHAUSTED, "too busy"),
        ],
    )
    async def test_by_a_server_that_refuses(
        self, scene: Scene, call: Call, status: RPCStatusCode, row: str, tells_of_itself: bool
    ) -> None:
        with refusing_server(status, tells_of_itself=tells_of_itself) as address:
            told = await scene.told_of(call(*scene.ours(address=address)))

        assert told == documented()[row]

    async def test_by_a_server_that_knows_no_tls(self, scene: Scene, call: Call) -> None:
        ours = scene.ours(tls={**NO_TLS, "enabled": True})

        assert await scene.told_of(call(*ours)) == documented()["unavailable"]

    async def test_in_a_namespace_that_is_not_there(self, scene: Scene, call: Call) -> None:
        ours = scene.ours(namespace="strangers")

        assert await scene.told_of(call(*ours)) == documented()["namespace not found"]


class TestRuns:
    """Runs that end, or cannot begin, by what others do in Temporal."""

    async def test_one_that_somebody_terminates_is_cancelled_and_says_why(self, scene: Scene) -> None:
        orchestrator = scene.orchestrator()
        run = greeting()
        await orchestrator.start(run)

        await by_hand(scene, "terminate", run.run_id, "--reason", "to save\npower")

        record = await orchestrator.ledger.get(run.run_id)
        assert record.problem is not None
        assert (record.state, record.problem.detail) == (
            RunState.CANCELLED,
            "The run was terminated in Temporal: to save power.",
        )
        await assert_ended(scene, orchestrator, record, "terminated")

    async def test_one_that_somebody_cancels_in_temporal_is_cancelled(
        self, scene: Scene, worker: None, tmp_path: Path
    ) -> None:
        orchestrator = scene.orchestrator(task_queue=OURS)
        order = Order("wait", tmp_path / "run")
        run = request("temporal", OBEDIENT, order.inputs, new_id())
        await orchestrator.start(run)
        with anyio.fail_after(PATIENCE_S):
            while not order.has_begun:
                await anyio.sleep(0.01)

        await by_hand(scene, "cancel", run.run_id)

        told = await scene.told_of(orchestrator.ledger.result(run.run_id, PATIENCE_S))
        record = await orchestrator.ledger.get(run.run_id)
        assert told == documented()["cancelled"]
        assert record.state is RunState.CANCELLED
        await assert_ended(scene, orchestrator, record, "cancelled")

    async def test_one_that_temporal_ends_in_the_end_is_timed_out(self, scene: Scene) -> None:
        orchestrator = scene.orchestrator()
        run = greeting()
        await scene.client.start_workflow(
            RUN,
            {},
            id=run.run_id,
            task_queue=NOBODYS,
            memo={ASKED: Asked.of(run).model_dump(exclude_none=True)},
            execution_timeout=timedelta(seconds=0.5),
        )

        told = await scene.told_of(orchestrator.ledger.result(run.run_id, PATIENCE_S))

        record = await orchestrator.ledger.get(run.run_id)
        assert told == documented()["timeout"]
        assert record.state is RunState.TIMED_OUT
        await assert_ended(scene, orchestrator, record, "timeout")

    async def test_one_that_another_program_took_fails_as_that_program_says(self, scene: Scene) -> None:
        orchestrator = scene.orchestrator(task_queue=FOREIGN)
        run = greeting()
        await orchestrator.start(run)

        told = await scene.told_of(orchestrator.ledger.result(run.run_id, PATIENCE_S))

        record = await orchestrator.ledger.get(run.run_id)
        assert told == documented()["application"]
        assert record.problem is not None
        assert (record.state, record.problem.detail) == (RunState.FAILED, "this program knows better")
        await assert_ended(scene, orchestrator, record, "application")

    async def test_one_that_is_waited_for_while_somebody_terminates_it_is_told_of_at_once(self, scene: Scene) -> None:
        orchestrator = scene.orchestrator()
        run = greeting()
        await orchestrator.start(run)
        told: list[Told] = []

        async def wait() -> None:
            told.append(await scene.told_of(orchestrator.ledger.result(run.run_id, PATIENCE_S)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await by_hand(scene, "terminate", run.run_id)

        assert told == [documented()["terminated"]]

    @pytest.mark.parametrize(
        "memo", ["something else", {"digest": "of another release"}], ids=["no", "of another kind"]
    )
    async def test_a_run_whose_memo_cannot_be_read_is_a_run_with_a_problem_and_its_id_is_taken(
        self, scene: Scene, memo: Any
    ) -> None:
        orchestrator = scene.orchestrator(task_queue=NOBODYS)
        run_id = new_id()
        await scene.client.start_workflow(RUN, "wait", id=run_id, task_queue=NOBODYS, memo={ASKED: memo})

        started = await scene.told_of(orchestrator.start(greeting(run_id)))
        record = await orchestrator.ledger.get(run_id)
        listed = {run.pipeline_run_id: run for run in (await orchestrator.ledger.list(RunQuery(limit=1000))).runs}
        cancelled = await orchestrator.ledger.cancel(run_id)

        assert started == documented()["already started"]
        assert (record.state, record.problem and record.problem.title) == (RunState.QUEUED, "The run's outcome is lost")
        assert listed[run_id].problem == record.problem
        assert cancelled.state is RunState.CANCELLED

    @pytest.mark.parametrize("name", ["foreign.workflow", RUN], ids=["of a name of its own", "of our name"])
    async def test_the_id_of_a_foreign_workflow_is_taken_and_nobodys_run(self, scene: Scene, name: str) -> None:
        orchestrator = scene.orchestrator()
        run_id = new_id()
        await scene.client.start_workflow(name, "wait", id=run_id, task_queue=NOBODYS)

        started = await scene.told_of(orchestrator.start(greeting(run_id)))
        asked = await scene.told_of(orchestrator.ledger.get(run_id))
        cancelled = await scene.told_of(orchestrator.ledger.cancel(run_id))
        listed = [record.pipeline_run_id for record in (await orchestrator.ledger.list(RunQuery(limit=1000))).runs]

        assert started == documented()["already started"]
        assert asked == cancelled == documented()["not found"]
        assert run_id not in listed

    async def test_one_whose_id_is_longer_than_temporal_takes_is_not_found(self, scene: Scene) -> None:
        assert await scene.told_of(scene.orchestrator().ledger.get("x" * 2000)) == documented()["not found"]

    @pytest.mark.parametrize("size", [2_500_000, 5_000_000])
    async def test_one_that_is_too_large_is_refused_before_anything_is_sent(self, scene: Scene, size: int) -> None:
        orchestrator = scene.orchestrator()
        run = too_large(size)

        told = await scene.told_of(orchestrator.start(run))

        assert told == documented()["too large"]
        assert await scene.told_of(orchestrator.ledger.get(run.run_id)) == documented()["not found"]

    async def test_one_that_no_worker_could_take_is_not_waited_for(self, scene: Scene) -> None:
        orchestrator = scene.orchestrator()
        run = greeting()

        told = await scene.told_of(orchestrator.execute(run, None))

        assert told == documented()["unavailable"]
        assert await scene.told_of(orchestrator.ledger.get(run.run_id)) == documented()["not found"]

    async def test_one_that_goes_on_for_many_long_polls_is_waited_for(
        self, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        polls: list[str] = []
        poll = CompletionWaits._poll

        async def counted(self: CompletionWaits, run_id: str, *more: Any) -> Any:
            polls.append(run_id)
            return await poll(self, run_id, *more)

        # A server that answers each long poll at once, and a client that is as impatient.
        monkeypatch.setattr("tests.support.temporal.BINARY", with_short_polls(tmp_path))
        monkeypatch.setattr(completion_waits, "PATIENCE_S", 1.0)
        monkeypatch.setattr(completion_waits, "_POLL_S", 2.0)
        monkeypatch.setattr(CompletionWaits, "_poll", counted)
        with temporal_server(tmp_path) as server:
            orchestrator = scene.orchestrator(address=server.address)
            run = greeting()
            await orchestrator.start(run)
            told: list[Told] = []

            async def wait() -> None:
                told.append(await scene.told_of(orchestrator.ledger.result(run.run_id, PATIENCE_S)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                with anyio.fail_after(PATIENCE_S):
                    while len(polls) < 6 and not told:
                        await anyio.sleep(0.01)
                told_before = list(told)
                await anyio.to_thread.run_sync(server.command, "workflow", "terminate", "--workflow-id", run.run_id)

        assert (told_before, told) == ([], [documented()["terminated"]])

    async def test_a_server_that_is_lost_after_it_was_there_is_away(self, scene: Scene, tmp_path: Path) -> None:
        with temporal_server(tmp_path) as server:
            ours = scene.ours(address=server.address)
            client = await Client.connect(server.address, runtime=RUNTIME)
            before = await scene.told_of(ours[0].ledger.get("nobody"))
            server.stop()

            lost = [await scene.told_of(call(*ours)) for call in CALLS.values()]

            assert before == documented()["not found"]
            assert set(lost) == {await scene.told_of(count(client))} == {documented()["unavailable"]}


class TestValidations:
    """Validations that fail in Temporal."""

    async def test_one_whose_worker_cannot_have_the_request_is_told_of_the_workers_problem(
        self, scene: Scene, worker: None, tmp_path: Path
    ) -> None:
        _, validator = scene.ours(task_queue=OURS, artifact_store=str(tmp_path / "store"), inline_bytes=1)
        verdict = validator.validate(ValidateRequest(method=greeting().method, orchestration_mode="temporal"))

        assert await scene.told_of(verdict) == ("runtime.misconfigured", -32603)

    async def test_one_that_somebody_terminates_is_told_as_that(self, scene: Scene) -> None:
        _, validator = scene.ours(task_queue=FOREIGN)
        told: list[Told] = []

        async def validate() -> None:
            told.append(
                await scene.told_of(
                    validator.validate(ValidateRequest(method=greeting().method, orchestration_mode="temporal"))
                )
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(validate)
            await by_hand(scene, "terminate", await validation_of(scene))

        assert told == [documented()["terminated"]]


async def validation_of(scene: Scene) -> str:
    """The id of the validation that goes on in the foreign queue."""
    query = f"WorkflowType = 'mthds.validate' AND TaskQueue = '{FOREIGN}' AND ExecutionStatus = 'Running'"
    with anyio.fail_after(PATIENCE_S):
        while True:
            async for found in scene.client.list_workflows(query):
                return found.id
            await anyio.sleep(0.02)


def with_short_polls(folder: Path) -> Path:
    """A `temporal` command whose server answers a long poll within half a second, be it with nothing."""
    script = folder / "temporal"
    option = "--dynamic-config-value history.longPollExpirationInterval='\"500ms\"'"
    script.write_text(f'#!/bin/sh\ntest "$1" = server && set -- "$@" {option}\nexec {BINARY} "$@"\n')
    script.chmod(0o700)
    return script


async def assert_ended(scene: Scene, orchestrator: TemporalOrchestrator, record: RunRecord, row: str) -> None:
    """Whoever asks for an ended run in whatever way is told the same."""
    run_id = record.pipeline_run_id
    events = [event async for event in orchestrator.ledger.watch(run_id, 0)]
    page = await orchestrator.ledger.list(RunQuery(state=record.state, limit=1000))

    assert await scene.told_of(orchestrator.ledger.result(run_id, 0)) == documented()[row]
    assert record.problem is not None
    assert record.problem.pipeline_run_id == run_id
    assert (events[-1].kind, events[-1].problem) == ("run_ended", record.problem)
    assert record.problem in [listed.problem for listed in page.runs if listed.pipeline_run_id == run_id]
    assert await orchestrator.ledger.cancel(run_id) == record
