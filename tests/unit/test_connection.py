import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.calls.call_spec import CallSpec, method_table
from rpc_server.calls.errors import to_rpc_error
from rpc_server.redaction import Redactor
from rpc_server.transport.stdio import ProtocolFds
from rpc_server.transport.streams import open_streams
from rpc_server.wire.connection import serve_connection
from rpc_server.wire.dispatch import Call, Dispatcher
from schemas.params import WireParams
from schemas.problem import problem_error
from tests.support import defaults

pytestmark = pytest.mark.anyio


class TextParams(WireParams):
    text: str = ""


class World:
    """What the handlers of a test share: how often each was called, and events to wait for."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.cancelled: list[str] = []
        self._events: dict[str, anyio.Event] = {}

    def event(self, name: str) -> anyio.Event:
        return self._events.setdefault(name, anyio.Event())

    def dispatcher(self) -> Dispatcher:
        handlers: dict[str, Callable[[Call, Any], Any]] = {
            "echo": self._echo,
            "later": self._later,
            "wait": self._wait,
            "stubborn": self._stubborn,
            "progress": self._progress,
            "big": self._big,
            "not_json": self._not_json,
            "leak": self._leak,
            "odd_error": self._odd_error,
            "odd_error_later": self._odd_error_later,
        }
        return Dispatcher(
            method_table(
                [
                    CallSpec(name=name, params=TextParams, handler=handler, summary=name, result={})
                    for name, handler in handlers.items()
                ]
            ),
            to_rpc_error,
        )

    def _echo(self, call: Call, params: TextParams) -> Any:
        self.calls.append(call)
        return params.text

    async def _later(self, call: Call, params: TextParams) -> Any:
        await anyio.lowlevel.checkpoint()
        return params.text

    async def _wait(self, call: Call, params: TextParams) -> Any:
        self.calls.append(call)
        try:
            await self.event(params.text).wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(params.text)
            raise
        return params.text

    async def _stubborn(self, call: Call, params: TextParams) -> Any:
        with anyio.CancelScope(shield=True):
            await self.event(params.text).wait()
        return params.text

    async def _progress(self, call: Call, params: TextParams) -> Any:
        self.calls.append(call)
        assert call.progress is not None
        for seq in (1, 2):
            call.progress(seq, params.text, {"step": seq})
        return "done"

    def _big(self, call: Call, params: TextParams) -> Any:
        self.calls.append(call)
        return "x" * int(params.text)

    def _not_json(self, call: Call, params: TextParams) -> Any:
        return {"value": object()}

    def _odd_error(self, call: Call, params: TextParams) -> Any:
        raise McpFault(-32000, "It failed.", {"value": object()})

    async def _odd_error_later(self, call: Call, params: TextParams) -> Any:
        return self._odd_error(call, params)

    def _leak(self, call: Call, params: TextParams) -> Any:
        raise problem_error("run.failed", f"Refused: {params.text}.", next_step=("retry", "Again."))


class Peer:
    """The client's side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: anyio.Event) -> None:
        self.reader = reader
        self.writer = writer
        self.stop = stop
        self.ended = anyio.Event()
        self.status: int | None = None

    def send(self, *messages: Any) -> None:
        self.writer.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def call(self, id_: Any, method: str, text: str = "", **params: Any) -> None:
        self.send({"jsonrpc": "2.0", "id": id_, "method": method, "params": {"text": text, **params}})

    def notify(self, method: str, **params: Any) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def receive(self) -> Any:
        with anyio.fail_after(30):
            line = await self.reader.readline()
        assert line, "the connection is over"
        return json.loads(line)

    async def receive_rest(self) -> list[Any]:
        with anyio.fail_after(30):
            return [json.loads(line) for line in (await self.reader.read()).splitlines()]

    def close(self) -> None:
        self.writer.write_eof()

    async def end(self) -> int:
        with anyio.fail_after(30):
            await self.ended.wait()
        assert self.status is not None
        return self.status


