"""Takes the real descriptors 0 and 1 for the protocol and diverts the standard ones.

Invariant: descriptor 1 carries the protocol and nothing else. So this runs before everything else, and imports nothing
that could print.
"""

import fcntl
import os
import sys
from typing import NamedTuple

from rpc_server.transport.line_writer import LineWriter, text_stream


class ProtocolFds(NamedTuple):
    """The peer's two descriptors, both close-on-exec, so that no child ever holds them."""

    source: int
    sink: int


def take_protocol_fds() -> ProtocolFds:
    """Move the protocol off descriptors 0 and 1; from here on 0 is empty and what is written to 1 reaches stderr.

    A descriptor that was closed when the process began reads as at its end, or swallows what is written.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        _open_if_closed(2, null)
        fds = ProtocolFds(_set_aside(0, null), _set_aside(1, null))
        os.dup2(null, 0)
        os.dup2(2, 1)
    finally:
        if null > 2:
            os.close(null)
    renew_standard_streams()
    return fds


def _set_aside(fd: int, null: int) -> int:
    _open_if_closed(fd, null)
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _open_if_closed(fd: int, null: int) -> None:
    try:
        os.fstat(fd)
    except OSError:
        os.dup2(null, fd)


def renew_standard_streams() -> None:
    """Let a print of any text reach stderr, line by line, in any locale; no print waits or fails."""
    writer = LineWriter(2)
    sys.stdout = text_stream(writer, 1)
    sys.stderr = text_stream(writer, 2)
