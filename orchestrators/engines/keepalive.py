"""Whether a process still answers, asked by pings."""

from typing import Final

BEAT_S: Final = 2.0
"""How often a process that has something to do is asked."""
_QUIET_BEATS = 5


class Pulse:
    """Counts beats, not time: where we were ourselves stopped for a while, the other side has missed nothing."""

    def __init__(self) -> None:
        self._unanswered = 0

    @property
    def is_quiet(self) -> bool:
        """Whether it has been silent for so long that nothing new is asked of it."""
        return self._unanswered >= _QUIET_BEATS

    def is_silent_for(self, seconds: float) -> bool:
        """Whether it has answered nothing for that long, one ping at the least."""
        return self._unanswered >= max(1.0, seconds / BEAT_S)

    def beat(self) -> None:
        """A ping was sent."""
        self._unanswered += 1

    def heard(self) -> None:
        """Anything came."""
        self._unanswered = 0
