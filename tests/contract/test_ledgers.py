"""What every ledger of ours does alike: in memory, in SQLite, in Postgres, in Temporal."""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from schemas.method_source import MethodSource
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunQuery, RunRequest, RunResult, RunState
from tests.support.bundles import GREETING, SEQUENCE
from tests.support.ledgers import (
    OBEDIENT,
    PATIENCE_S,
    Kept,
    Order,
    dbos_orchestrator,
    direct_orchestrator,
    request,
    temporal_orchestrator,
)
from tests.support.postgres import postgres_server
from tests.support.temporal import temporal_server

pytestmark = pytest.mark.anyio

INVALID = GREETING.replace('output = "Text"', 'output = "Txet"')


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


LEDGERS = ["direct", "dbos on SQLite", "dbos on Postgres", "temporal", "temporal without search attributes"]


@pytest.fixture(scope="module", params=LEDGERS)
async def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Kept]:
    folder = tmp_path_factory.mktemp("kept")
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PIPELEX_HOME", str(tmp_path_factory.getbasetemp() / "pipelex-home"))
        if request.param == "direct":
            yield await stack.enter_async_context(direct_orchestrator(folder))
        elif request.param == "dbos on SQLite":
            yield await stack.enter_async_context(dbos_orchestrator(folder))
        elif request.param.startswith("temporal"):
            attributes = [] if "without" in request.param else ["MthdsMethod=Keyword"]
            temporal = stack.enter_context(temporal_server(folder, attributes))
            yield await stack.enter_async_context(temporal_orchestrator(folder, temporal.address))
        else:
            server = stack.enter_context(postgres_server(folder))
            yield await stack.enter_async_context(dbos_orchestrator(folder, server.url))


def new_id(name: str = "run") -> str:
    return f"{name}-{uuid.uuid4().hex}"


def greeting(kept: Kept, name: str = "Ann", run_id: str | None = None, **more: Any) -> RunRequest:
    method = MethodSource(mthds_contents=[GREETING], name=more.pop("method", None))
    return request(kept.mode, method, {"name": name}, run_id or new_id(), **more)


def told(kept: Kept, order: Order, **more: Any) -> RunRequest:
    return request(kept.mode, OBEDIENT, order.inputs, new_id(order.word), **more)


async def has_begun(order: Order) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not order.has_begun:
            await anyio.sleep(0.01)


async def code_of(awaitable: Awaitable[object]) -> str:
    with pytest.raises(ProblemError) as raised:
        await awaitable
    return raised.value.problem.code


async def all_of(kept: Kept, run_id: str) -> list[RunEvent]:
    return [event async for event in kept.ledger.watch(run_id, 0)]


async def test_a_run_that_completes_is_remembered_with_its_times_and_its_result(kept: Kept) -> None:
    run = await kept.begin(greeting(kept, method="hello.mthds"))

    result = await kept.ledger.result(run.run_id, PATIENCE_S)

    record = await kept.ledger.get(run.run_id)
    assert (result.output, result.pipeline_run_id) == ({"text": "Hello Ann"}, run.run_id)
    assert result.orchestration_mode == record.orchestration_mode == kept.mode
    assert (record.state, record.method, record.attempt, record.problem) == (
        RunState.COMPLETED,
        "hello.mthds",
        1,
        None,
    )
    assert record.started_at is not None
    assert record.finished_at is not None
    assert record.created_at <= record.started_at <= record.finished_at


