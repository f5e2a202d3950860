"""What a job that does not stop, an engine that stands still, or a hostile one costs those who share it."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from orchestrators.engines.pool import EnginePool
from schemas.method_source import MethodSource
from schemas.problem import Problem, ProblemError
from schemas.runs import RunRequest, RunResult
from schemas.validation import ValidateRequest
from tests.support.bundles import GREETING, nested, python_method
from tests.support.defaults import pool_settings
from tests.support.live import ASK, KEY
from tests.support.model_stub import ModelStub, model_stub, write_backend
from tests.support.processes import children_with

pytestmark = pytest.mark.anyio

ENDLESS = 10**9
"""As a number of pipes: no bound at all."""


class Gate:
    """A model that answers no call before it is opened."""

    def __init__(self, stub: ModelStub) -> None:
        self._opened = threading.Event()
        self._stub, self._reply = stub, stub.reply
        stub.reply = self._hold  # type: ignore[method-assign]

    def _hold(self, body: dict[str, Any], authorization: str) -> tuple[int, dict[str, Any]]:
        answer = self._reply(body, authorization)
        self._opened.wait(120)
        return answer

    async def asked(self, count: int) -> None:
        while len(self._stub.asked) < count:
            await anyio.sleep(0.01)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The one model that engines know."""
    with model_stub() as stub:
        write_backend(tmp_path / "pipelex", stub)
        monkeypatch.setenv("PIPELEX_HOME", str(tmp_path / "pipelex"))
        monkeypatch.setenv("STUB_API_KEY", KEY)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        gate = Gate(stub)
        yield gate
        gate.open()


@dataclass
class Neighbours:
    """Live runs that wait for their model in one shared engine."""

    outcomes: dict[str, str]

    async def run(self, pool: EnginePool, run_id: str) -> None:
        try:
            await pool.execute(request(MethodSource(mthds_contents=ASK["mthds_contents"]), run_id), None)
        except ProblemError as error:
            self.outcomes[run_id] = f"{error.problem.code}: {error.problem.detail}"
        else:
            self.outcomes[run_id] = "completed"


@asynccontextmanager
async def two_neighbours(pool: EnginePool, gate: Gate) -> AsyncIterator[Neighbours]:
    """For the block two runs are live; at its end the model answers them."""
    neighbours = Neighbours({})
    async with anyio.create_task_group() as tasks:
        for run_id in ("one", "two"):
            tasks.start_soon(neighbours.run, pool, run_id)
        await gate.asked(2)
        yield neighbours
        gate.open()


def request(method: MethodSource, run_id: str = "run-1", **more: Any) -> RunRequest:
    inputs = {"question": "Why?"} if run_id in ("one", "two") else {"word": "x"}
    fields = {"inputs": inputs, "orchestration_mode": "direct", "created_at": time.time(), **more}
    return RunRequest(run_id=run_id, method=method, **fields)


def verdict_on(bundle: str) -> ValidateRequest:
    method = MethodSource(mthds_contents=[bundle])
    return ValidateRequest(method=method, orchestration_mode="direct", allow_signatures=True, include=[])


async def greet(pool: EnginePool) -> RunResult:
    return await pool.execute(request(MethodSource(mthds_contents=[GREETING]), inputs={"name": "Ann"}), None)


async def problem_of(awaitable: Any) -> Problem:
    with pytest.raises(ProblemError) as raised:
        await awaitable
    return raised.value.problem


def engine_pids() -> list[int]:
    return [child.pid for child in children_with("orchestrators.engine")]


async def wait_until_ended(pid: int) -> None:
    with anyio.fail_after(30):
        while psutil.pid_exists(pid):
            await anyio.sleep(0.01)