@asynccontextmanager
async def connected(world: World, environ: dict[str, str] | None = None, **limits: Any) -> AsyncIterator[Peer]:
    ours, theirs = socket.socketpair()
    fds = ProtocolFds(os.dup(ours.fileno()), ours.detach())
    reader, writer = await asyncio.open_connection(sock=theirs, limit=2**26)
    peer = Peer(reader, writer, anyio.Event())
    chosen = defaults.limits(**{"stop_grace_s": 30.0, **limits})

    async def serve() -> None:
        async with open_streams(fds, chosen.max_queued_bytes) as streams:
            redactor = Redactor(environ or {})
            peer.status = await serve_connection(streams, world.dispatcher(), chosen, redactor.json, peer.stop)
        peer.ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        yield peer
        peer.stop.set()
        writer.close()


@pytest.fixture
def world() -> World:
    return World()


async def served(world: World, count: int) -> None:
    """Return once so many calls have begun."""
    with anyio.fail_after(30):
        while len(world.calls) < count:
            await anyio.lowlevel.checkpoint()


def code_of(answer: Any) -> int:
    return int(answer["error"]["code"])


@pytest.mark.parametrize("id_", ["text", "", 1, 0, -7, 10**300, 1.5, None])
async def test_every_legal_id_is_answered_as_it_is(world: World, id_: Any) -> None:
    async with connected(world) as peer:
        peer.call(id_, "echo", "a")
        assert await peer.receive() == {"jsonrpc": "2.0", "id": id_, "result": "a"}

        peer.call(id_, "later", "b")
        assert await peer.receive() == {"jsonrpc": "2.0", "id": id_, "result": "b"}


async def test_a_slow_call_delays_no_other(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "slow")
        peer.call(2, "later", "quick")
        peer.call(3, "echo", "at once")

        assert {(await peer.receive())["id"], (await peer.receive())["id"]} == {2, 3}
        world.event("slow").set()
        assert (await peer.receive())["id"] == 1


async def test_calls_of_a_batch_run_at_once_and_are_answered_together_in_order(world: World) -> None:
    async with connected(world) as peer:
        first = {"jsonrpc": "2.0", "id": 1, "method": "wait", "params": ["go"]}
        second = {"jsonrpc": "2.0", "id": 2, "method": "echo", "params": ["now"]}
        peer.send([first, {"jsonrpc": "2.0", "method": "echo"}, second, 7])
        await served(world, 3)
        peer.call(3, "echo", "between")

        assert (await peer.receive())["id"] == 3
        world.event("go").set()
        batch = await peer.receive()

    assert [answer["id"] for answer in batch] == [1, 2, None]
    assert [answer.get("result") for answer in batch] == ["go", "now", None]


async def test_a_batch_of_notifications_gets_nothing_back(world: World) -> None:
    async with connected(world) as peer:
        peer.send([{"jsonrpc": "2.0", "method": "later"}, {"jsonrpc": "2.0", "id": 1, "result": 1}])
        peer.call(2, "echo")

        assert (await peer.receive())["id"] == 2


async def test_a_call_of_a_batch_can_be_cancelled_alone(world: World) -> None:
    async with connected(world) as peer:
        peer.send([{"jsonrpc": "2.0", "id": id_, "method": "wait", "params": [id_]} for id_ in ("a", "b")])
        await served(world, 2)
        peer.notify("$/cancelRequest", id="a")
        world.event("b").set()

        batch = await peer.receive()

    assert code_of(batch[0]) == -32800
    assert batch[1]["result"] == "b"


@pytest.mark.parametrize("size", [0, 4])
async def test_a_batch_that_is_empty_or_too_long_is_one_error(world: World, size: int) -> None:
    async with connected(world, max_batch=3) as peer:
        peer.send([{"jsonrpc": "2.0", "id": 1, "method": "echo"}] * size)

        answer = await peer.receive()

    assert (answer["id"], code_of(answer)) == (None, -32600)
    assert world.calls == []


