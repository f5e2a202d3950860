"""Tasks that are used again: starting one costs more than many a call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint_if_cancelled

T = TypeVar("T")

_MOST_IDLE = 64


class TaskPool(Generic[T]):
    """Does jobs side by side, each in a task of `tasks` that does nothing else meanwhile."""

    def __init__(self, tasks: TaskGroup, do: Callable[[T], Awaitable[None]]) -> None:
        """`do` does a job, and must not raise."""
        self._tasks = tasks
        self._do = do
        self._idle: list[asyncio.Future[T]] = []
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, job: T) -> None:
        """Have a job done; does not block."""
        if self._idle:
            self._idle.pop().set_result(job)
        else:
            self._tasks.start_soon(self._work, job)

    def end(self) -> None:
        """Cancel every job, also one that shields itself: its task group would wait for it for ever."""
        for task in self._running:
            task.cancel()

    async def _work(self, job: T) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._do_jobs(job)
        finally:
            self._running.discard(task)

    async def _do_jobs(self, job: T) -> None:
        while True:
            await self._do(job)
            # A job that shielded itself may have outlasted the cancelling, which would not come again by itself.
            await checkpoint_if_cancelled()
            if len(self._idle) >= _MOST_IDLE:
                return
            waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            self._idle.append(waiting)
            job = await waiting
