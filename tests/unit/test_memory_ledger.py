"""What `direct` remembers of its runs, for as long as its server lives."""

import json
import time

import anyio
import pytest

from orchestrators.direct import ledger as direct
from orchestrators.direct.ledger import CAPACITY, MAX_BYTES, MemoryLedger
from schemas.method_source import MethodSource
from schemas.problem import ProblemError, ProblemItem, problem_error
from schemas.runs import RunEvent, RunQuery, RunRequest, RunResult, RunState

pytestmark = pytest.mark.anyio


def request(run_id: str = "run-1", name: str = "Ann") -> RunRequest:
    return RunRequest(
        run_id=run_id,
        method=MethodSource(mthds_contents=["x"]),
        orchestration_mode="direct",
        inputs={"name": name},
        created_at=time.time(),
    )


def result(run_id: str = "run-1", output: str = "done") -> bytes:
    """As it comes from an engine."""
    given = RunResult(pipeline_run_id=run_id, orchestration_mode="direct", created_at="now", output=output)
    return json.dumps({"id": 1, "result": given.model_dump(mode="json")}).encode()


def complete(ledger: MemoryLedger, run: RunRequest, output: str = "done") -> None:
    with ledger.recording(run, None) as entry:
        entry.result = result(run.run_id, output)


async def code_of(awaitable: object) -> str:
    with pytest.raises(ProblemError) as raised:
        await awaitable  # type: ignore[misc]
    return raised.value.problem.code


async def test_a_run_that_ends_with_a_result_is_completed_and_keeps_it() -> None:
    ledger = MemoryLedger()

    complete(ledger, request())

    assert (await ledger.get("run-1")).state is RunState.COMPLETED
    assert (await ledger.result("run-1", 0)).output == "done"


async def test_a_run_that_fails_keeps_its_problem() -> None:
    ledger = MemoryLedger()
    failure = problem_error("pipe.output_invalid", "d", next_step=("x", "y"))

    with pytest.raises(ProblemError), ledger.recording(request(), None):
        raise failure

    assert (await ledger.get("run-1")).state is RunState.FAILED
    assert await code_of(ledger.result("run-1", 0)) == "pipe.output_invalid"


async def test_a_run_past_its_deadline_is_timed_out() -> None:
    ledger = MemoryLedger()

    with pytest.raises(ProblemError), ledger.recording(request(), None):
        raise problem_error("run.timed_out", "d", next_step=("x", "y"))

    assert (await ledger.get("run-1")).state is RunState.TIMED_OUT


async def test_a_run_still_going_has_no_result_yet() -> None:
    ledger = MemoryLedger()

    with ledger.recording(request(), None) as entry:
        code = await code_of(ledger.result("run-1", 0))
        entry.result = result()

    assert code == "run.not_finished"


async def test_a_result_that_is_waited_for_arrives_when_the_run_ends() -> None:
    ledger = MemoryLedger()
    outputs: list[object] = []

    async def wait() -> None:
        outputs.append((await ledger.result("run-1", 30)).output)

    async with anyio.create_task_group() as tasks:
        with ledger.recording(request(), None) as entry:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            entry.result = result()

    assert outputs == ["done"]


