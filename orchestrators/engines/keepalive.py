"""Whether a process still answers, asked by pings."""

from typing import Final

PING_S: Final = 2.0
"""Seconds between two pings of a process that has something to do."""
_QUIET_PINGS = 5


class Keepalive:
    """Counts unanswered pings, not time: if this process was stopped for a while, the other one has missed nothing."""

    def __init__(self) -> None:
        self._unanswered = 0

    @property
    def is_quiet(self) -> bool:
        """Whether it has been silent for so long that it gets no new job."""
        return self._unanswered >= _QUIET_PINGS

    def is_silent_for(self, seconds: float) -> bool:
        """Whether it has not answered for that long, which is at least one ping."""
        return self._unanswered >= max(1.0, seconds / PING_S)

    def pinged(self) -> None:
        """Count a ping."""
        self._unanswered += 1

    def answered(self) -> None:
        """Forget the pings: the process has sent something."""
        self._unanswered = 0
