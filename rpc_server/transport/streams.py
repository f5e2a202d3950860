"""The peer's two descriptors as byte streams.

Invariant: no read and no write blocks the event loop.

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
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.to_thread

from rpc_server.transport.stdio import ProtocolFds
from rpc_server.wire.byte_streams import Streams

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
    """What is sent to the peer: written in order from a queue that can be asked how full it is.

    `pump` has to run all the while. What is written `together` leaves at once if the peer takes it, without the pump.
    """

    def __init__(self, descriptor: "_Descriptor", max_queued_bytes: int) -> None:
        self._descriptor = descriptor
        self._max_queued_bytes = max_queued_bytes
        self._queue: deque[bytes | memoryview] = deque()
        self._queued_bytes = 0
        self._is_held = False
        self._is_pumping = False
        self._filled = asyncio.Event()
        self._moved = asyncio.Event()
        self.gone = anyio.Event()
        """Set once the reader is gone, or nothing can be written."""
        self.has_failed = False
        """True where writing failed for another reason than a reader that is gone."""

    @property
    def is_full(self) -> bool:
        return self._queued_bytes >= self._max_queued_bytes

    def write(self, data: bytes) -> None:
        """Queue `data`; does not block. Dropped once the reader is gone."""
        if not self.gone.is_set():
            self._queue.append(data)
            self._queued_bytes += len(data)
            if not self._is_held:
                self._filled.set()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold back what is written in the block, then send it in as few pieces as possible."""
        self._is_held = True
        try:
            yield
        finally:
            self._release()

    async def wait_for_room(self) -> None:
        """Return once the queue is below its limit or the reader is gone."""
        while self.is_full:
            self._release()
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
                self._is_pumping = True
                while self._queue:
                    self._wrote(await self._descriptor.write(self._head()))
                self._is_pumping = False
        except OSError as error:
            self._give_up(error)

    async def watch_reader(self) -> None:
        """Notice that the reader is gone even while there is nothing to write, where the system can tell."""
        try:
            is_gone = await self._descriptor.reader_is_gone()
        except OSError as error:
            logger.info("whether the reader is gone cannot be watched: %s", error)
            return
        if is_gone:
            self._drop_all()

    def _release(self) -> None:
        self._is_held = False
        if self._queue and not self._is_pumping:
            try:
                self._wrote(self._descriptor.write_now(self._head()))
            except OSError as error:
                self._give_up(error)
        if self._queue:
            self._filled.set()

    def _head(self) -> memoryview:
        """The beginning of the queue, as much as goes well into one write."""
        parts, size = [self._queue.popleft()], 0
        while self._queue and size + len(self._queue[0]) <= _WRITE_BYTES:
            parts.append(self._queue.popleft())
            size += len(parts[-1])
        head = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        self._queue.appendleft(head)
        return head

    def _wrote(self, size: int) -> None:
        if self._queue:
            rest = memoryview(self._queue.popleft())[size:]
            if rest:
                self._queue.appendleft(rest)
            self._queued_bytes -= size
            self._moved.set()

    async def _wait_until_moved(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _give_up(self, error: OSError) -> None:
        if error.errno not in _READER_GONE:
            self.has_failed = True
            logger.error("Answers cannot be written: %s.", error.strerror)
        self._drop_all()

    def _drop_all(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        self._moved.set()
        self.gone.set()


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

    def write_now(self, data: memoryview) -> int:
        """As much of `data` as can be written without waiting, perhaps nothing."""
        return 0

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

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._loop = asyncio.get_running_loop()
        self._is_watched = False
        self._waiter: asyncio.Future[bytes] | None = None

    async def read(self) -> bytes:
        # While the loop watches and has not called, there is nothing to read.
        if not self._is_watched:
            try:
                data = self._read()
            except BlockingIOError:
                self._loop.add_reader(self._fd, self._on_readable)
                self._is_watched = True
            else:
                # Others get their turn, however fast the peer sends.
                await asyncio.sleep(0)
                return data
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    async def write(self, data: memoryview) -> int:
        while True:
            try:
                return self._write(data)
            except BlockingIOError:
                await anyio.wait_writable(self._fd)

    def write_now(self, data: memoryview) -> int:
        try:
            return self._write(data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self._unwatch()
        super().close()

    def _on_readable(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._unwatch()
            return
        try:
            self._waiter.set_result(self._read())
        except BlockingIOError:
            return
        except OSError as error:
            self._waiter.set_exception(error)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.remove_reader(self._fd)
            self._is_watched = False

    def _read(self) -> bytes:
        return os.read(self._fd, _READ_BYTES)

    def _write(self, data: memoryview) -> int:
        return os.write(self._fd, data)


class _Socket(_NonBlocking):
    """A socket: each call asks it not to block."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._socket = socket.socket(fileno=fd)

    def _read(self) -> bytes:
        return self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)

    def _write(self, data: memoryview) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._unwatch()
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
