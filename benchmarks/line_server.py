"""A raw client for servers that answer lines on a pipe: it costs as little as it can, and the same for each of them."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.place import Place
from benchmarks.processes import spawned

READ_SIZE = 1 << 20


class LineServer:
    """A running server, driven with bare reads and writes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin.fileno()
        self._stdout = process.stdout.fileno()
        self._left_over = b""

    @property
    def pid(self) -> int:
        """The process that was spawned."""
        return self._process.pid

    def close(self) -> None:
        """End the stream, and wait until the server has ended with everything it keeps."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, line: bytes) -> bytes:
        """Send one line and wait for the line that comes back."""
        self.send(line)
        return self.read_line()

    def send(self, data: bytes) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._stdin, view) :]

    def read_line(self) -> bytes:
        """The next line. Raises EOFError when the server is gone."""
        # Looked through once, however many pieces a long line comes in.
        pieces = [self._left_over]
        while b"\n" not in pieces[-1]:
            pieces.append(self._read())
        line, _, self._left_over = b"".join(pieces).partition(b"\n")
        return line

    def pump(self, lines: Sequence[bytes], in_flight: int) -> None:
        """Send all `lines`, `in_flight` of them outstanding at a time. Raises RuntimeError on a refusal."""
        sent = min(in_flight, len(lines))
        self.send(b"".join(lines[:sent]))
        answered = 0
        while answered < len(lines):
            data = self._read()
            if b'"error":' in data:
                raise RuntimeError(f"the server refused: {data.decode()}")
            came = data.count(b"\n")
            answered += came
            self.send(b"".join(lines[sent : sent + came]))
            sent += came

    def _read(self) -> bytes:
        data = os.read(self._stdout, READ_SIZE)
        if not data:
            raise EOFError(f"{self._process.args!r} ended with status {self._process.wait()}")
        return data


@contextmanager
def line_server(command: Sequence[str], place: Place) -> Iterator[LineServer]:
    """Run `command`; it is killed at the end."""
    with spawned(command, place, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield LineServer(process)


def request(method: str, call_id: int, params: dict[str, Any] | None = None) -> bytes:
    """One JSON-RPC request as a line."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": call_id, "method": method}
    if params is not None:
        message["params"] = params
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def result_of(line: bytes) -> Any:
    """The result that a line carries. Raises RuntimeError when it carries an error."""
    answer = json.loads(line)
    if "result" not in answer:
        raise RuntimeError(f"the server refused: {line.decode()}")
    return answer["result"]
