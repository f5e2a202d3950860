"""A client over a server of its own: one request at a time, in step, with nothing left behind."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, Self

import mthds_rpc_start

_END_S = 10.0

Progress = Callable[[Mapping[str, Any]], None]
"""Takes the params of each `notifications/progress`."""


class ServerEnded(Exception):
    """The server ended before it answered."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


class Client:
    """A context manager that owns a `mthds-rpc serve`; its stderr is ours. At the end of the block it has ended."""

    def __init__(self, arguments: list[str]) -> None:
        """Start the server at once; `arguments` are those of `mthds-rpc serve`."""
        self._last_id = 0
        # A group of its own, so that Ctrl-C reaches us alone and the run is cancelled in order.
        self._server = subprocess.Popen(
            [*mthds_rpc_start.command("rpc_server.cli"), "serve", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._server.stdin.close()
        self._server.stdout.close()
        try:
            self._server.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def send(self, method: str, params: Mapping[str, Any], progress: Progress | None = None) -> int:
        """Send a request; its id. Raises `ServerEnded`."""
        self._last_id += 1
        members = dict(params)
        if progress is not None:
            members["_meta"] = {**members.get("_meta", {}), "progressToken": self._last_id}
        self._write({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": members})
        return self._last_id

    def answer(self, request_id: int, progress: Progress | None = None) -> dict[str, Any]:
        """Wait for the response object of a request, passing its progress on. Raises `ServerEnded`."""
        assert self._server.stdout is not None
        for line in self._server.stdout:
            message: dict[str, Any] = json.loads(line)
            # A request the server could not read is answered without an id, and there is no other.
            if "method" not in message and message["id"] in (request_id, None):
                return message
            if message.get("method") == "notifications/progress" and progress is not None:
                progress(message["params"])
        raise ServerEnded(self._server.wait())

    def cancel(self, request_id: int) -> None:
        """Ask for a request to be cancelled; it is still answered. Raises `ServerEnded`."""
        self._write({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": request_id}})

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self._server.stdin is not None
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
        try:
            self._server.stdin.write(line)
            self._server.stdin.flush()
        except BrokenPipeError:
            raise ServerEnded(self._server.wait()) from None


def call(arguments: list[str], method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """One call of a server started for it: the response object. Raises `ServerEnded`."""
    with Client(arguments) as client:
        return client.answer(client.send(method, params))
