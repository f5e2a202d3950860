"""Processes below another one, looked at while they may end at any time, and processes that stand still."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


def children_with(word: str, parent: psutil.Process | None = None) -> list[psutil.Process]:
    """The children of a process, else of this one, that live and whose command line has `word` as an argument."""
    found = []
    for child in (parent or psutil.Process()).children():
        with suppress(psutil.NoSuchProcess):
            if word in child.cmdline() and child.is_running():
                found.append(child)
    return found


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Processes that do nothing for the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
