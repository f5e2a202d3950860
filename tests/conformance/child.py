"""One stdio server, and the requests that it is serving.

Several HTTP clients may use the same ids, so inside a child every request has a number of ours in place of its id, its
progress token and its subscription id. What comes back is given its own again.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, Process, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.conformance.rules import meta, params

MAX_LINE_BYTES = 64 * 1024 * 1024
GRACE_S = 5.0
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

Message = dict[str, Any]


class Exchange:
    """A request that a child serves. What the child has to say about it is in `messages`; the answer is the last."""

    def __init__(self, number: int, request: Message) -> None:
        self.number = number
        self.request = request
        self.is_subscription = request["method"] == "subscriptions/listen"
        self.is_answered = False
        self._incoming, self.messages = anyio.create_memory_object_stream[Message](math.inf)

    def take(self, message: Message) -> None:
        """Pass on what the child said."""
        # Whoever asked may have left in the meantime.
        with suppress(anyio.BrokenResourceError):
            self._incoming.send_nowait(message)

    def take_answer(self, answer: Message) -> None:
        """Pass on the last of it."""
        self.is_answered = True
        self.take(answer)
        self._incoming.close()


class Child:
    """A server process. It runs while `run` does."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._command = list(command)
        self._cwd = cwd
        self._env = env
        self._process: Process | None = None
        self._scope = anyio.CancelScope()
        self._has_ended = False
        self._gone = anyio.Event()
        self._exchanges: dict[int, Exchange] = {}
        self._numbers = itertools.count(1)
        self._writing = anyio.Lock()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run the server until it ends, or `stop`, or cancellation; it is gone when this returns."""
        self._process = await anyio.open_process(
            self._command, stdin=PIPE, stdout=PIPE, stderr=None, cwd=self._cwd, env=self._env
        )
        try:
            with self._scope:
                task_status.started()
                await self._route(_stdout(self._process))
        finally:
            self._has_ended = True
            for exchange in self._exchanges.values():
                exchange.take_answer(_lost(exchange))
            self._exchanges.clear()
            await _end(self._process)
            self._gone.set()

    async def stop(self) -> None:
        """End the server, and wait until it has."""
        self._scope.cancel()
        await self._gone.wait()

    async def ask(self, request: Message) -> Exchange:
        """Send a request on its way."""
        exchange = Exchange(next(self._numbers), request)
        if self._has_ended:
            exchange.take_answer(_lost(exchange))
        else:
            self._exchanges[exchange.number] = exchange
            await self._write(_numbered(exchange))
        return exchange

    async def tell(self, message: Message) -> None:
        """Send a notification, or an answer to something the server asked."""
        cancelled = params(message).get("requestId") if message.get("method") == "notifications/cancelled" else None
        if cancelled is None:
            await self._write(message)
        for exchange in self._asked_as(cancelled):
            await self._write({**message, "params": {**message["params"], "requestId": exchange.number}})

    async def give_up(self, exchange: Exchange) -> None:
        """Tell the server that nobody waits for the answer any more."""
        del self._exchanges[exchange.number]
        await self._write(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": exchange.number}}
        )

    async def _write(self, message: Message) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # That a server has ended is said to those who wait for an answer.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with self._writing:
                await self._process.stdin.send(json.dumps(message).encode() + b"\n")

    async def _route(self, stdout: ByteReceiveStream) -> None:
        lines = BufferedByteReceiveStream(stdout)
        try:
            while True:
                self._take(json.loads(await lines.receive_until(b"\n", MAX_LINE_BYTES)))
        except anyio.IncompleteRead:
            return

    def _take(self, message: Message) -> None:
        if "method" not in message:
            exchange = self._exchanges.pop(message["id"], None)
            if exchange is not None:
                exchange.take_answer(_restored(message, exchange))
            return
        exchange = self._about(message)
        if exchange is not None:
            exchange.take(_restored(message, exchange))

    def _about(self, message: Message) -> Exchange | None:
        """The request that a message belongs to; the newest where it does not say so."""
        for number in (params(message).get("progressToken"), meta(message).get(SUBSCRIPTION)):
            if number is not None:
                return self._exchanges.get(number)
        if message["method"] == "notifications/cancelled":
            return self._exchanges.get(params(message).get("requestId", 0))
        calls = [exchange for exchange in self._exchanges.values() if not exchange.is_subscription]
        return calls[-1] if calls else None

    def _asked_as(self, id_: Any) -> Iterator[Exchange]:
        return (exchange for exchange in list(self._exchanges.values()) if exchange.request["id"] == id_)


def _numbered(exchange: Exchange) -> Message:
    request = deepcopy(exchange.request)
    request["id"] = exchange.number
    if "progressToken" in meta(request):
        request["params"]["_meta"]["progressToken"] = exchange.number
    return request


def _restored(message: Message, exchange: Exchange) -> Message:
    number, id_ = exchange.number, exchange.request["id"]
    body = message.get("params", message.get("result"))
    if "method" not in message:
        message["id"] = id_
    if isinstance(body, dict):
        if body.get("progressToken") == number:
            body["progressToken"] = meta(exchange.request).get("progressToken")
        if body.get("requestId") == number:
            body["requestId"] = id_
        if SUBSCRIPTION in body.get("_meta", {}):
            body["_meta"][SUBSCRIPTION] = id_
    return message


def _lost(exchange: Exchange) -> Message:
    return {
        "jsonrpc": "2.0",
        "id": exchange.request["id"],
        "error": {"code": -32603, "message": "The server has ended"},
    }


def _stdout(process: Process) -> ByteReceiveStream:
    assert process.stdout is not None
    return process.stdout


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        assert process.stdin is not None
        await process.stdin.aclose()
        with anyio.move_on_after(GRACE_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
        await process.aclose()
