"""The event log of a run, as a worker's heartbeats carry it: figures that people read in Temporal's own UI, and every
event, in text that is compressed as it grows.

Invariant: events are numbered from 1 without a gap, `run_ended` last.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from orchestrators.temporal.memo import Figures, can_be_sent, figures_of
from schemas.json_types import Json
from schemas.runs import RunEvent

# Some ten thousand events; beside them a payload of Temporal's holds a request or a result.
_MOST_BYTES = 375_000
# A longer event is kept without its texts.
_MOST_OF_ONE = 50_000
_MOST_OF_MESSAGE = 500
# How much a reader unpacks at most, since another program may have written it. More events do not fit.
_MOST_UNPACKED = 20_000_000
_MOST_EVENTS = 30_000
# An event with more brackets may be nested too deeply to be sent. To find that out takes long, as do events that cannot
# be read, so that a reader stops after so many of them.
_MOST_BRACKETS = 200
_MOST_ODD = 1000


class EventLog:
    """The events of a run so far, those of earlier attempts among them."""

    def __init__(self, before: Any = None) -> None:
        """`before` is the log that an earlier attempt left; unchecked."""
        figures = Figures.model_validate(figures_of(before))
        self.attempt: int = figures.attempt
        self.started_at: float | None = figures.started_at
        self.event_count = 0
        self._started = figures.started
        self._ended = figures.ended
        self._message = _text(before, "message")
        self._packer = zlib.compressobj()
        self._packed = bytearray()
        for line in _lines_of(before):
            self._pack(line + b"\n")

    def append(self, event: RunEvent) -> None:
        """Add the next event. If it does not fit any more, it is left out and its number is not used."""
        line = _line(event)
        if len(line) > _MOST_OF_ONE:
            line = _line(event.model_copy(update={"message": None, "problem": None}))
        self._started, self._ended = event.started, event.ended
        self._message = (event.message or "")[:_MOST_OF_MESSAGE] or None
        self._pack(line)

    def _pack(self, line: bytes) -> None:
        if len(self._packed) > _MOST_BYTES:
            return
        self._packed += self._packer.compress(line) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        self.event_count += 1

    def to_json(self) -> Json:
        """The events and figures so far, as a heartbeat carries them."""
        return {
            "attempt": self.attempt,
            "started_at": self.started_at,
            "event_count": self.event_count,
            "started": self._started,
            "ended": self._ended,
            "message": self._message,
            "events": base64.b64encode(self._packed).decode(),
        }


def events_of(log: Any, run_id: str, after: int = 0) -> list[RunEvent]:
    """The events of a log with a number above `after`; none where it is not a valid log.

    An event that cannot be read is left out; its number is not used again.
    """
    events: list[RunEvent] = []
    odd = 0
    for number, line in enumerate(_lines_of(log)[after:], after + 1):
        is_deep = line.count(b"[") + line.count(b"{") > _MOST_BRACKETS
        event = _event(line, run_id, number)
        odd += is_deep or event is None
        if odd > _MOST_ODD:
            break
        if event is not None and not (is_deep and not can_be_sent(event)):
            events.append(event)
    return events


def readable(log: Any) -> Json:
    """The members of a log that can be read. While a run has not ended, its log is unchecked."""
    texts = {name: _text(log, name) for name in ("message", "events")}
    return figures_of(log) | {name: text for name, text in texts.items() if text is not None}


def _lines_of(log: Any) -> Sequence[bytes]:
    """The events of a log, each as its JSON text."""
    try:
        packed = base64.b64decode(_text(log, "events") or "", validate=True)
        text = zlib.decompressobj().decompress(packed, _MOST_UNPACKED)
    except (ValueError, zlib.error):
        return []
    return text.split(b"\n", _MOST_EVENTS)[:-1]


def _event(line: bytes, run_id: str, number: int) -> RunEvent | None:
    """One event; None where it cannot be read."""
    try:
        return _validated({**json.loads(line), "run_id": run_id, "seq": number})
    except (ValueError, TypeError, RecursionError):
        return None


def _validated(members: dict[str, Any]) -> RunEvent:
    """An event, also of a kind that a newer release knows. Raises `ValidationError`."""
    try:
        return RunEvent.model_validate(members)
    except ValidationError:
        kind = members.get("kind")
        if not isinstance(kind, str):
            raise
    return RunEvent.model_validate({**members, "kind": "run_started"}).model_copy(update={"kind": kind})


def _text(log: Any, name: str) -> str | None:
    """A member of a log that is a text."""
    value = log.get(name) if isinstance(log, dict) else None
    return value if isinstance(value, str) else None


def _line(event: RunEvent) -> bytes:
    return json.dumps(event.model_dump(mode="json", exclude_none=True, exclude={"run_id", "seq"})).encode() + b"\n"
