"""Whether a process still answers, asked by pings."""

from typing import Final

BEAT_S: Final = 2.0
"""How often a process that has something to do is asked."""
_QUIET_BEATS = 5


class Pulse:
    """Counts beats, not time: where we were ourselves stopped for a while, the other side has missed nothing."""

    def __init__(self, unresponsive_s: float) -> None:
        """`unresponsive_s` is how long a process may be silent before it is given up."""
        self._lost_beats = max(1.0, unresponsive_s / BEAT_S)
        self._unanswered = 0

    @property
    def is_quiet(self) -> bool:
        """Whether it has been silent for so long that nothing new is asked of it."""
        return self._unanswered >= min(_QUIET_BEATS, self._lost_beats)

    @property
    def is_lost(self) -> bool:
        """Whether it has been silent for too long."""
        return self._unanswered >= self._lost_beats

    def beat(self) -> None:
        """A ping was sent."""
        self._unanswered += 1

    def heard(self) -> None:
        """Anything came."""
        self._unanswered = 0
