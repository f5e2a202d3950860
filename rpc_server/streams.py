"""The peer's two descriptors as byte streams that never block the event loop.

No flag of a file description that others may share is ever changed: a terminal or pipe is opened anew where the system
allows it, a socket takes its flag per call, anything else is touched only when it is ready, or from a thread.
"""

import asyncio
import errno
import logging
import os
import select
import socket
import stat
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.to_thread

from rpc_server.stdio import ProtocolFds

logger = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
_WRITE_BYTES = 256 * 1024
_READER_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO)


class InputStream:
    """What the peer sends."""

    def __init__(self, descriptor: "_Descriptor") -> None:
        self._descriptor = descriptor

    async def receive(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end of the stream."""
        try:
            return await self._descriptor.read()
        except OSError:
            # A terminal that hung up, or a socket that was reset: nothing more will come.
            return b""


class OutputStream:
    """What is sent to the peer: written in the background, in order, from a queue that can be asked how full it is."""

    def __init__(self, descriptor: "_Descriptor", max_queued_bytes: int) -> None:
        self._descriptor = descriptor
        self._max_queued_bytes = max_queued_bytes
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._moved = asyncio.Event()
        self.gone = anyio.Event()
        """Set once nobody reads any more."""

    @property
    def is_full(self) -> bool:
        return self._queued_bytes >= self._max_queued_bytes

    def write(self, data: bytes) -> None:
        """Queue `data`; does not block. Dropped once the reader is gone."""
        if not self.gone.is_set():
            self._queue.append(data)
            self._queued_bytes += len(data)
            self._filled.set()

    async def wait_for_room(self) -> None:
        """Return once the queue is below its limit or the reader is gone."""
        while self.is_full:
            await self._wait_until_moved()

    async def flush(self) -> None:
        """Return once everything is written or the reader is gone."""
        while self._queued_bytes:
            await self._wait_until_moved()

    async def pump(self) -> None:
        """Write what is queued, until the reader is gone."""
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._queue:
                    await self._write_some()
        except OSError as error:
            if error.errno not in _READER_GONE:
                logger.error("Answers cannot be written: %s.", error.strerror)
            self._drop_all()

    async def watch_reader(self) -> None:
        """Notice that the reader is gone even while there is nothing to write, where the system can tell."""
        if await self._descriptor.reader_is_gone():
            self._drop_all()

    async def _write_some(self) -> None:
        data = self._take()
        rest = memoryview(data)
        while rest:
            written = await self._descriptor.write(rest)
            rest = rest[written:]
            self._queued_bytes -= written
            self._moved.set()

    def _take(self) -> bytes:
        """As many queued messages as go well into one write."""
        first = self._queue.popleft()
        if not self._queue or len(first) >= _WRITE_BYTES:
            return first
        parts, size = [first], len(first)
        while self._queue and size + len(self._queue[0]) <= _WRITE_BYTES:
            parts.append(self._queue.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    async def _wait_until_moved(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _drop_all(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        self._moved.set()
        self.gone.set()


class Streams(NamedTuple):
    """Both directions of one peer."""

    source: InputStream
    sink: OutputStream


@asynccontextmanager
async def open_streams(fds: ProtocolFds, max_queued_bytes: int) -> AsyncIterator[Streams]:
    """Streams over `fds`, which are closed at the end of the block."""
    source = _open(fds.source, os.O_RDONLY)
    try:
        sink = _open(fds.sink, os.O_WRONLY)
        try:
            yield Streams(InputStream(source), OutputStream(sink, max_queued_bytes))
        finally:
            sink.close()
    finally:
        source.close()


class _Descriptor:
    """A descriptor that others may share: touched only when it is ready, with no more than it then takes at once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def read(self) -> bytes:
        await anyio.wait_readable(self._fd)
        return os.read(self._fd, _READ_BYTES)

    async def write(self, data: memoryview) -> int:
        await anyio.wait_writable(self._fd)
        return os.write(self._fd, data[: select.PIPE_BUF])

    async def reader_is_gone(self) -> bool:
        """Wait for the reader to go; False where that cannot be seen."""
        if os.isatty(self._fd):
            return False
        await anyio.wait_readable(self._fd)
        poll = select.poll()
        poll.register(self._fd, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))

    def close(self) -> None:
        os.close(self._fd)


class _NonBlocking(_Descriptor):
    """A descriptor whose reads and writes never block, so that they are tried first."""

    async def read(self) -> bytes:
        while True:
            try:
                data = self._read()
            except BlockingIOError:
                await anyio.wait_readable(self._fd)
            else:
                # Others get their turn, however fast the peer sends.
                await asyncio.sleep(0)
                return data

    async def write(self, data: memoryview) -> int:
        while True:
            try:
                return self._write(data)
            except BlockingIOError:
                await anyio.wait_writable(self._fd)

    def _read(self) -> bytes:
        return os.read(self._fd, _READ_BYTES)

    def _write(self, data: memoryview) -> int:
        return os.write(self._fd, data)


class _Socket(_NonBlocking):
    """A socket, which is told per call not to block."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._socket = socket.socket(fileno=fd)

    def _read(self) -> bytes:
        return self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)

    def _write(self, data: memoryview) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._socket.close()


class _File(_Descriptor):
    """A file, which is always ready and may still be slow: read and written in a thread."""

    async def read(self) -> bytes:
        return await anyio.to_thread.run_sync(os.read, self._fd, _READ_BYTES)

    async def write(self, data: memoryview) -> int:
        return await anyio.to_thread.run_sync(os.write, self._fd, data)

    async def reader_is_gone(self) -> bool:
        return False


def _open(fd: int, access: int) -> _Descriptor:
    """Take `fd` over, in the way its kind allows."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _Socket(fd)
    if not stat.S_ISFIFO(mode) and not os.isatty(fd):
        return _File(fd)
    own = _open_anew(fd, access)
    if own is None:
        return _Descriptor(fd)
    os.close(fd)
    return _NonBlocking(own)


def _open_anew(fd: int, access: int) -> int | None:
    """A non-blocking descriptor with a file description of its own; None where the system does not give one."""
    path = f"/proc/self/fd/{fd}" if sys.platform == "linux" else os.ttyname(fd) if os.isatty(fd) else None
    if path is None:
        return None
    try:
        return os.open(path, access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
