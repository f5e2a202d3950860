"""The engine process: one event loop, one pipe to its owner, jobs side by side.

Invariant: an engine ends with its owner, however that ends; it watches a pipe that only the owner holds open.
"""

import asyncio
import gc
import io
import logging
import os
import signal
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from orchestrators.engine.channel import FrameReader, encode
from orchestrators.engine.options import EngineOptions
from schemas.problem import NextStep, Problem

if TYPE_CHECKING:
    from orchestrators.engine.engine import Engine

logger = logging.getLogger(__name__)


def main(channel_fd: int, life_fd: int) -> None:
    """Boot as the owner says on the channel, then serve jobs until the owner ends."""
    # What the boot makes stays for good: collecting while it is made, or among it later, finds nothing.
    gc.disable()
    _print_at_once()
    _log_to_stderr()
    threading.Thread(target=_end_with_owner, args=(life_fd,), daemon=True).start()
    with socket.socket(fileno=channel_fd) as channel:
        frames = FrameReader()
        options = EngineOptions.from_json(_first_message(channel, frames))
        engine = _boot(channel, options)
        if engine is not None:
            asyncio.run(_serve(channel, frames, engine))
    _end()


def _print_at_once() -> None:
    """Write each line that a method prints at once, in UTF-8 with any locale: the method may end its engine next."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _log_to_stderr() -> None:
    """Our own lines apart from Pipelex, which installs a sink of its own on the root logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("mthds-rpc engine: %(levelname)s: %(message)s"))
    ours = logging.getLogger("orchestrators")
    ours.addHandler(handler)
    ours.setLevel(logging.WARNING)
    ours.propagate = False


def _end_with_owner(life_fd: int) -> None:
    os.read(life_fd, 1)
    _end()


def _end() -> NoReturn:
    """End this process together with every child a method has left in its group."""
    sys.stderr.flush()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _first_message(channel: socket.socket, frames: FrameReader) -> dict[str, Any]:
    while True:
        data = channel.recv(65536)
        if not data:
            _end()
        for message in frames.feed(data):
            return message


def _boot(channel: socket.socket, options: EngineOptions) -> "Engine | None":
    """The booted engine, after a report to its owner; None if the boot failed and the owner got the reason."""
    try:
        engine = _booted(options)
    except Exception as error:  # noqa: BLE001 - the owner gets every failure of the boot
        from orchestrators.engine.problems import problem_of

        logger.error("Pipelex cannot boot: %s", error)
        channel.sendall(encode({"failed": _for_the_user(problem_of(error)).to_wire()}))
        return None
    gc.freeze()
    gc.enable()
    channel.sendall(encode({"ready": True}))
    return engine


def _booted(options: EngineOptions) -> "Engine":
    from orchestrators.engine.boot import boot

    booted = boot(options)
    # Imported here rather than at the first job: what cannot be imported stops the boot.
    import_module("orchestrators.engine.job_server")
    from orchestrators.engine.engine import Engine
    from orchestrators.engine.libraries import LibraryCache
    from orchestrators.engine.pacing import install

    install()
    trees = Path(options.work_dir) / "trees"
    trees.mkdir()
    return Engine(options=options, booted=booted, libraries=LibraryCache(trees, options.max_libraries))


def _for_the_user(problem: Problem) -> Problem:
    """The problem for a caller who also configured this machine: the next step is the caller's own."""
    if problem.next_step.kind != "report":
        return problem
    step = NextStep(
        kind="fix_configuration", detail="Fix the problem reported on stderr, then call again; no restart is needed."
    )
    return problem.model_copy(update={"next_step": step})


async def _serve(channel: socket.socket, frames: FrameReader, engine: "Engine") -> None:
    from orchestrators.engine.job_server import CountingExecutor, JobServer

    loop = asyncio.get_running_loop()
    executor = CountingExecutor()
    loop.set_default_executor(executor)
    channel.setblocking(False)
    _, server = await loop.create_connection(lambda: JobServer(engine, frames, executor), sock=channel)
    await server.closed
    # Threads of methods cannot be joined; they end with the process.
    _end()
