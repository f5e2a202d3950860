"""What an engine and the methods in it print, handed on line by line."""

import contextlib
import os
import threading
from collections.abc import Callable

# What was printed before the end is still read, unless a process that a method left behind holds the output open.
_LAST_WORDS_S = 0.5
_LONGEST_LINE = 65536


class EngineOutput:
    """A pipe whose writing end a child gets; a thread of its own reads it, so that no cancellation loses a line."""

    def __init__(self, report: Callable[[str], None], safe_cut: Callable[[str], int] = len) -> None:
        """`safe_cut` says how much of a text that is not at its end yet may be reported by itself."""
        self._source, self.fd = os.pipe()
        self._report = report
        self._safe_cut = safe_cut
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
        held = ""
        with open(self._source, encoding="utf-8", errors="replace") as lines:
            while text := lines.readline(_LONGEST_LINE):
                held += text
                cut = len(held) if held.endswith("\n") else self._safe_cut(held)
                if cut:
                    self._tell(held[:cut].removesuffix("\n"))
                held = held[cut:]
        if held:
            self._tell(held)

    def _tell(self, line: str) -> None:
        # If a line cannot be reported, only that line is lost: an engine whose output is unread would block.
        with contextlib.suppress(Exception):
            self._report(line)