async def test_a_call_over_the_limit_is_refused_and_may_be_tried_again(world: World) -> None:
    async with connected(world, max_in_flight=2) as peer:
        for id_ in (1, 2, 3):
            peer.call(id_, "wait", "go")
        refused = await peer.receive()
        peer.call(4, "echo", "at once")
        assert (await peer.receive())["result"] == "at once"
        world.event("go").set()
        assert {(await peer.receive())["id"], (await peer.receive())["id"]} == {1, 2}
        peer.call(3, "wait", "go")

        assert (await peer.receive())["result"] == "go"

    assert (refused["id"], code_of(refused), refused["error"]["data"]["retry"]) == (3, -31070, "yes")


@pytest.mark.parametrize("method", ["wait", "echo"])
async def test_an_id_that_is_still_in_flight_is_refused(world: World, method: str) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "go")
        peer.call(1.0, method)

        refused = await peer.receive()
        world.event("go").set()
        answer = await peer.receive()

    assert (refused["id"], code_of(refused)) == (1, -32600)
    assert answer["result"] == "go"


async def test_an_id_may_be_used_again_once_it_is_answered(world: World) -> None:
    async with connected(world) as peer:
        for _ in range(3):
            peer.call("same", "later", "x")
            assert (await peer.receive())["result"] == "x"


async def test_calls_with_a_null_id_are_each_answered(world: World) -> None:
    async with connected(world) as peer:
        for _ in range(3):
            peer.call(None, "wait", "go")
        await served(world, 3)
        world.event("go").set()

        answers = [await peer.receive() for _ in range(3)]

    assert answers == [{"jsonrpc": "2.0", "id": None, "result": "go"}] * 3


@pytest.mark.parametrize(("method", "param"), [("$/cancelRequest", "id"), ("notifications/cancelled", "requestId")])
async def test_a_cancelled_call_stops_and_is_answered_so(world: World, method: str, param: str) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "never")
        await served(world, 1)
        peer.notify(method, **{param: 1, "reason": "no longer wanted"})

        answer = await peer.receive()

    assert (answer["id"], code_of(answer)) == (1, -32800)
    assert world.cancelled == ["never"]


@pytest.mark.parametrize(("id_", "named"), [(1, 1.0), (1.0, 1), ("1", "1"), (1.5, 1.5)])
async def test_a_cancel_names_a_call_by_its_id(world: World, id_: Any, named: Any) -> None:
    async with connected(world) as peer:
        peer.call(id_, "wait", "never")
        peer.notify("$/cancelRequest", id=named)

        assert code_of(await peer.receive()) == -32800


@pytest.mark.parametrize(
    ("id_", "params"),
    [
        (1, {"id": "1"}),
        ("1", {"id": 1}),
        (1, {"id": True}),
        (1, {"id": 2}),
        (1, {"id": [1]}),
        (1, {}),
        (1, {"requestId": 1}),
        (None, {"id": None}),
    ],
)
async def test_a_cancel_that_names_no_call_is_ignored(world: World, id_: Any, params: dict[str, Any]) -> None:
    async with connected(world) as peer:
        peer.call(id_, "wait", "go")
        peer.notify("$/cancelRequest", **params)
        peer.call("mark", "echo")
        assert (await peer.receive())["id"] == "mark"
        world.event("go").set()

        assert (await peer.receive())["result"] == "go"


async def test_a_call_that_ends_in_spite_of_its_cancel_is_answered_as_cancelled_and_once(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "stubborn", "go")
        peer.notify("$/cancelRequest", id=1)
        peer.notify("$/cancelRequest", id=1)
        peer.call(2, "echo")
        assert (await peer.receive())["id"] == 2
        world.event("go").set()

        assert code_of(await peer.receive()) == -32800
        peer.close()
        assert await peer.receive_rest() == []


@pytest.mark.parametrize("token", ["token", 7])
async def test_progress_goes_to_its_token_in_order_and_before_the_answer(world: World, token: Any) -> None:
    async with connected(world) as peer:
        peer.call(1, "progress", "step", _meta={"progressToken": token})

        received = [await peer.receive() for _ in range(3)]

    assert [message.get("method") for message in received] == ["notifications/progress"] * 2 + [None]
    assert [message["params"]["progressToken"] for message in received[:2]] == [token] * 2
    assert [message["params"]["progress"] for message in received[:2]] == [1, 2]
    assert received[0]["params"]["message"] == "step"
    assert received[0]["params"]["data"] == {"step": 1}


