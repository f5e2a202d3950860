"""Tasks that are used again."""

import anyio
import pytest

from rpc_server.wire.task_pool import TaskPool

pytestmark = pytest.mark.anyio


async def test_jobs_that_wait_are_done_side_by_side() -> None:
    begun: list[str] = []
    all_begun = anyio.Event()

    async def do(job: str) -> None:
        begun.append(job)
        if len(begun) == 3:
            all_begun.set()
        await all_begun.wait()

    async with anyio.create_task_group() as tasks:
        workers = TaskPool(tasks, do)
        for job in ("a", "b", "c"):
            workers.begin(job)
        with anyio.fail_after(10):
            await all_begun.wait()
        tasks.cancel_scope.cancel()
    assert begun == ["a", "b", "c"]


async def test_a_task_is_used_again_once_its_job_is_done() -> None:
    doers: list[int] = []
    done = anyio.Event()

    async def do(job: str) -> None:
        doers.append(anyio.get_current_task().id)
        done.set()

    async with anyio.create_task_group() as tasks:
        workers = TaskPool(tasks, do)
        for job in ("a", "b", "c"):
            done = anyio.Event()
            workers.begin(job)
            with anyio.fail_after(10):
                await done.wait()
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert len(doers) == 3
    assert len(set(doers)) == 1


async def test_a_task_whose_job_outlasted_the_cancelling_ends_too() -> None:
    begun, may_end = anyio.Event(), anyio.Event()

    async def do(job: str) -> None:
        with anyio.CancelScope() as own:
            own.cancel()
            with anyio.CancelScope(shield=True):
                begun.set()
                await may_end.wait()

    async with anyio.create_task_group() as tasks:
        TaskPool(tasks, do).begin("a")
        await begun.wait()
        tasks.cancel_scope.cancel()
        may_end.set()


async def test_a_job_that_shields_itself_for_ever_is_ended() -> None:
    begun = anyio.Event()

    async def do(job: str) -> None:
        with anyio.CancelScope(shield=True):
            begun.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        workers = TaskPool(tasks, do)
        workers.begin("a")
        await begun.wait()
        workers.end()
        tasks.cancel_scope.cancel()


async def test_idle_tasks_end_with_their_group() -> None:
    async def do(job: str) -> None:
        pass

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            TaskPool(tasks, do).begin("a")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
