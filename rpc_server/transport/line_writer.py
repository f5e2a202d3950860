"""Lines for a descriptor that may be unread.

Invariant: writing a line never waits and never fails.

A pipe whose reader has stopped reading takes 64 KB and then blocks the writer. So a thread writes, from a bounded
queue. Lines that do not fit are dropped, and their number is reported once something can be written again.
"""

import atexit
import io
import os
import select
import threading
import time
from collections import deque
from typing import Any, TextIO

_MOST_QUEUED_BYTES = 1024 * 1024
_PATIENCE_S = 0.25
_LONGEST_DRAIN_S = 2.0


class LineWriter:
    """Writes to `fd`, which stays open, from a daemon thread that begins with the first line."""

    def __init__(self, fd: int, most_queued_bytes: int = _MOST_QUEUED_BYTES) -> None:
        self._fd = fd
        self._most = most_queued_bytes
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._unwritten = 0
        """Bytes that are queued or just being written."""
        self._dropped_lines = 0
        self._is_idle = True
        """Whether everything is written, including the report of dropped lines."""
        self._thread: threading.Thread | None = None

    def write(self, data: bytes) -> None:
        """Queue `data`, or drop it where the queue is full; does not block."""
        with self._changed:
            if self._unwritten + len(data) > self._most:
                self._dropped_lines += max(1, data.count(b"\n"))
                return
            self._queue.append(data)
            self._unwritten += len(data)
            self._is_idle = False
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="stderr", daemon=True)
                self._thread.start()

    def drain(self) -> None:
        """Wait for what is queued as long as some of it is taken, but no longer than a moment."""
        ends_at = time.monotonic() + _LONGEST_DRAIN_S
        with self._changed:
            before = None
            while not self._is_idle and self._unwritten != before and time.monotonic() < ends_at:
                before = self._unwritten
                self._changed.wait_for(lambda: self._is_idle, _PATIENCE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                data = b"".join(self._queue)
                self._queue.clear()
            self._write(data)
            self._report_dropped()
            with self._changed:
                self._is_idle = not self._queue
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        """Write all of `data`, in pieces that mix with no other writer's; what fails costs these lines alone."""
        for piece in _pieces(data):
            is_written = self._write_piece(piece)
            with self._changed:
                self._unwritten -= len(piece)
                self._dropped_lines += 0 if is_written else piece.count(b"\n")
                self._changed.notify_all()

    def _write_piece(self, piece: bytes) -> bool:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                # Another process that shares the descriptor has made it non-blocking.
                select.select([], [self._fd], [])
            except OSError:
                return False
        return True

    def _report_dropped(self) -> None:
        with self._changed:
            count, self._dropped_lines = self._dropped_lines, 0
        if count and not self._write_piece(
            b"mthds-rpc: %d lines were dropped here, since they were not read\n" % count
        ):
            with self._changed:
                self._dropped_lines += count


def text_stream(writer: LineWriter, fileno: int) -> TextIO:
    """A text stream over `writer`: any text in UTF-8, line by line, in any locale.

    `fileno` is the descriptor it stands for. What is left at the end of the process is waited for as `drain` does.
    """
    raw = io.BufferedWriter(_Raw(writer, fileno))
    stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def drain() -> None:
        stream.flush()
        writer.drain()

    atexit.register(drain)
    return stream


class _Raw(io.RawIOBase):
    def __init__(self, writer: LineWriter, fileno: int) -> None:
        self._writer = writer
        self._fileno = fileno

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fileno

    def isatty(self) -> bool:
        return os.isatty(self._fileno)

    def write(self, data: Any, /) -> int:
        self._writer.write(bytes(data))
        return len(data)


def _pieces(data: bytes) -> list[bytes]:
    """`data` cut at line ends where that can be, each piece small enough to be written in one go."""
    pieces = []
    position = 0
    while position < len(data):
        end = min(position + select.PIPE_BUF, len(data))
        if end < len(data):
            end = data.rfind(b"\n", position, end) + 1 or end
        pieces.append(data[position:end])
        position = end
    return pieces