@pytest.mark.parametrize(
    ("asked_for", "state", "code"),
    [
        (lambda kept, place: told(kept, Order("fail", place)), RunState.FAILED, "pipe.function_raised"),
        (
            lambda kept, place: request(kept.mode, MethodSource(mthds_contents=[INVALID]), {}, new_id()),
            RunState.FAILED,
            "method.invalid",
        ),
        (
            lambda kept, place: told(kept, Order("wait", place), deadline=time.time() + 0.5),
            RunState.TIMED_OUT,
            "run.timed_out",
        ),
    ],
    ids=["fails", "is invalid", "times out"],
)
async def test_a_run_that_ends_badly_says_why_wherever_it_is_asked(
    kept: Kept, tmp_path: Path, asked_for: Callable[[Kept, Path], RunRequest], state: RunState, code: str
) -> None:
    run = await kept.begin(asked_for(kept, tmp_path / "run"))

    assert await code_of(kept.ledger.result(run.run_id, PATIENCE_S)) == code

    record = await kept.ledger.get(run.run_id)
    listed = await kept.ledger.list(RunQuery(state=state, limit=1000))
    last = (await kept.events(run.run_id))[-1]
    cancelled = await kept.ledger.cancel(run.run_id)
    assert record.state is cancelled.state is state
    assert record.problem is not None
    assert (record.problem.code, record.problem.pipeline_run_id) == (code, run.run_id)
    assert run.run_id in [record.pipeline_run_id for record in listed.runs]
    assert last.kind == "run_ended"
    assert last.problem == record.problem
    assert await code_of(kept.ledger.result(run.run_id, 0)) == code


async def test_a_stranger_is_not_found_by_anything(kept: Kept) -> None:
    asked: list[Awaitable[object]] = [
        kept.ledger.get("nobody"),
        kept.ledger.result("nobody", 0),
        kept.ledger.result("nobody", 30),
        kept.ledger.cancel("nobody"),
        all_of(kept, "nobody"),
    ]

    assert [await code_of(awaitable) for awaitable in asked] == ["run.not_found"] * 5


async def test_a_run_still_going_has_no_result_yet_and_one_that_is_waited_for_comes(kept: Kept, tmp_path: Path) -> None:
    order = Order("until", tmp_path / "run")
    run = await kept.begin(told(kept, order))
    await has_begun(order)
    results: list[RunResult] = []

    async def wait() -> None:
        results.append(await kept.ledger.result(run.run_id, PATIENCE_S))

    codes = [await code_of(kept.ledger.result(run.run_id, wait_s)) for wait_s in (0, 0.1)]
    state = (await kept.ledger.get(run.run_id)).state
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        order.let_go()

    assert codes == ["run.not_finished"] * 2
    assert state is RunState.RUNNING
    assert [result.output for result in results] == [{"text": "until"}]


async def test_runs_are_listed_newest_first_by_method_and_by_age(kept: Kept) -> None:
    method, began = new_id("method"), time.time()
    runs = [await kept.begin(greeting(kept, method=method, created_at=began + number)) for number in range(4)]
    ids = [run.run_id for run in reversed(runs)]

    by_method = await kept.ledger.list(RunQuery(method=method))
    by_age = await kept.ledger.list(RunQuery(method=method, since=began + 2))
    of_nobody = await kept.ledger.list(RunQuery(method=new_id("another")))

    assert [record.pipeline_run_id for record in by_method.runs] == ids
    assert {record.orchestration_mode for record in by_method.runs} == {kept.mode}
    assert [record.pipeline_run_id for record in by_age.runs] == ids[:2]
    assert (of_nobody.runs, of_nobody.next_cursor) == ([], None)


async def test_runs_are_listed_by_the_state_that_they_are_in(kept: Kept, tmp_path: Path) -> None:
    method = new_id("method")
    order = Order("wait", tmp_path / "run")
    going = told(kept, order)
    going.method = OBEDIENT.model_copy(update={"name": method})
    await kept.begin(going)
    done = await kept.begin(greeting(kept, method=method))
    await kept.ended(done.run_id)
    await has_begun(order)

    running = await kept.ledger.list(RunQuery(method=method, state=RunState.RUNNING))
    completed = await kept.ledger.list(RunQuery(method=method, state=RunState.COMPLETED))
    await kept.ledger.cancel(going.run_id)
    cancelled = await kept.ledger.list(RunQuery(method=method, state=RunState.CANCELLED))

    assert [record.pipeline_run_id for record in running.runs] == [going.run_id]
    assert [record.pipeline_run_id for record in completed.runs] == [done.run_id]
    assert [record.pipeline_run_id for record in cancelled.runs] == [going.run_id]


