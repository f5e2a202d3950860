"""The peer as seen by what wants to tell it something that belongs to no call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Notify = Callable[[str, dict[str, Any]], None]
"""Takes the method and the params of a notification; `{}` sends none."""


class Peer:
    """Reaches the one peer of a server while its connection lasts."""

    def __init__(self) -> None:
        self._notify: Notify | None = None

    def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Send a notification; does not block. Dropped where there is no connection, or a peer that does not read."""
        if self._notify is not None:
            self._notify(method, params or {})

    @contextmanager
    def reached_through(self, notify: Notify) -> Iterator[None]:
        """Have notifications leave through `notify` for the block."""
        self._notify = notify
        try:
            yield
        finally:
            self._notify = None
