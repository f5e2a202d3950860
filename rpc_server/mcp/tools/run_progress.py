"""A run's events as MCP progress and log messages."""

import time
from typing import Any

from orchestrators.plugins.mcp_features import Exchange, LogLevel
from schemas.runs import RunEvent
from schemas.shown_text import fit, fit_line

_BEAT_STEP = 0.001
_LEVELS: dict[str, LogLevel] = {"pipe_failed": "error", "pipe_completed": "debug"}


class RunProgress:
    """Tells a caller how its run goes: the pipe, and step k of n."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._began = time.monotonic()
        self._done = 0.0
        self._total: int | None = None
        self._message = "the run is about to start"

    def take(self, event: RunEvent) -> None:
        """An `EventSink`."""
        self._total = None if event.total is None else max(event.total, event.started)
        # A step that has begun counts half, so that each event goes beyond the one before.
        self._done = max(self._done, (event.started + event.ended) / 2)
        self._message = fit_line(self._message_of(event))
        self._exchange.progress(self._done, self._total, self._message)
        self._exchange.log(_LEVELS.get(event.kind, "info"), _logged(event))

    def beat(self) -> None:
        """Report that the run has not ended yet."""
        self._done += _BEAT_STEP
        seconds = round(time.monotonic() - self._began)
        self._exchange.progress(self._done, self._total, f"{self._message}, {seconds} s so far")

    def _message_of(self, event: RunEvent) -> str:
        if event.pipe is None:
            return event.message or event.kind.replace("_", " ")
        step = f"step {event.started}" + (f" of {self._total}" if self._total else "")
        return f"{event.pipe} {event.kind.removeprefix('pipe_')} ({step})"


def _logged(event: RunEvent) -> dict[str, Any]:
    members = event.model_dump(mode="json", exclude_none=True, include={"run_id", "kind", "pipe", "message", "problem"})
    return dict(fit(members))
