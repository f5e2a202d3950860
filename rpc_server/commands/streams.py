"""The standard streams of a command: a reader that is gone and a full disk are failures of their own."""

import errno
import io
import os
import sys
from typing import Any

_READER_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO)


class OutputFault(Exception):
    """stdout cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.is_reader_gone = error.errno in _READER_GONE


def prepare_standard_streams() -> None:
    """Have stdout raise `OutputFault`, and nothing but it, and stderr raise nothing; open what was closed."""
    _open_closed()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it lasts as long as the process
    sys.stdout = _text_stream(_Output(1, "wb", closefd=False), sys.stdout, "replace")
    sys.stderr = _text_stream(_Errors(2, "wb", closefd=False), sys.stderr, "backslashreplace")


def _open_closed() -> None:
    """Else the next file or socket would be taken for a standard stream."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _text_stream(raw: io.FileIO, before: Any, errors: str) -> io.TextIOWrapper:
    encoding = "utf-8" if before is None else before.encoding
    is_lively = raw.isatty() or raw.fileno() == 2
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=is_lively)


class _Output(io.FileIO):
    _has_failed = False

    def write(self, data: Any, /) -> int:
        if self._has_failed:
            return len(data)
        try:
            return super().write(data) or 0
        except OSError as error:
            # Once is enough: what is still buffered goes nowhere.
            self._has_failed = True
            raise OutputFault(error) from None


class _Errors(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            # There is nowhere to report it.
            return len(data)
