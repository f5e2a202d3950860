"""A stdio MCP server behind Streamable HTTP, since the conformance suite speaks nothing else.

    async with bridge([sys.executable, "-m", "server"], cwd=directory, env={}) as url:
        ...

A client of a revision with a handshake has a server process of its own for its session. The requests of 2026-07-28,
which stand alone, share one. The rules of the transport are kept here, and nothing of the server's is made better.
"""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from tests.conformance import rules
from tests.conformance.child import Child, Exchange, Message
from tests.conformance.webserver import NO_HEADERS, Reply, Request, read_request

PATH = "/mcp"

StatusOf = Callable[[Mapping[str, Any], Mapping[str, Any]], int]
"""The HTTP status for a request and its answer."""


@asynccontextmanager
async def bridge(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> AsyncIterator[str]:
    """Serve the command over HTTP while the block runs; gives the URL. Every process it started is gone afterwards."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        front = Bridge(tasks, command, cwd, env)
        tasks.start_soon(listener.serve, front.serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}{PATH}"
        tasks.cancel_scope.cancel()


class Refused(Exception):
    """A request that goes to no server: the HTTP status, and the JSON-RPC error that says why."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message}


class Bridge:
    """The HTTP side of it."""

    def __init__(self, tasks: TaskGroup, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._tasks = tasks
        self._command = command
        self._cwd = cwd
        self._env = env
        self._sessions: dict[str, Child] = {}
        self._shared: Child | None = None
        self._starting = anyio.Lock()

    async def serve(self, stream: SocketStream) -> None:
        """Serve one connection."""
        # A client that goes away is no fault.
        with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
            async with stream:
                await self._serve(await read_request(stream), stream)

    async def _serve(self, request: Request, stream: SocketStream) -> None:
        reply = Reply(stream)
        message: Any = None
        try:
            _check(request)
            if request.method == "DELETE":
                await self._sessions.pop(_session(request, self._sessions)).stop()
                await reply.send(204)
                return
            message = _message(request.body)
            if "method" in message and "id" in message:
                await self._serve_request(request, message, stream)
            else:
                await (await self._child(request, message)).tell(message)
                await reply.send(202)
        except Refused as refusal:
            id_ = message.get("id") if isinstance(message, dict) else None
            await reply.send(refusal.status, {"jsonrpc": "2.0", "id": id_, "error": refusal.error})

    async def _serve_request(self, request: Request, message: Message, stream: SocketStream) -> None:
        if rules.is_modern(request.headers, message):
            fault = rules.header_fault(request.headers, message)
            if fault is not None:
                raise Refused(400, rules.HEADER_MISMATCH, fault)
            await _exchange(await self._child(request, message), message, stream, rules.status_of)
        elif message["method"] == "initialize":
            session = str(uuid.uuid4())
            self._sessions[session] = await self._start()
            await _exchange(self._sessions[session], message, stream, _always_200, {"Mcp-Session-Id": session})
        else:
            await _exchange(await self._child(request, message), message, stream, _always_200)

    async def _child(self, request: Request, message: Message) -> Child:
        if rules.is_modern(request.headers, message):
            async with self._starting:
                self._shared = self._shared or await self._start()
            return self._shared
        return self._sessions[_session(request, self._sessions)]

    async def _start(self) -> Child:
        child = Child(self._command, self._cwd, self._env)
        await self._tasks.start(child.run)
        return child


def _check(request: Request) -> None:
    if not rules.is_local(request.headers):
        raise Refused(403, -32600, "This server serves its own machine only")
    if request.path != PATH:
        raise Refused(404, -32600, f"Nothing but {PATH} is here")
    if request.method not in ("POST", "DELETE"):
        raise Refused(405, -32600, "Streams are opened by POST only")


def _message(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except ValueError:
        raise Refused(400, -32700, "Parse error") from None
    if not isinstance(message, dict):
        raise Refused(400, -32600, "One message per request")
    return message


def _session(request: Request, sessions: Mapping[str, Child]) -> str:
    session = request.headers.get("mcp-session-id")
    if session is None:
        raise Refused(400, -32600, "Mcp-Session-Id is missing")
    if session not in sessions:
        raise Refused(404, -32600, "No such session")
    return session


async def _exchange(
    child: Child, message: Message, stream: SocketStream, status: StatusOf, headers: Mapping[str, str] = NO_HEADERS
) -> None:
    """Let the child serve a request, and tell it if the client goes away."""
    exchange = await child.ask(message)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_wait_for_hang_up, stream, tasks.cancel_scope)
        await _relay(exchange, Reply(stream), status, headers)
        tasks.cancel_scope.cancel()
    if not exchange.is_answered:
        await child.give_up(exchange)


async def _wait_for_hang_up(stream: SocketStream, scope: anyio.CancelScope) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            await stream.receive()
    scope.cancel()


async def _relay(exchange: Exchange, reply: Reply, status: StatusOf, headers: Mapping[str, str]) -> None:
    is_streaming = False
    with exchange.messages, suppress(anyio.BrokenResourceError):
        async for message in exchange.messages:
            if not is_streaming and "method" not in message:
                await reply.send(status(exchange.request, message), message, headers)
                return
            if not is_streaming:
                await reply.begin_events(headers)
                is_streaming = True
            await reply.send_event(message)


def _always_200(request: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    return 200
