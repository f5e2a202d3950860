"""What an engine and the methods in it print, handed on line by line."""

import os
import threading
from collections.abc import Callable

# What was printed before the end is still read, unless a process that a method left behind holds the output open.
_LAST_WORDS_S = 0.5
_LONGEST_LINE = 65536


class EngineOutput:
    """A pipe whose writing end a child gets; a thread of its own reads it, so that no cancellation loses a line."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._source, self.fd = os.pipe()
        self._report = report
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def started(self) -> None:
        """The child holds the writing end now."""
        os.close(self.fd)
        self.fd = -1

    def finish(self) -> None:
        """Wait a moment for what is left; call it when the child has ended."""
        if self.fd >= 0:
            self.started()
        self._thread.join(_LAST_WORDS_S)

    def _read(self) -> None:
        with open(self._source, encoding="utf-8", errors="replace") as lines:
            while line := lines.readline(_LONGEST_LINE):
                self._report(line.rstrip("\n"))
