"""The peer over loopback HTTP, `pipelex-api`, and a raw keep-alive client for it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.place import Place
from benchmarks.processes import spawned

READ_SIZE = 1 << 20
BOOT_S = 60.0


class HttpConnection:
    """One keep-alive connection; each request leaves in one piece."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._left_over = b""

    def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError unless the status is 200."""
        self._socket.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        while b"\r\n\r\n" not in self._left_over:
            self._left_over += self._receive()
        head, _, rest = self._left_over.partition(b"\r\n\r\n")
        length = _content_length(head)
        while len(rest) < length:
            rest += self._receive()
        answer, self._left_over = rest[:length], rest[length:]
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server refused: {answer.decode()}")
        return answer

    def _receive(self) -> bytes:
        data = self._socket.recv(READ_SIZE)
        if not data:
            raise EOFError("the HTTP server closed the connection")
        return data


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"no content-length in {head!r}")


@contextmanager
def connection(port: int) -> Iterator[HttpConnection]:
    """A connection to the loopback port."""
    with socket.create_connection(("127.0.0.1", port)) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield HttpConnection(connected)


@contextmanager
def pipelex_api(place: Place) -> Iterator[int]:
    """Run `pipelex-api` as it ships, under uvicorn, its logs thrown away. Gives its port."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "pipelex_api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    with spawned([*command, "--log-level", "warning"], place) as process:
        _wait_until_open(port, process)
        yield port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + BOOT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("pipelex-api did not start")
