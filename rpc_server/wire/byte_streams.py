"""The two streams of bytes that a connection is served on."""

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import anyio


class ByteSource(Protocol):
    """What the peer sends."""

    async def receive(self) -> bytes:
        """The next bytes; empty at the end of the stream."""
        ...


class ByteSink(Protocol):
    """What is sent to the peer, through a queue; nothing but the coroutines waits."""

    gone: anyio.Event
    """Set once nothing can be written any more."""
    has_failed: bool
    """True where writing failed for another reason than a reader that is gone."""

    @property
    def is_full(self) -> bool: ...

    def write(self, data: bytes) -> None:
        """Queue `data`. Dropped once the reader is gone."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Send what is written in the block in as few pieces as possible."""
        ...

    async def wait_for_room(self) -> None:
        """Return once the queue is below its limit or the reader is gone."""
        ...

    async def flush(self) -> None:
        """Return once everything is written or the reader is gone."""
        ...

    async def pump(self) -> None:
        """Write what is queued, until the reader is gone."""
        ...

    async def watch_reader(self) -> None:
        """Set `gone` when the reader is gone, even while there is nothing to write."""
        ...


class Streams(NamedTuple):
    """Both directions of one peer."""

    source: ByteSource
    sink: ByteSink