async def test_a_verdict_that_does_not_stop_costs_no_run_beside_it_and_its_engine_ends_after_them(
    tmp_path: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    settings = pool_settings(tmp_path, max_engines=1, cancel_grace_s=0.2, verdict_timeout_s=4, max_dry_steps=ENDLESS)
    async with EnginePool.open(settings) as pool, two_neighbours(pool, gate) as neighbours:
        (old,) = engine_pids()

        # Pipelex loads it for ever, in a thread. The first is cancelled, the second runs out of time.
        with anyio.move_on_after(1) as cancelled:
            await pool.validate(verdict_on(nested(19)))
        late = await problem_of(pool.validate(verdict_on(nested(18))))
        greeted = await greet(pool)
        pids = engine_pids()
        gate.open()
        await wait_until_ended(old)

    assert cancelled.cancelled_caught
    assert (late.code, late.params) == ("runtime.unavailable", {"limit_seconds": 4})
    assert greeted.output == {"text": "Hello Ann"}
    assert old in pids
    assert neighbours.outcomes == {"one": "completed", "two": "completed"}
    assert "a job 'validate' did not stop when asked to, and may continue until the 2 other jobs" in caplog.text


async def test_a_dry_run_of_too_many_pipes_is_refused_and_its_engine_continues(tmp_path: Path, gate: Gate) -> None:
    batch = """
domain = "many"
main_pipe = "all"

[pipe.all]
type = "PipeBatch"
description = "Say each"
inputs = { words = "Text[]" }
output = "Text[]"
branch_pipe_code = "say"
input_list_name = "words"
input_item_name = "word"

[pipe.say]
type = "PipeCompose"
description = "Say it"
inputs = { word = "Text" }
output = "Text"
template = "{{ word }}"
"""
    run = request(MethodSource(mthds_contents=[batch]), inputs={"words": ["x"] * 200}, run_mode="dry")
    async with EnginePool.open(pool_settings(tmp_path, max_engines=1, max_dry_steps=100)) as pool:
        problems = [
            await problem_of(pool.execute(run, None)),
            await problem_of(pool.validate(verdict_on(nested(20)))),
            await problem_of(pool.execute(request(MethodSource(mthds_contents=[nested(20)]), run_mode="dry"), None)),
        ]
        live = await pool.execute(run.model_copy(update={"run_mode": "live"}), None)
        pids = engine_pids()

    assert [problem.code for problem in problems] == ["method.invalid"] * 3
    assert [problem.params for problem in problems] == [{"limit": 100}] * 3
    assert len(live.output["items"]) == 200
    assert len(pids) == 1


async def test_a_job_that_is_cancelled_as_soon_as_it_is_sent_costs_nothing(tmp_path: Path, gate: Gate) -> None:
    async with EnginePool.open(pool_settings(tmp_path, max_engines=1, cancel_grace_s=60)) as pool:
        await greet(pool)
        pids = engine_pids()

        for _ in range(20):
            task = asyncio.ensure_future(greet(pool))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

        assert (await greet(pool)).output == {"text": "Hello Ann"}
        assert engine_pids() == pids


async def test_an_engine_that_is_stopped_ends_no_deadline_gets_nothing_new_and_is_ended_with_that_reason(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrators.engines.engine_process.PING_S", 0.1)
    settings = pool_settings(tmp_path, max_engines=1, cancel_grace_s=600, unresponsive_s=10**6)
    async with EnginePool.open(settings) as pool, two_neighbours(pool, gate) as neighbours:
        (stopped,) = engine_pids()
        os.kill(stopped, signal.SIGSTOP)

        # Sent to the engine that stands still: one is past its time, the other is taken back and goes elsewhere.
        late = request(MethodSource(mthds_contents=[GREETING]), inputs={"name": "Bob"}, deadline=time.time() + 0.3)
        problem = await problem_of(pool.execute(late, None))
        greeted = await greet(pool)
        pids = engine_pids()
        for engine in pool._engines._lanes["shared"]:
            if engine.pid == stopped:
                engine._unresponsive_s = 20
        await wait_until_ended(stopped)

    assert problem.code == "run.timed_out"
    assert greeted.output == {"text": "Hello Ann"}
    assert stopped in pids
    assert len(pids) == 2
    assert {outcome.partition(" (")[2] for outcome in neighbours.outcomes.values()} == {
        "it had not answered for 20 seconds), so its outcome is not known."
    }


async def test_an_engine_that_stands_still_with_a_job_that_did_not_stop_is_ended_sooner(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrators.engines.engine_process.PING_S", 0.1)
    begun = tmp_path / "begun"
    # The same method, so that both runs share an engine; one holds its event loop.
    method = python_method(
        f"    import asyncio\n    if word == 'spin':\n        open({str(begun)!r}, 'w').close()\n"
        "        while True:\n            pass\n    await asyncio.sleep(3600)",
        is_async=True,
    )
    problems: list[str] = []

    async def wait(pool: EnginePool) -> None:
        problem = await problem_of(pool.execute(request(method, inputs={"word": "wait"}), None))
        problems.append(f"{problem.code}: {problem.detail}")

    settings = pool_settings(tmp_path, allow_python=True, cancel_grace_s=0.2)
    async with EnginePool.open(settings) as pool, anyio.create_task_group() as tasks:
        tasks.start_soon(wait, pool)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as spinning:
                spinning.start_soon(pool.execute, request(method, "run-2", inputs={"word": "spin"}), None)
                while not begun.exists():
                    await anyio.sleep(0.01)
                scope.cancel()

    (problem,) = problems
    assert problem.startswith("run.lost")
    assert "it had not answered for 20 seconds" in problem


async def test_an_engine_that_is_stopped_for_a_while_goes_on(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrators.engines.engine_process.PING_S", 0.1)
    async with EnginePool.open(pool_settings(tmp_path, max_engines=1)) as pool:
        async with two_neighbours(pool, gate) as neighbours:
            (stopped,) = engine_pids()
            os.kill(stopped, signal.SIGSTOP)
            await greet(pool)
            os.kill(stopped, signal.SIGCONT)

        await greet(pool)

    assert neighbours.outcomes == {"one": "completed", "two": "completed"}


HOSTILE = """    import os, socket, stat, struct
    from orchestrators.engine.channel import encode
    sent = {sent}
    for name in os.listdir('/proc/self/fd'):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                family = socket.socket(fileno=os.dup(int(name)))
                if family.family == socket.AF_UNIX and family.type == socket.SOCK_STREAM:
                    family.sendall(sent)
        except OSError:
            pass
    return TextContent(text=word)
"""


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        ("struct.pack('>I', 4_000_000_000) + b'x' * 1000", "run.lost"),
        ("encode({'id': 99, 'result': 5}) + encode({'id': 1, 'event': {'kind': 5}})", "completed"),
    ],
    ids=["a frame of 4 GB", "a strange event"],
)
async def test_whatever_an_engine_sends_costs_that_engine_alone(
    tmp_path: Path, gate: Gate, sent: str, outcome: str
) -> None:
    run = request(python_method(HOSTILE.format(sent=sent)))
    async with EnginePool.open(pool_settings(tmp_path, allow_python=True)) as pool:
        try:
            told = (await pool.execute(run, lambda event: None)).output["text"]
        except ProblemError as error:
            told = error.problem.code
        greeted = await greet(pool)

    assert told == ("x" if outcome == "completed" else outcome)
    assert greeted.output == {"text": "Hello Ann"}


SAY = "    return TextContent(text=word)"


async def test_an_engine_with_more_memory_than_it_may_have_is_ended_with_that_reason(
    tmp_path: Path, gate: Gate
) -> None:
    greedy = python_method("    kept = b'x' * 3_000_000_000\n    import time\n    time.sleep(600)")
    settings = pool_settings(tmp_path, allow_python=True, max_memory_mb=1000)
    async with EnginePool.open(settings) as pool:
        problem = await problem_of(pool.execute(request(greedy), None))
        greeted = await greet(pool)

    assert problem.code == "run.lost"
    assert "(it had more than the 1,000 MB of memory that `max_memory_mb` allows)" in problem.detail
    assert greeted.output == {"text": "Hello Ann"}


async def test_what_a_method_raises_is_its_own_failure(tmp_path: Path, gate: Gate) -> None:
    method = python_method(
        "    import asyncio, builtins\n    raise {**vars(builtins), **vars(asyncio)}[word]", is_async=True
    )
    raised = ["CancelledError", "KeyboardInterrupt", "GeneratorExit", "SystemExit"]
    async with EnginePool.open(pool_settings(tmp_path, allow_python=True)) as pool:
        problems = [await problem_of(pool.execute(request(method, inputs={"word": name}), None)) for name in raised]
        pids = engine_pids()

    assert {(problem.code, problem.domain) for problem in problems} == {("run.failed", "method")}
    assert [name for name, problem in zip(raised, problems, strict=True) if name in problem.detail] == raised[:-1]
    assert len(pids) == 1


async def test_output_that_cannot_be_reported_stops_no_method_that_prints(tmp_path: Path, gate: Gate) -> None:
    def report(line: str) -> None:
        raise BrokenPipeError

    method = python_method("    for _ in range(500):\n        print('y' * 1000)\n" + SAY)
    async with EnginePool.open(pool_settings(tmp_path, allow_python=True, report=report)) as pool:
        result = await pool.execute(request(method), None)

    assert result.output == {"text": "x"}


async def test_a_pool_forgets_the_lanes_that_have_no_engine(tmp_path: Path, gate: Gate) -> None:
    async with EnginePool.open(pool_settings(tmp_path, max_lanes=1, allow_python=True)) as pool:
        for module in ("one", "two"):
            await pool.execute(request(python_method("    return TextContent(text=word)", module=module)), None)
        with anyio.fail_after(30):
            while len(pool._engines._lanes.keys() - {"shared"}) > 1:
                await anyio.sleep(0.01)

        assert set(pool._engines._lane_used) <= pool._engines._lanes.keys()


async def test_a_machine_that_can_start_no_engine_says_so_and_the_pool_goes_on(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EnginePool.open(pool_settings(tmp_path)) as pool:
        with monkeypatch.context() as broken:
            broken.setattr("sys.executable", str(tmp_path / "no such interpreter"))
            problem = await problem_of(greet(pool))
        greeted = await greet(pool)

    assert (problem.code, problem.retry) == ("runtime.unavailable", "yes")
    assert "No such file" in problem.detail
    assert greeted.output == {"text": "Hello Ann"}
