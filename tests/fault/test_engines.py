"""What happens to runs and neighbours when an engine is killed, stuck, or ends by itself."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from orchestrators.engines.pool import EnginePool
from schemas.method_source import MethodSource
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunRequest
from tests.support.bundles import GREETING, SEQUENCE, python_method
from tests.support.defaults import pool_settings
from tests.support.processes import children_with

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELEX_HOME", str(tmp_path_factory.getbasetemp() / "pipelex-home"))


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[EnginePool]:
    settings = pool_settings(tmp_path, max_engines=1, allow_python=True, cancel_grace_s=0.5)
    async with EnginePool.open(settings) as opened:
        yield opened


def greeting(run_id: str = "run-1", name: str = "Ann") -> RunRequest:
    return request(MethodSource(mthds_contents=[GREETING]), {"name": name}, run_id)


def request(method: MethodSource, inputs: dict[str, str], run_id: str = "run-1") -> RunRequest:
    return RunRequest(run_id=run_id, method=method, orchestration_mode="direct", inputs=inputs, created_at=time.time())


def engine_pids() -> list[int]:
    return [child.pid for child in children_with("orchestrators.engine")]


async def wait_for_file(path: Path) -> None:
    while not path.exists():
        await anyio.sleep(0.01)


def waiting_method(started: Path, *, is_async: bool = False) -> MethodSource:
    """Says that it has begun, then never returns and cannot be interrupted."""
    body = f"    open({str(started)!r}, 'w').close()\n    while True:\n        pass"
    return python_method(body, is_async=is_async)


async def problem_of_run(pool: EnginePool, run: RunRequest) -> str:
    with pytest.raises(ProblemError) as raised:
        await pool.execute(run, None)
    return raised.value.problem.code


async def test_a_run_whose_engine_is_killed_while_it_boots_is_run_by_another(pool: EnginePool) -> None:
    pool.prestart()
    while not engine_pids():
        await anyio.sleep(0.01)
    os.kill(engine_pids()[0], signal.SIGKILL)

    result = await pool.execute(greeting(), None)

    assert result.output == {"text": "Hello Ann"}


async def test_a_run_whose_engine_is_killed_after_a_pipe_began_is_lost_and_the_next_one_runs(
    pool: EnginePool, tmp_path: Path
) -> None:
    started = tmp_path / "started"

    async with anyio.create_task_group() as tasks:

        async def kill_once_started() -> None:
            await wait_for_file(started)
            os.kill(engine_pids()[0], signal.SIGKILL)

        tasks.start_soon(kill_once_started)
        code = await problem_of_run(pool, request(waiting_method(started), {"word": "x"}))

    assert code == "run.lost"
    assert (await pool.execute(greeting(), None)).output == {"text": "Hello Ann"}


@pytest.mark.parametrize("is_async", [False, True], ids=["in a thread", "on the engine's loop"])
async def test_a_cancelled_run_stuck_in_synchronous_code_gets_its_engine_killed(
    pool: EnginePool, tmp_path: Path, is_async: bool
) -> None:
    started = tmp_path / "started"
    stuck = request(waiting_method(started, is_async=is_async), {"word": "x"})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pool.execute, stuck, None)
        await wait_for_file(started)
        (pid,) = engine_pids()
        tasks.cancel_scope.cancel()

    with anyio.fail_after(10):
        while psutil.pid_exists(pid):
            await anyio.sleep(0.01)


async def test_a_run_past_its_deadline_ends_as_timed_out(pool: EnginePool, tmp_path: Path) -> None:
    run = request(waiting_method(tmp_path / "started"), {"word": "x"})
    run.deadline = time.time() + 3

    assert await problem_of_run(pool, run) == "run.timed_out"


async def test_sys_exit_inside_a_method_costs_that_run_alone(pool: EnginePool) -> None:
    run = request(python_method("    import sys\n    sys.exit(3)"), {"word": "x"})

    assert await problem_of_run(pool, run) == "run.failed"


async def test_an_engine_that_ends_itself_costs_its_run_a_clear_error(pool: EnginePool) -> None:
    run = request(python_method("    import os\n    os._exit(7)"), {"word": "x"})

    with pytest.raises(ProblemError) as raised:
        await pool.execute(run, None)

    assert raised.value.problem.code == "run.lost"
    assert "exit status 7" in raised.value.problem.detail


async def test_two_python_methods_run_side_by_side_each_in_an_engine_of_its_own(pool: EnginePool) -> None:
    body = "    import os\n    return TextContent(text=word + ' ' + str(os.getpid()))"
    runs = [
        request(python_method(body, module=module), {"word": module}, f"run-{module}") for module in ("left", "right")
    ]
    outputs: list[str] = []

    async def execute(run: RunRequest) -> None:
        outputs.append((await pool.execute(run, None)).output["text"])

    async with anyio.create_task_group() as tasks:
        for run in runs:
            tasks.start_soon(execute, run)

    words, pids = zip(*(output.split() for output in sorted(outputs)), strict=True)
    assert words == ("left", "right")
    assert len(set(pids)) == 2


async def test_python_is_refused_where_it_is_not_allowed(tmp_path: Path) -> None:
    async with EnginePool.open(pool_settings(tmp_path)) as pool:
        code = await problem_of_run(pool, request(python_method("    return None"), {"word": "x"}))

    assert code == "pipelex.deployment.custom_code_requires_sandbox"


@pytest.mark.parametrize("has_booted", [False, True])
async def test_the_engine_that_waits_for_work_takes_a_method_with_python_and_the_next_one_boots_another(
    pool: EnginePool, has_booted: bool
) -> None:
    pool.prestart()
    while not engine_pids():
        await anyio.sleep(0.01)
    waiting = engine_pids()
    if has_booted:
        await pool.ask("models", {})

    result = await pool.execute(request(python_method("    return TextContent(text=word)"), {"word": "x"}), None)
    pids_then = engine_pids()
    await pool.execute(greeting("run-2"), None)

    assert result.output == {"text": "x"}
    assert pids_then == waiting
    assert len(engine_pids()) == 2


async def test_a_run_that_comes_while_the_pool_ends_is_lost_and_the_pool_ends(tmp_path: Path) -> None:
    async with EnginePool.open(pool_settings(tmp_path)) as pool:
        pool.prestart()
        while not engine_pids():
            await anyio.sleep(0.01)
        # Its first step is taken while the pool already waits for its engines' end.
        late = asyncio.ensure_future(pool.execute(greeting(), None))

    with pytest.raises(ProblemError) as raised:
        await late
    assert raised.value.problem.code == "run.lost"
    assert engine_pids() == []


async def test_many_runs_at_once_each_get_their_own_answer(pool: EnginePool) -> None:
    answers: dict[str, str] = {}

    async def execute(name: str) -> None:
        answers[name] = (await pool.execute(greeting(f"run-{name}", name), None)).output["text"]

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(execute, f"N{number}")

    assert answers == {f"N{number}": f"Hello N{number}" for number in range(40)}


async def test_events_tell_of_each_pipe_in_order_with_counts(pool: EnginePool) -> None:
    events: list[RunEvent] = []

    await pool.execute(request(MethodSource(mthds_contents=[SEQUENCE]), {"word": "hey"}), events.append)

    assert [(event.kind, event.pipe) for event in events] == [
        ("pipe_started", "chain.all"),
        ("pipe_started", "chain.one"),
        ("pipe_completed", "chain.one"),
        ("pipe_started", "chain.two"),
        ("pipe_completed", "chain.two"),
        ("pipe_started", "chain.three"),
        ("pipe_completed", "chain.three"),
        ("pipe_completed", "chain.all"),
    ]
    assert [event.seq for event in events] == list(range(1, 9))
    assert (events[-1].started, events[-1].ended) == (4, 4)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that owns a pool, has a run going in an engine, and has printed that engine's pid."""
    script = f"""
import asyncio, os, time
from pathlib import Path
from orchestrators.engines.pool import EnginePool
from schemas.runs import RunRequest
from tests.support.bundles import python_method
from tests.support.defaults import pool_settings

async def main():
    body = "    import os, subprocess\\n    child = subprocess.Popen(['sleep', '600'])\\n"
    body += "    open({str(tmp_path / "pids")!r} + '.new', 'w').write(f'{{os.getpid()}} {{child.pid}}')\\n"
    body += "    os.rename({str(tmp_path / "pids")!r} + '.new', {str(tmp_path / "pids")!r})\\n"
    body += "    while True:\\n        pass"
    async with EnginePool.open(pool_settings(Path({str(tmp_path)!r}), allow_python=True)) as pool:
        await pool.execute(RunRequest(run_id="r", method=python_method(body), orchestration_mode="direct",
                           inputs={{"word": "x"}}, created_at=time.time()), None)

asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", script], text=True)
    yield process
    process.kill()
    process.wait()


async def test_no_process_is_left_when_the_owner_is_killed_without_warning(
    owner: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    await wait_for_file(tmp_path / "pids")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]

    os.kill(owner.pid, signal.SIGKILL)

    with anyio.fail_after(10):
        while any(psutil.pid_exists(pid) for pid in pids):
            await anyio.sleep(0.01)
