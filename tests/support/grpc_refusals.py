"""A gRPC server on loopback that refuses, as no development server of Temporal's can be made to.

It speaks as much of HTTP/2 as a client needs to hear a refusal, and reads no header: a Temporal client asks first what
the server can do, on the first stream of a connection, so that the number of the stream says which call it is.
"""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">BHBBI")
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_FIRST_STREAM = 1
# An empty message: one byte that says it is not compressed, four for its length.
_NOTHING = bytes(5)
# In HPACK: the eighth entry of the static table.
_STATUS_200 = b"\x88"


@contextmanager
def refusing_server(status: int, *, tells_of_itself: bool) -> Iterator[str]:
    """The address of a server that answers every call with a gRPC status.

    Where it `tells_of_itself`, a client can connect, and only what it asks then is refused.
    """

    class Refusing(_Connection):
        def answer(self, stream: int) -> None:
            if tells_of_itself and stream == _FIRST_STREAM:
                self.send(_HEADERS, _END_HEADERS, stream, _STATUS_200 + _header("content-type", "application/grpc"))
                self.send(_DATA, 0, stream, _NOTHING)
                self.send(_HEADERS, _END_HEADERS | _END_STREAM, stream, _header("grpc-status", "0"))
            else:
                self.send(_HEADERS, _END_HEADERS | _END_STREAM, stream, _refusal(status))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.rfile.read(len(_PREFACE)) != _PREFACE:
            return
        self.send(_SETTINGS, 0, 0)
        while len(head := self.rfile.read(_HEAD.size)) == _HEAD.size:
            top, rest, kind, flags, stream = _HEAD.unpack(head)
            content = self.rfile.read((top << 16) + rest)
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                self.send(kind, _ACK, 0, content if kind == _PING else b"")
            elif kind in (_HEADERS, _DATA) and flags & _END_STREAM:
                self.answer(stream)

    def answer(self, stream: int) -> None:
        """Answer the call of a stream."""
        raise NotImplementedError

    def send(self, kind: int, flags: int, stream: int, content: bytes = b"") -> None:
        """Send one frame."""
        length = len(content)
        self.wfile.write(_HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + content)


def _refusal(status: int) -> bytes:
    members = {"content-type": "application/grpc", "grpc-status": str(status), "grpc-message": "Request refused."}
    return _STATUS_200 + b"".join(_header(name, value) for name, value in members.items())


def _header(name: str, value: str) -> bytes:
    """In HPACK: a literal that goes into no table, with a name of its own; both shorter than 127 characters."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