async def test_pages_hold_every_run_once_also_where_many_began_in_the_same_moment(kept: Kept) -> None:
    method, began = new_id("method"), time.time()
    runs = [greeting(kept, method=method, created_at=began + number // 7) for number in range(40)]
    for run in runs:
        await kept.begin(run)

    paged = {limit: await kept.page_through(RunQuery(method=method, limit=limit)) for limit in (1, 3, 20, 40)}

    created = {run.run_id: run.created_at for run in runs}
    for ids in paged.values():
        assert sorted(ids) == sorted(created)
        assert [created[run_id] for run_id in ids] == sorted(created.values(), reverse=True)
    assert len({tuple(ids) for ids in paged.values()}) == 1


async def test_a_run_that_begins_while_somebody_pages_shifts_nothing(kept: Kept) -> None:
    method, began = new_id("method"), time.time()
    runs = [await kept.begin(greeting(kept, method=method, created_at=began + number)) for number in range(4)]

    first = await kept.ledger.list(RunQuery(method=method, limit=2))
    await kept.begin(greeting(kept, method=method, created_at=began + 9))
    second = await kept.ledger.list(RunQuery(method=method, limit=2, cursor=first.next_cursor))

    seen = [record.pipeline_run_id for record in [*first.runs, *second.runs]]
    assert seen == [run.run_id for run in reversed(runs)]


@pytest.mark.parametrize("cursor", ["nonsense", "nan:x", "inf:x", "1e999:x", ":", "1:\ud800", "1:\x00", "x" * 10_000])
async def test_a_cursor_that_no_page_gave_answers_runs_of_the_list_or_none(kept: Kept, cursor: str) -> None:
    run = await kept.begin(greeting(kept, method=new_id("method")))

    page = await kept.ledger.list(RunQuery(method=run.method.name, cursor=cursor))

    assert [record.pipeline_run_id for record in page.runs] in ([], [run.run_id])
    assert page.next_cursor is None


async def test_a_cursor_that_is_none_begins_at_the_newest_run(kept: Kept) -> None:
    run = await kept.begin(greeting(kept, method=new_id("method")))

    page = await kept.ledger.list(RunQuery(method=run.method.name, cursor="nonsense"))

    assert [record.pipeline_run_id for record in page.runs] == [run.run_id]


@pytest.mark.parametrize("method", ["\ud800", "a\x00b", "'; drop table mthds_runs; --", "é" * 5000])
async def test_a_method_of_any_name_is_kept_and_a_list_of_its_runs_is_answered(kept: Kept, method: str) -> None:
    run = await kept.begin(greeting(kept, method=method))

    record = await kept.ended(run.run_id)

    assert record.state is RunState.COMPLETED
    listed = await kept.ledger.list(RunQuery(method=record.method))
    assert run.run_id in [record.pipeline_run_id for record in listed.runs]
    assert isinstance((await kept.ledger.list(RunQuery(method=method))).runs, list)


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "\N{GRINNING FACE}"])
async def test_any_text_goes_in_and_comes_out_as_it_was(kept: Kept, text: str) -> None:
    run = await kept.begin(greeting(kept, text))

    result = await kept.ledger.result(run.run_id, PATIENCE_S)

    assert result.output == {"text": f"Hello {text}"}


async def test_a_watcher_sees_every_event_from_the_first_or_from_a_cursor(kept: Kept) -> None:
    method = MethodSource(mthds_contents=[SEQUENCE])
    run = await kept.begin(request(kept.mode, method, {"word": "hey"}, new_id()))

    every = await kept.events(run.run_id)
    some = await kept.events(run.run_id, after=4)
    none = await kept.events(run.run_id, after=len(every))
    beyond = await kept.events(run.run_id, after=len(every) + 100)

    kinds = [event.kind for event in every]
    assert (kinds[0], kinds[-1], len(every)) == ("run_started", "run_ended", 10)
    assert kinds.count("pipe_started") == kinds.count("pipe_completed") == 4
    assert [event.seq for event in every] == list(range(1, 11))
    assert {(event.run_id, event.attempt) for event in every} == {(run.run_id, 1)}
    assert (every[-1].started, every[-1].ended) == (4, 4)
    assert some == every[4:]
    assert (none, beyond) == ([], [])
    assert (await kept.ledger.get(run.run_id)).event_count == 10


