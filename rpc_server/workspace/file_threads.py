"""Threads in which files are read: a bounded number of them, each left behind when a file system does not answer."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import RunVar

from schemas.problem import ProblemError, problem_error

T = TypeVar("T")

_MOST_THREADS = 32


@dataclass
class _Threads:
    """Of one event loop."""

    free: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_MOST_THREADS))
    """A thread holds its place until it ends, not only while its caller waits."""
    started: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(math.inf))
    """What anyio counts, which forgets a thread that is given up."""
    stuck: set[str] = field(default_factory=set)
    """What threads still read whose time was over."""


_threads: RunVar[_Threads] = RunVar("threads that read files")


async def in_thread(what: str, work: Callable[[], T], seconds: float) -> T:
    """What `work` returns, which blocks in a thread of its own; the caller can be cancelled at any time.

    `what` completes "reading …". Raises `ProblemError` coded `runtime.unavailable` after `seconds`, and at once while
    an earlier thread is still busy with the same after its time was over.
    """
    threads = _of_this_loop()
    if what in threads.stuck:
        raise _unavailable(f"An earlier reading of {what} has not come to an end.")
    turn = _Turn(threads, what)
    with anyio.move_on_after(seconds) as scope:
        await threads.free.acquire_on_behalf_of(turn)
        try:
            return await anyio.to_thread.run_sync(turn.run, work, abandon_on_cancel=True, limiter=threads.started)
        finally:
            turn.leave(is_late=scope.cancel_called)
    if turn.has_begun:
        raise too_slow(what, seconds)
    raise _unavailable(f"Every thread that reads files was busy for {seconds:g} seconds.")


def too_slow(what: str, seconds: float) -> ProblemError:
    """The problem of reading that did not end in time."""
    return _unavailable(f"Reading {what} took longer than {seconds:g} seconds.")


class _Turn:
    """One thread's place, given back by whichever is last: the thread, or the caller who waited for it."""

    def __init__(self, threads: _Threads, what: str) -> None:
        self.has_begun = False
        self._threads = threads
        self._what = what
        self._lock = threading.Lock()
        self._has_ended = False
        self._is_left = False

    def run(self, work: Callable[[], T]) -> T:
        """In the thread."""
        with self._lock:
            if self._is_left:
                raise _Left
            self.has_begun = True
        try:
            return work()
        finally:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._has_ended = True
            is_left = self._is_left
        if is_left:
            self._give_back_from_thread()

    def leave(self, *, is_late: bool) -> None:
        """The caller waits no longer; `is_late` says that the time was over."""
        with self._lock:
            self._is_left = True
            is_running = self.has_begun and not self._has_ended
        if not is_running:
            self._give_back()
        elif is_late:
            self._threads.stuck.add(self._what)

    def _give_back(self) -> None:
        self._threads.stuck.discard(self._what)
        self._threads.free.release_on_behalf_of(self)

    def _give_back_from_thread(self) -> None:
        try:
            anyio.from_thread.run_sync(self._give_back)
        except RuntimeError:
            # The event loop has ended before its thread did.
            return


class _Left(Exception):
    """The caller was gone before the thread began."""


def _of_this_loop() -> _Threads:
    try:
        return _threads.get()
    except LookupError:
        threads = _Threads()
        _threads.set(threads)
        return threads


def _unavailable(detail: str) -> ProblemError:
    return problem_error(
        "runtime.unavailable",
        detail,
        domain="operator",
        next_step=("retry", "See that the disk or the network drive of the workspace answers, then try again."),
        params={"dependency": "files"},
    )
