"""The frames between a pool and an engine: four bytes of length, big-endian, then one JSON object in UTF-8."""

import json
import struct
from collections.abc import Iterator
from typing import Any

MAX_FROM_ENGINE = 134_217_728
"""Bytes of the longest frame that an engine may send: a longer one would cost its owner too much memory."""

_HEADER = struct.Struct(">I")


class BrokenChannel(Exception):
    """The frame that came is invalid, so nothing after it can be read either."""


def encode(message: dict[str, Any]) -> bytes:
    """One frame. Lone surrogates survive, since the JSON is ASCII."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return _HEADER.pack(len(body)) + body


def decode(body: bytes) -> dict[str, Any]:
    """The message of one frame. Raises `BrokenChannel`."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenChannel(f"a frame of {len(body)} bytes holds no JSON") from error
    if not isinstance(message, dict):
        raise BrokenChannel("a frame holds no object")
    return message


class FrameReader:
    """Cuts a byte stream into messages."""

    def __init__(self, max_bytes: int | None = None) -> None:
        """`max_bytes` is what the longest frame may have."""
        self._buffer = bytearray()
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield each message that `data` completes. Raises `BrokenChannel`."""
        for body in self.bodies(data):
            yield decode(body)

    def bodies(self, data: bytes) -> Iterator[bytes]:
        """Like `feed`, without decoding them."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if self._max_bytes is not None and length > self._max_bytes:
                raise BrokenChannel(f"a frame of {length} bytes is announced")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield body
