"""The engine process: one event loop, one pipe to its owner, jobs side by side."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from orchestrators.engine.channel import FrameReader, encode
from orchestrators.engine.options import EngineOptions

logger = logging.getLogger(__name__)


def main(channel_fd: int, life_fd: int) -> None:
    """Boot as the owner says on the channel, then serve jobs until the owner ends."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="engine: %(levelname)s: %(message)s")
    threading.Thread(target=_end_with_owner, args=(life_fd,), daemon=True).start()
    with socket.socket(fileno=channel_fd) as channel:
        frames = FrameReader()
        options = EngineOptions.from_json(_first_message(channel, frames))
        engine = _boot(channel, options)
        if engine is not None:
            asyncio.run(_serve(channel, frames, engine))
    _end()


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


def _boot(channel: socket.socket, options: EngineOptions) -> Any:
    from orchestrators.engine.boot import boot

    try:
        booted = boot(options)
    except Exception as error:  # noqa: BLE001 - whatever stops a boot is reported to the owner
        from orchestrators.engine.problems import problem_of

        channel.sendall(encode({"failed": problem_of(error).to_wire()}))
        return None
    from orchestrators.engine.engine import Engine
    from orchestrators.engine.libraries import LibraryCache

    trees = Path(options.work_dir) / "trees"
    trees.mkdir(exist_ok=True)
    channel.sendall(encode({"ready": {"missing_credentials": booted.models.missing_credentials}}))
    return Engine(options=options, booted=booted, libraries=LibraryCache(trees, options.max_libraries))


class CountingExecutor(ThreadPoolExecutor):
    """Knows how many of its threads are at work, so that one a method left behind is noticed."""

    def __init__(self) -> None:
        super().__init__(max_workers=32, thread_name_prefix="method")
        self.busy = 0
        self._lock = threading.Lock()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count `fn` from now until it returns."""
        with self._lock:
            self.busy += 1

        def counted() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                with self._lock:
                    self.busy -= 1

        return super().submit(counted)


class JobServer(asyncio.Protocol):
    """Answers the owner's messages. One task a job, all of them ended with the connection."""

    def __init__(self, engine: Any, frames: FrameReader, executor: CountingExecutor) -> None:
        self._engine = engine
        self._frames = frames
        self._executor = executor
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self.closed = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if "cancel" in message:
                job = self._jobs.get(message["cancel"])
                if job is not None:
                    job.cancel()
            else:
                task = self._loop.create_task(self._run(message))
                self._jobs[message["id"]] = task

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self, message: dict[str, Any]) -> None:
        frame = encode(message)
        if threading.get_ident() == self._loop_thread:
            self._transport.write(frame)
        else:
            self._loop.call_soon_threadsafe(self._transport.write, frame)

    _loop_thread = threading.main_thread().ident

    async def _run(self, message: dict[str, Any]) -> None:
        from orchestrators.engine.operations import OPERATIONS, Job
        from orchestrators.engine.problems import problem_of

        job_id = message["id"]

        def listen(event: Any) -> None:
            self._send({"id": job_id, "event": event.model_dump(mode="json", exclude_none=True)})

        job = Job(
            payload=message["payload"],
            digest=message.get("digest", ""),
            listener=listen if message.get("events") else None,
            begun=lambda: self._send({"id": job_id, "begun": True}),
        )
        try:
            answer = {"result": await OPERATIONS[message["op"]](self._engine, job)}
        except asyncio.CancelledError:
            answer = {"cancelled": True, "busy_threads": self._executor.busy}
        except Exception as error:  # noqa: BLE001 - every failure of a job is its answer
            problem = self._engine.booted.models.explain(problem_of(error, job.payload.get("run_id")))
            answer = {"problem": problem.to_wire()}
        finally:
            self._jobs.pop(job_id, None)
        self._send({"id": job_id, **answer})


async def _serve(channel: socket.socket, frames: FrameReader, engine: Any) -> None:
    loop = asyncio.get_running_loop()
    executor = CountingExecutor()
    loop.set_default_executor(executor)
    channel.setblocking(False)
    _, server = await loop.create_connection(lambda: JobServer(engine, frames, executor), sock=channel)
    await server.closed
    # Whatever still runs ends with the process: a method's thread cannot be joined.
    _end()