async def test_progress_is_not_sent_once_the_call_is_answered(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "progress", _meta={"progressToken": "t"})
        for _ in range(3):
            await peer.receive()

        progress = world.calls[0].progress
        assert progress is not None
        progress(3, "too late", {})
        peer.close()

        assert await peer.receive_rest() == []


@pytest.mark.parametrize("meta", [None, {}, {"progressToken": None}])
async def test_nothing_is_paid_for_progress_nobody_asked_for(world: World, meta: Any) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "go", _meta=meta)
        await served(world, 1)

        assert world.calls[0].progress is None
        peer.notify("$/cancelRequest", id=1)
        await peer.receive()


async def test_a_result_that_is_no_json_is_an_error_and_not_silence(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "not_json")

        assert (await peer.receive())["error"]["data"]["code"] == "runtime.unexpected"


@pytest.mark.parametrize("method", ["odd_error", "odd_error_later"])
@pytest.mark.parametrize("in_batch", [False, True])
async def test_an_error_that_json_cannot_hold_is_an_unexpected_failure_of_one_call(
    world: World, method: str, in_batch: bool
) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": method}
    async with connected(world) as peer:
        peer.send([call] if in_batch else call)
        answer = await peer.receive()
        peer.call(2, "echo", "next")

        assert code_of(answer[0] if in_batch else answer) == -32603
        assert (await peer.receive())["result"] == "next"


async def test_a_secret_is_masked_in_errors_and_progress_but_not_in_results(world: World) -> None:
    async with connected(world, {"API_KEY": "sk-12345678"}) as peer:
        peer.call(1, "leak", "sk-12345678")
        peer.call(2, "progress", "with sk-12345678", _meta={"progressToken": "t"})
        peer.call(3, "echo", "sk-12345678")
        peer.close()
        received = await peer.receive_rest()

    results = [message for message in received if message.get("id") == 3]
    others = [message for message in received if message.get("id") != 3]
    assert results[0]["result"] == "sk-12345678"
    assert "sk-12345678" not in json.dumps(others)
    assert len(others) == 4


async def test_after_shutdown_only_exit_is_taken(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "go")
        peer.call(2, "shutdown")
        assert await peer.receive() == {"jsonrpc": "2.0", "id": 2, "result": None}
        peer.call(3, "echo")
        peer.notify("echo")
        assert code_of(await peer.receive()) == -32600
        world.event("go").set()
        assert (await peer.receive())["result"] == "go"
        peer.notify("exit")

        assert await peer.end() == 0
        assert len(world.calls) == 1


@pytest.mark.parametrize("ask", [lambda peer: peer.notify("exit"), lambda peer: peer.call("bye", "exit")])
async def test_exit_without_shutdown_ends_with_status_1(world: World, ask: Callable[[Peer], None]) -> None:
    async with connected(world) as peer:
        ask(peer)

        assert await peer.end() == 1


async def test_exit_cancels_and_answers_what_is_in_flight(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "never")
        await served(world, 1)
        peer.notify("exit")
        peer.call(2, "echo")

        answers = await peer.receive_rest()

    assert [(answer["id"], code_of(answer)) for answer in answers] == [(1, -31070)]


@pytest.mark.parametrize("method", ["$/setTrace", "$/anything", "initialized", "notifications/initialized", "unknown"])
async def test_a_notification_nobody_knows_is_ignored(world: World, method: str) -> None:
    async with connected(world) as peer:
        peer.notify(method, value="off")
        peer.call(1, "echo")

        assert (await peer.receive())["id"] == 1


@pytest.mark.parametrize("method", ["$/anything", "unknown", "$/cancelRequest", "rpc.unknown"])
async def test_a_request_nobody_knows_is_refused(world: World, method: str) -> None:
    async with connected(world) as peer:
        peer.call(1, method)

        assert code_of(await peer.receive()) == -32601


