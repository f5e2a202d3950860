"""Reading in threads: callers can leave, threads that hang are bounded, and other reads continue."""

import threading
from collections.abc import Callable, Iterator

import anyio
import pytest

from rpc_server.workspace import file_threads
from rpc_server.workspace.file_threads import in_thread
from schemas.problem import ProblemError

pytestmark = pytest.mark.anyio

LONG = 30.0
SHORT = 0.05


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging threads wait for; open in the end, so that none is left."""
    event = threading.Event()
    yield event
    event.set()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LONG):
        while not condition():
            await anyio.sleep(0.001)


async def problem_of(what: str, work: Callable[[], object], seconds: float) -> str:
    with pytest.raises(ProblemError) as caught:
        await in_thread(what, work, seconds)
    assert caught.value.problem.code == "runtime.unavailable"
    assert caught.value.problem.retry == "yes"
    return caught.value.problem.detail


async def test_what_the_work_returns_or_raises_reaches_its_caller() -> None:
    assert await in_thread("a file", lambda: 7, LONG) == 7

    with pytest.raises(ZeroDivisionError):
        await in_thread("a file", lambda: 1 // 0, LONG)


async def test_a_caller_leaves_at_once_when_it_is_cancelled(gate: threading.Event) -> None:
    begun = threading.Event()

    def hang() -> None:
        begun.set()
        gate.wait(LONG)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(in_thread, "a file", hang, LONG)
        await until(begun.is_set)
        tasks.cancel_scope.cancel()

    assert not gate.is_set()
    assert await in_thread("a file", lambda: 7, LONG) == 7


async def test_after_its_time_the_same_is_refused_at_once_until_the_thread_ends(gate: threading.Event) -> None:
    assert "took longer than" in await problem_of("a file", lambda: gate.wait(LONG), SHORT)

    assert "has not come to an end" in await problem_of("a file", lambda: 7, LONG)
    assert await in_thread("another file", lambda: 7, LONG) == 7

    gate.set()
    await until(lambda: not file_threads._of_this_loop().stuck)
    assert await in_thread("a file", lambda: 7, LONG) == 7


async def test_threads_that_hang_are_bounded_and_their_places_come_back(gate: threading.Event) -> None:
    before = threading.active_count()

    async with anyio.create_task_group() as tasks:
        for number in range(file_threads._MOST_THREADS + 13):
            tasks.start_soon(problem_of, f"file {number}", lambda: gate.wait(LONG), 1.0)

    assert threading.active_count() - before <= file_threads._MOST_THREADS
    assert "Every thread" in await problem_of("one more", lambda: 7, SHORT)
    gate.set()
    await until(lambda: file_threads._of_this_loop().free.borrowed_tokens == 0)
    assert await in_thread("one more", lambda: 7, LONG) == 7


async def test_a_caller_that_is_cancelled_before_its_thread_begins_costs_no_place() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await in_thread("a file", lambda: 7, LONG)

    assert file_threads._of_this_loop().free.borrowed_tokens == 0
