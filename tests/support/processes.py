"""Processes below another one, looked at while they may end at any time."""

from contextlib import suppress

import psutil


def children_with(word: str, parent: psutil.Process | None = None) -> list[psutil.Process]:
    """The children of a process, else of this one, that live and whose command line has `word` as an argument."""
    found = []
    for child in (parent or psutil.Process()).children():
        with suppress(psutil.NoSuchProcess):
            if word in child.cmdline() and child.is_running():
                found.append(child)
    return found
