"""What has happened in a run, as a worker's heartbeats carry it: figures that people read in Temporal's own UI, and
every event, in text that is compressed as it grows.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from schemas.runs import RunEvent

Json = dict[str, Any]

# Some ten thousand events; beside them a payload of Temporal's holds a request or a result.
_MOST_BYTES = 375_000
# An event longer than that is told without its texts.
_MOST_OF_ONE = 50_000
_MOST_OF_MESSAGE = 500
# What a reader unpacks at most, whoever wrote it.
_MOST_UNPACKED = 20_000_000


class Story:
    """The events of a run so far, those of earlier attempts among them."""

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        """`before` is the snapshot that an earlier attempt left."""
        before = before or {}
        self.attempt: int = before.get("attempt", 0)
        self.started_at: float | None = before.get("started_at")
        self.event_count = 0
        self._started = 0
        self._ended = 0
        self._message: str | None = None
        self._packer = zlib.compressobj()
        self._packed = b""
        for event in events_of(before, ""):
            self.append(event)

    def append(self, event: RunEvent) -> None:
        """Take the next event. One that does not fit any more is left out, and its number with it."""
        line = _line(event)
        if len(line) > _MOST_OF_ONE:
            line = _line(event.model_copy(update={"message": None, "problem": None}))
        self._started, self._ended = event.started, event.ended
        self._message = (event.message or "")[:_MOST_OF_MESSAGE] or None
        if len(self._packed) > _MOST_BYTES:
            return
        self._packed += self._packer.compress(line) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        self.event_count += 1

    def snapshot(self) -> Json:
        """The story so far."""
        return {
            "attempt": self.attempt,
            "started_at": self.started_at,
            "event_count": self.event_count,
            "started": self._started,
            "ended": self._ended,
            "message": self._message,
            "events": base64.b64encode(self._packed).decode(),
        }


def events_of(snapshot: Mapping[str, Any], run_id: str, after: int = 0) -> list[RunEvent]:
    """The events of a snapshot with a number above `after`; none where it is not one of ours."""
    try:
        packed = base64.b64decode(snapshot.get("events", ""), validate=True)
        text = zlib.decompressobj().decompress(packed, _MOST_UNPACKED)
        lines = text.split(b"\n")[:-1]
        return [
            RunEvent.model_validate({**json.loads(line), "run_id": run_id, "seq": number})
            for number, line in enumerate(lines[after:], after + 1)
        ]
    except (ValueError, TypeError, zlib.error):
        return []


def _line(event: RunEvent) -> bytes:
    return json.dumps(event.model_dump(mode="json", exclude_none=True, exclude={"run_id", "seq"})).encode() + b"\n"