async def test_a_watcher_of_a_run_that_goes_on_sees_what_happens_until_it_ends(kept: Kept, tmp_path: Path) -> None:
    order = Order("until", tmp_path / "run")
    run = await kept.begin(told(kept, order))
    seen: list[list[RunEvent]] = [[], []]

    async def watch(events: list[RunEvent]) -> None:
        async for event in kept.ledger.watch(run.run_id, 0):
            events.append(event)

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            for events in seen:
                tasks.start_soon(watch, events)
            while not all(len(events) >= 2 for events in seen):
                await anyio.sleep(0.01)
            kinds_before = [event.kind for event in seen[0]]
            order.let_go()

    assert kinds_before == ["run_started", "pipe_started"]
    assert [event.kind for event in seen[0]] == ["run_started", "pipe_started", "pipe_completed", "run_ended"]
    assert [event.seq for event in seen[0]] == [1, 2, 3, 4]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("word", ["wait", "spin"], ids=["that waits", "stuck in synchronous Python"])
async def test_a_running_run_that_is_cancelled_ends_as_cancelled(kept: Kept, tmp_path: Path, word: str) -> None:
    order = Order(word, tmp_path / "run")
    run = await kept.begin(told(kept, order))
    await has_begun(order)

    with anyio.fail_after(15):
        record = await kept.ledger.cancel(run.run_id)

    last = (await kept.events(run.run_id))[-1]
    assert record.state is RunState.CANCELLED
    assert record.problem is not None
    assert record.problem.code == await code_of(kept.ledger.result(run.run_id, 0)) == "run.cancelled"
    assert (last.kind, last.problem) == ("run_ended", record.problem)
    assert await kept.ledger.cancel(run.run_id) == record
    assert order.times_begun == 1


async def test_a_run_that_has_completed_is_not_cancelled_any_more(kept: Kept) -> None:
    run = await kept.begin(greeting(kept))
    record = await kept.ended(run.run_id)

    assert await kept.ledger.cancel(run.run_id) == record
    assert (await kept.ledger.result(run.run_id, 0)).output == {"text": "Hello Ann"}


async def test_the_same_request_again_is_the_same_run_and_another_one_is_refused(kept: Kept) -> None:
    run_id = new_id()
    first = await kept.orchestrator.execute(greeting(kept, run_id=run_id), None)

    again = await kept.orchestrator.execute(greeting(kept, run_id=run_id), None)
    code = await code_of(kept.orchestrator.execute(greeting(kept, "Bob", run_id), None))

    assert again == first
    assert code == "request.idempotency_conflict"
    assert (await kept.ledger.result(run_id, 0)).output == {"text": "Hello Ann"}


async def test_the_same_request_while_its_run_goes_on_waits_for_that_run(kept: Kept, tmp_path: Path) -> None:
    order = Order("until", tmp_path / "run")
    run = await kept.begin(told(kept, order))
    await has_begun(order)
    results: list[RunResult] = []

    async def execute() -> None:
        results.append(await kept.orchestrator.execute(run.model_copy(update={"created_at": time.time()}), None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(execute)
        await anyio.wait_all_tasks_blocked()
        order.let_go()

    assert [result.output for result in results] == [{"text": "until"}]
    assert order.times_begun == 1


async def test_a_failed_run_that_is_asked_for_again_is_not_run_again(kept: Kept, tmp_path: Path) -> None:
    order = Order("fail", tmp_path / "run")
    run = told(kept, order)

    codes = [await code_of(kept.orchestrator.execute(run, None)) for _ in range(2)]

    assert codes == ["pipe.function_raised"] * 2
    assert order.times_begun == 1


async def test_events_of_an_execute_come_as_they_are_kept(kept: Kept) -> None:
    events: list[RunEvent] = []
    run = request(kept.mode, MethodSource(mthds_contents=[SEQUENCE]), {"word": "hey"}, new_id())

    await kept.orchestrator.execute(run, events.append)

    assert events == await kept.events(run.run_id)
    assert [event.seq for event in events] == list(range(1, 11))