async def test_cancelling_a_run_ends_its_block_as_cancelled() -> None:
    ledger = MemoryLedger()
    codes: list[str] = []

    async def run() -> None:
        with pytest.raises(ProblemError) as raised, ledger.recording(request(), None):
            await anyio.sleep_forever()
        codes.append(raised.value.problem.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        record = await ledger.cancel("run-1")

    assert record.state is RunState.CANCELLED
    assert codes == ["run.cancelled"]


async def test_cancelling_a_run_that_has_ended_changes_nothing() -> None:
    ledger = MemoryLedger()
    complete(ledger, request())

    assert (await ledger.cancel("run-1")).state is RunState.COMPLETED


async def test_a_stranger_is_not_found() -> None:
    assert await code_of(MemoryLedger().get("nobody")) == "run.not_found"


async def test_the_same_request_under_the_same_id_is_the_same_run() -> None:
    ledger = MemoryLedger()
    complete(ledger, request())

    assert ledger.same_run(request()) is True
    assert ledger.same_run(request("run-2")) is False


async def test_another_request_under_a_known_id_is_refused() -> None:
    ledger = MemoryLedger()
    complete(ledger, request())

    with pytest.raises(ProblemError) as raised:
        ledger.same_run(request(name="Bob"))

    assert raised.value.problem.code == "request.idempotency_conflict"


async def test_runs_are_listed_newest_first_in_pages() -> None:
    ledger = MemoryLedger()
    for number in range(5):
        complete(ledger, request(f"run-{number}"))

    first = await ledger.list(RunQuery(limit=3))
    second = await ledger.list(RunQuery(limit=3, cursor=first.next_cursor))

    assert [run.pipeline_run_id for run in first.runs] == ["run-4", "run-3", "run-2"]
    assert [run.pipeline_run_id for run in second.runs] == ["run-1", "run-0"]
    assert second.next_cursor is None


async def test_only_the_newest_ended_runs_are_kept() -> None:
    ledger = MemoryLedger()

    for number in range(CAPACITY + 3):
        complete(ledger, request(f"run-{number}"))

    assert await code_of(ledger.get("run-0")) == "run.not_found"
    assert (await ledger.get(f"run-{CAPACITY + 2}")).state is RunState.COMPLETED


async def test_results_are_kept_by_their_bytes_and_the_records_of_runs_outlive_them() -> None:
    ledger = MemoryLedger()
    tenth = "x" * (MAX_BYTES // 10)

    for number in range(15):
        complete(ledger, request(f"run-{number}"), tenth)

    kept = [entry for entry in ledger._entries.values() if entry.result is not None]
    assert sum(entry.size for entry in ledger._entries.values()) <= MAX_BYTES
    assert len(kept) == 9
    assert (await ledger.result("run-14", 0)).output == tenth
    assert await code_of(ledger.result("run-5", 0)) == "run.results_not_stored"
    assert (await ledger.get("run-0")).state is RunState.COMPLETED
    assert ledger.same_run(request("run-0"))
    assert [event.kind async for event in ledger.watch("run-0", 0)] == ["run_ended"]


async def test_the_newest_result_is_kept_however_large_it_is() -> None:
    ledger = MemoryLedger()
    complete(ledger, request("run-1"))

    complete(ledger, request("run-2"), "x" * (MAX_BYTES + 1))

    assert len((await ledger.result("run-2", 0)).output) == MAX_BYTES + 1
    assert await code_of(ledger.result("run-1", 0)) == "run.results_not_stored"


async def test_the_faults_of_a_problem_count_too_and_its_code_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "MAX_BYTES", 50_000)
    ledger = MemoryLedger()
    faults = [ProblemItem(code="method.syntax", detail="x" * 100) for _ in range(200)]
    for number in range(5):
        with pytest.raises(ProblemError), ledger.recording(request(f"run-{number}"), None):
            raise problem_error("method.invalid", "d", next_step=("x", "y"), errors=faults)

    problems = [(await ledger.get(f"run-{number}")).problem for number in range(5)]
    assert [problem is not None and problem.code for problem in problems] == ["method.invalid"] * 5
    assert [bool(problem and problem.errors) for problem in problems] == [False] * 4 + [True]


async def test_a_run_of_many_events_keeps_the_newest_and_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "MAX_EVENTS", 10)
    ledger = MemoryLedger()
    with ledger.recording(request(), None) as entry:
        for _ in range(100):
            entry.take(RunEvent(run_id="run-1", seq=1, kind="pipe_started", at=0.0))
        entry.result = result()

    numbers = [event.seq async for event in ledger.watch("run-1", 0)]
    assert numbers == list(range(numbers[0], 103))
    assert 5 <= len(numbers) <= 10
    assert (await ledger.get("run-1")).event_count == 102


async def test_a_run_that_ends_unexpectedly_has_failed() -> None:
    ledger = MemoryLedger()

    with pytest.raises(ZeroDivisionError), ledger.recording(request(), None):
        raise ZeroDivisionError

    assert (await ledger.get("run-1")).state is RunState.FAILED
    assert await code_of(ledger.result("run-1", 0)) == "runtime.unexpected"


async def test_a_watcher_sees_every_event_from_its_cursor_to_the_end() -> None:
    ledger = MemoryLedger()
    seen: list[tuple[int, str]] = []

    async def watch() -> None:
        async for event in ledger.watch("run-1", 1):
            seen.append((event.seq, event.kind))

    async with anyio.create_task_group() as tasks:
        with ledger.recording(request(), None) as entry:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            entry.take(RunEvent(run_id="run-1", seq=1, kind="pipe_started", at=0.0))
            entry.result = result()

    assert seen == [(2, "pipe_started"), (3, "run_ended")]
