"""Pauses between tries."""

from dataclasses import dataclass


@dataclass
class Backoff:
    """Pauses that double, from the first to the longest. All in seconds."""

    first_s: float
    longest_s: float

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again with the first pause."""
        self._pause_s = self.first_s

    def next_s(self) -> float:
        """The pause to make now."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self.longest_s)
        return pause_s
