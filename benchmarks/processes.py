"""Processes that are measured: how they are spawned, and how they end without a trace."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil

from benchmarks.place import Place


@contextmanager
def spawned(command: Sequence[str], place: Place, **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Spawn `command` in the place. At the end it is killed with all its children, so that they disturb no one."""
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, bufsize=0, cwd=place.directory, env=place.environment, **(quiet | pipes)) as process:
        try:
            yield process
        finally:
            _end(process.pid)


def _end(pid: int) -> None:
    try:
        root = psutil.Process(pid)
        doomed = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in doomed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(doomed, timeout=10)
