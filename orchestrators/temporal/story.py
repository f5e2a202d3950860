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

# A heartbeat is one payload of at most 2 MiB; some ten thousand events fit.
_MOST_BYTES = 1_000_000
# What a reader unpacks at most, whoever wrote it.
_MOST_UNPACKED = 200_000_000


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
        line = json.dumps(event.model_dump(mode="json", exclude_none=True, exclude={"run_id", "seq"})).encode() + b"\n"
        self._started, self._ended, self._message = event.started, event.ended, event.message
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


def events_of(snapshot: Mapping[str, Any], run_id: str) -> list[RunEvent]:
    """The events of a snapshot, numbered from 1."""
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(base64.b64decode(snapshot.get("events", "")), _MOST_UNPACKED)
    lines = text.splitlines()
    return [
        RunEvent.model_validate({**json.loads(line), "run_id": run_id, "seq": n}) for n, line in enumerate(lines, 1)
    ]
