"""Pipes that give way to other jobs, and are counted where they cost no money.

Pipes that wait for nothing hold the event loop until the last of them has ended, and a few lines of a method are
enough for a million of them. So a job lets others have their turn between two pipes, now and then: it can be cancelled,
and its engine answers.
"""

import asyncio
import time
from contextvars import ContextVar

from pipelex.core.pipes.pipe_output import PipeOutput
from pipelex.pipe_run.pipe_job import PipeJob
from pipelex.pipe_run.pipe_router import PipeRouter

from schemas.problem import Problem, problem

_LONGEST_TURN_S = 0.05


class Steps:
    """The pipes that one job starts. A job that starts more than `limit` is cancelled, and `is_exceeded` then."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.is_exceeded = False
        self._taken = 0
        self._turn_began = time.monotonic()
        self._task: asyncio.Task[object] | None = None

    def enter(self) -> None:
        """Count what the current task, and the tasks that it makes, start from here on."""
        self._task = asyncio.current_task()
        _current.set(self)

    def bound(self, limit: int) -> None:
        """Let the job start `limit` more at the most, where it had no limit."""
        if self.limit is None:
            self.limit = self._taken + limit

    async def next(self) -> None:
        """Called before each pipe."""
        self._taken += 1
        if self.limit is not None and self._taken > self.limit and self._task is not None:
            self.is_exceeded = True
            self._task.cancel()
        elif time.monotonic() - self._turn_began < _LONGEST_TURN_S:
            return
        await asyncio.sleep(0)
        self._turn_began = time.monotonic()


_current: ContextVar[Steps | None] = ContextVar("steps", default=None)


def bound_steps(limit: int) -> None:
    """Bound what the current job may start from here on, where it may start any number."""
    steps = _current.get()
    if steps is not None:
        steps.bound(limit)


def install() -> None:
    """Have every pipe of this process counted. Once, before the first job."""
    run = PipeRouter._run_pipe_job  # noqa: SLF001 - every pipe, of runs and of verdicts, comes by here

    async def paced(self: PipeRouter, pipe_job: PipeJob) -> PipeOutput:
        steps = _current.get()
        if steps is not None:
            await steps.next()
        return await run(self, pipe_job)

    PipeRouter._run_pipe_job = paced  # type: ignore[method-assign]  # noqa: SLF001


def too_many_steps(limit: int, run_id: str | None) -> Problem:
    """Why a job was ended that started more than `limit` pipes."""
    return problem(
        "method.invalid",
        f"A dry run of the method would start more than {limit:,} pipes, which is the most that one may start.",
        next_step=(
            "change_method",
            "Have the method start fewer pipes, or raise `max_dry_steps` under [engine] in rpc_override.toml.",
        ),
        params={"limit": limit},
        run_id=run_id,
    )