async def test_the_end_of_input_lets_calls_end(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "go")
        peer.close()
        await served(world, 1)
        world.event("go").set()

        assert [answer["result"] for answer in await peer.receive_rest()] == ["go"]
        assert await peer.end() == 0


async def test_calls_that_outlast_the_drain_time_are_cancelled_and_answered(world: World) -> None:
    async with connected(world, drain_s=0.0) as peer:
        peer.call(1, "wait", "never")
        peer.send([{"jsonrpc": "2.0", "id": 2, "method": "wait", "params": ["never"]}])
        peer.close()
        answers = await peer.receive_rest()

        assert await peer.end() == 0
    assert code_of(answers[0]) == -31070
    assert [code_of(answer) for answer in answers[1]] == [-31070]


async def test_stopping_cancels_and_answers_what_is_in_flight(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "never")
        await served(world, 1)
        peer.stop.set()

        assert [code_of(answer) for answer in await peer.receive_rest()] == [-31070]
        assert await peer.end() == 0


async def test_a_call_that_will_not_stop_is_answered_without_it(world: World) -> None:
    async with connected(world, stop_grace_s=0.0) as peer:
        peer.call(1, "stubborn", "never")
        peer.call(2, "echo")
        await peer.receive()
        peer.stop.set()

        assert [(answer["id"], code_of(answer)) for answer in await peer.receive_rest()] == [(1, -31070)]
        assert await peer.end() == 0


async def test_a_message_over_the_limit_is_refused_and_the_next_is_answered(world: World) -> None:
    async with connected(world, max_message_bytes=1000) as peer:
        peer.call(1, "echo", "x" * 5000)
        peer.writer.write(b"x" * 5000 + b"\n")
        peer.call(2, "echo", "short")

        refused, unknown, answer = [await peer.receive() for _ in range(3)]

    assert (refused["id"], code_of(refused), refused["error"]["data"]["code"]) == (1, -32600, "request.too_large")
    assert (unknown["id"], code_of(unknown)) == (None, -32600)
    assert answer["result"] == "short"


@pytest.mark.parametrize("line", [b"{", b'"\xff"', b"[" * 500, b"[" * 500 + b"]" * 500, b"[NaN]", b"\x00"])
async def test_a_line_that_is_no_json_is_refused_and_the_next_is_answered(world: World, line: bytes) -> None:
    async with connected(world) as peer:
        peer.writer.write(line + b"\n")
        peer.call(2, "echo", "next")

        refused, answer = await peer.receive(), await peer.receive()

    assert (refused["id"], code_of(refused)) == (None, -32700)
    assert answer["result"] == "next"


async def test_a_peer_that_does_not_read_is_not_read_from(world: World) -> None:
    size, count = 100_000, 400
    async with connected(world, max_queued_bytes=10 * size) as peer:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for id_ in range(count):
            peer.call(id_, "big", str(size))
        await anyio.wait_all_tasks_blocked()
        begun = len(world.calls)

        peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
        answers = [await peer.receive() for _ in range(count)]

    assert begun < 50
    assert [answer["id"] for answer in answers] == list(range(count))


async def test_a_peer_that_never_reads_does_not_keep_the_server(world: World) -> None:
    async with connected(world, max_queued_bytes=1000, drain_s=0.0, stop_grace_s=0.0) as peer:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        peer.call(1, "big", "10000000")
        peer.close()

        assert await peer.end() == 0


async def test_a_peer_that_is_gone_ends_the_connection_and_cancels_its_calls(world: World) -> None:
    async with connected(world) as peer:
        peer.call(1, "wait", "never")
        await served(world, 1)
        peer.writer.transport.abort()

        assert await peer.end() == 0
    assert world.cancelled == ["never"]


@pytest.mark.parametrize("how", [1, 7, 100_000])
async def test_messages_may_come_in_any_pieces(world: World, how: int) -> None:
    text = "é—𝄞" * 10
    data = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [text]}, ensure_ascii=False).encode()
    async with connected(world) as peer:
        for start in range(0, len(data), how):
            peer.writer.write(data[start : start + how])
            await asyncio.sleep(0)
        peer.writer.write(b"\n")

        assert (await peer.receive())["result"] == text
