"""The frames between a pool and an engine: four bytes of length, big-endian, then one JSON object in UTF-8."""

import json
import struct
from collections.abc import Iterator
from typing import Any

_HEADER = struct.Struct(">I")


def encode(message: dict[str, Any]) -> bytes:
    """One frame. Lone surrogates survive, since the JSON is ASCII."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return _HEADER.pack(len(body)) + body


class FrameReader:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield each message that `data` completes."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield json.loads(body)
