"""Pipelex's trace events as run events."""

import time
from collections.abc import Callable

from pipelex.tracing.in_memory_event_log import InMemoryEventLog
from pipelex.tracing.trace_events import (
    PipeEndErrorEvent,
    PipeEndSkippedEvent,
    PipeEndSuccessEvent,
    PipeStartEvent,
    TraceEvent,
)

from orchestrators.engine.problems import caller_problem
from schemas.runs import RunEvent

_PIPE_END_KINDS = {
    PipeEndSuccessEvent: "pipe_completed",
    PipeEndErrorEvent: "pipe_failed",
    PipeEndSkippedEvent: "pipe_skipped",
}


class RunEventLog(InMemoryEventLog):
    """Keeps a run's trace if a graph or usage needs it, and reports its pipes if there is a listener."""

    def __init__(
        self, run_id: str, listener: Callable[[RunEvent], None] | None, *, keep: bool, total: int | None
    ) -> None:
        """`total` is how many pipes are expected to start."""
        super().__init__()
        self._run_id = run_id
        self._listener = listener
        self._keep = keep
        self._total = total
        self._sequence_sent = 0
        self._started = 0
        self._ended = 0

    def emit(self, event: TraceEvent) -> None:
        """Called by Pipelex for every trace event, in order."""
        if self._keep:
            super().emit(event)
        if self._listener is None:
            return
        if isinstance(event, PipeStartEvent):
            self._started += 1
            self._tell("pipe_started", event, parent=event.parent_node_id, message=f"{_ref(event)} started")
        elif kind := _PIPE_END_KINDS.get(type(event)):
            self._ended += 1
            self._tell(kind, event, message=f"{_ref(event)} {kind.removeprefix('pipe_')}")

    def _tell(self, kind: str, event: TraceEvent, *, parent: str | None = None, message: str) -> None:
        assert self._listener is not None
        self._sequence_sent += 1
        self._listener(
            RunEvent.model_validate(
                {
                    "run_id": self._run_id,
                    "seq": self._sequence_sent,
                    "kind": kind,
                    "at": time.time(),
                    "pipe": _ref(event),
                    "node_id": getattr(event, "node_id", None),
                    "parent_node_id": parent,
                    "path": getattr(event, "path", None),
                    "started": self._started,
                    "ended": self._ended,
                    "total": self._total,
                    "message": message,
                    "problem": caller_problem(event.error) if isinstance(event, PipeEndErrorEvent) else None,
                }
            )
        )


def _ref(event: TraceEvent) -> str:
    return str(getattr(event, "pipe_ref", None) or getattr(event, "pipe_code", ""))
