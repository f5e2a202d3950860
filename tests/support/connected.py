"""A conversation with a server in this process: both directions are in memory, and no process is started.

    with connected(home) as client:
        assert client.result("ping") == {}

The server runs in a thread of its own, so that a test waits for answers as it does for those of a process.
"""

import math
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from orchestrators.engines import lanes
from rpc_server.bootstrap import open_services
from rpc_server.calls.call_spec import method_table
from rpc_server.calls.errors import to_rpc_error
from rpc_server.redaction import Redactor
from rpc_server.server import serve_peer
from rpc_server.settings.settings import Flags, load_settings
from rpc_server.transport.streams import InputStream, OutputStream
from rpc_server.wire.byte_streams import Streams
from rpc_server.wire.connection import Limits, serve_connection
from rpc_server.wire.dispatch import Dispatcher
from rpc_server.wire.framing import Decoder
from tests.support import defaults
from tests.support.client import TIMEOUT_S, Framing
from tests.support.mcp_client import McpConversation
from tests.support.mthds_server import isolated_env
from tests.support.server import Events, specs

Serve = Callable[[Streams], Awaitable[int]]
_LIMITS = defaults.limits()


class Connected(McpConversation):
    """The client's side. What it sends is read by a server in another thread."""

    def __init__(self, serve: Serve, framing: Framing = "lines") -> None:
        super().__init__(framing)
        self._serve = serve
        self._decoder = Decoder(2**27)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self._source = self._portal.call(_Source)
        self._status: Future[int] = self._portal.start_task_soon(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self.close_stdin()
            self.wait()
        if error is None:
            self.check()

    def close_stdin(self) -> None:
        """Let the server see the end of its input."""
        self._portal.call(self._source.end)

    def wait(self) -> int:
        """Wait for the server to be done; what would be its exit status."""
        return self._status.result(TIMEOUT_S)

    async def _run(self) -> int:
        sink = OutputStream(_Sink(self._receive), 2**26)
        try:
            return await self._serve(Streams(InputStream(self._source), sink))
        finally:
            self._end()

    def _write(self, data: bytes) -> None:
        self._portal.call(self._source.put, data)

    def _receive(self, data: bytes) -> None:
        for body in self._decoder.feed(data):
            self._take(body)


class _Source:
    """In the place of a descriptor that is read."""

    def __init__(self) -> None:
        self._put, self._get = anyio.create_memory_object_stream[bytes](math.inf)

    def put(self, data: bytes) -> None:
        self._put.send_nowait(data)

    def end(self) -> None:
        self._put.close()

    async def read(self) -> bytes:
        try:
            return await self._get.receive()
        except anyio.EndOfStream:
            self._get.close()
            return b""


class _Sink:
    """In the place of a descriptor that is written: it takes everything at once."""

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def write_now(self, data: memoryview) -> int:
        self._receive(bytes(data))
        return len(data)

    async def write(self, data: memoryview) -> int:
        return self.write_now(data)

    async def reader_is_gone(self) -> bool:
        return False


class _Opened:
    """Services that are there from the beginning."""

    def __init__(self, services: Any) -> None:
        self._services = services

    async def ready(self) -> Any:
        return self._services

    def map_error(self, error: BaseException) -> Any:
        return self._services.plugins.errors.map(error)


class _NoEngines:
    """In the place of what starts an engine."""

    def __init__(self) -> None:
        self.asked_for = 0

    def start(self, *_: Any, **__: Any) -> Any:
        self.asked_for += 1
        raise AssertionError("there are no engines here")


def connected(home: Path, *, workspace: Path | None = None, framing: Framing = "lines") -> Connected:
    """The real server, as `serve_mcp` starts it in a process. It has no engines."""
    directory = workspace or home / "workspace"
    directory.mkdir(parents=True, exist_ok=True)
    env = isolated_env(home)

    async def serve(streams: Streams) -> int:
        settings = load_settings(Flags(), cwd=directory, environ=env)
        redactor = Redactor({})
        engines = _NoEngines()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", env["XDG_STATE_HOME"])
            patch.setattr(lanes, "EngineProcess", engines.start)
            async with open_services(settings, redactor, "reader") as services:
                status = await serve_peer(streams, settings, redactor, _Opened(services), anyio.Event())
        assert not engines.asked_for, "a test that needs an engine needs a server in a process"
        return status

    return Connected(serve, framing)


def connected_wire(limits: Limits = _LIMITS, *, framing: Framing = "lines") -> Connected:
    """The small server of `tests.support.server`."""

    async def serve(streams: Streams) -> int:
        dispatcher = Dispatcher(method_table(specs(Events())), to_rpc_error)
        return await serve_connection(streams, dispatcher, limits, Redactor({}).json, anyio.Event())

    return Connected(serve, framing)
