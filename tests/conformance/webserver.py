"""As much of HTTP/1.1 as the bridge needs: one request per connection, answered with JSON or with events."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

MAX_HEAD_BYTES = 65_536
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Request:
    """A request; the names of its headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


async def read_request(stream: ByteStream) -> Request:
    """The one request of a connection. Raises `anyio.IncompleteRead` where the client leaves before its end."""
    buffered = BufferedByteReceiveStream(stream)
    head = (await buffered.receive_until(b"\r\n\r\n", MAX_HEAD_BYTES)).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await buffered.receive_exactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


class Reply:
    """The answer to the one request of a connection."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def send(self, status: int, body: Any = None, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Answer with a JSON body, or with none."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        await self._send_head(status, {**kind, "Content-Length": str(len(data)), **headers})
        await self._stream.send(data)

    async def begin_events(self, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Answer with a stream of events, which lasts until the connection is closed."""
        await self._send_head(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-store", **headers})

    async def send_event(self, message: Any) -> None:
        """Send one message of the stream."""
        await self._stream.send(f"event: message\ndata: {json.dumps(message)}\n\n".encode())

    async def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self._stream.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
