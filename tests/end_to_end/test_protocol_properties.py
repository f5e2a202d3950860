"""Whatever arrives: the connection lives on, answers each request with an id once, and nothing else."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rpc_server.wire.framing import Framing, frame
from tests.support.client import RpcClient
from tests.support.connected import connected_wire
from tests.support.defaults import limits
from tests.support.wire_server import wire_server

LIMITS = limits(
    drain_s=0.0, stop_grace_s=0.0, max_batch=5, max_in_flight=3, max_json_depth=20, max_message_bytes=10_000
)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
methods = st.sampled_from(
    ["version", "echo", "later", "wait", "stubborn", "progress", "crash", "fail", "not_json", "unknown", "$/setTrace"]
    + ["$/cancelRequest", "notifications/cancelled", "rpc.discover", ""]
)
ids = st.sampled_from([1, 2, "1", "a", 1.5, None]) | values
metas = st.fixed_dictionaries({}, optional={"_meta": st.fixed_dictionaries({}, optional={"progressToken": values})})
requests = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | values,
        "method": methods | values,
        "id": ids,
        "params": st.fixed_dictionaries({}, optional={"value": values, "id": ids, "requestId": ids}) | metas | values,
        "result": values,
        "error": values,
    },
)
sound = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": methods},
    optional={"id": ids, "params": st.fixed_dictionaries({}, optional={"id": ids, "requestId": ids}) | metas},
)
one = sound | requests | values
messages = one | st.lists(one, max_size=7)


def is_legal_id(id_: Any) -> bool:
    return id_ is None or (isinstance(id_, str | int | float) and not isinstance(id_, bool))


def expected_of(message: Any) -> list[Any]:
    """The ids that one call, or what stands in its place, has to be answered with."""
    if not isinstance(message, dict):
        return [None]
    if "method" not in message and ("result" in message or "error" in message):
        return []
    if not is_legal_id(message.get("id")):
        return [None]
    is_notification = isinstance(message.get("method"), str) and "id" not in message
    return [] if is_notification else [message.get("id")]


def depth_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(depth_of, children), default=0)


def all_expected_of(message: Any) -> list[Any]:
    if depth_of(message) > LIMITS.max_json_depth:
        return [None]
    if not isinstance(message, list):
        return expected_of(message)
    if not 1 <= len(message) <= LIMITS.max_batch:
        return [None]
    return [id_ for part in message for id_ in expected_of(part)]


def key(id_: Any) -> Any:
    return isinstance(id_, str), id_


def conversation(data: bytes) -> list[Any]:
    """Everything a server says to `data`, to its own end."""
    with connected_wire(LIMITS) as client:
        client.send_bytes(data)
        client.close_stdin()
        assert client.wait() == 0
    return client.messages


def answers_in(said: list[Any]) -> list[Any]:
    flat = [part for message in said for part in (message if isinstance(message, list) else [message])]
    return [part for part in flat if "method" not in part]


@settings(max_examples=150)
@given(st.lists(messages, max_size=8))
@example([{"jsonrpc": "2.0", "id": 1, "method": "wait"}] * 6)
@example([[{"jsonrpc": "2.0", "id": 1, "method": "stubborn"}, {"jsonrpc": "2.0", "id": 1, "method": "later"}]])
def test_each_request_with_an_id_is_answered_once_and_nothing_else_is(sent: list[Any]) -> None:
    lines = b"".join(json.dumps(message).encode() + b"\n" for message in sent)

    said = conversation(lines)

    expected = [id_ for message in sent for id_ in all_expected_of(message)]
    answers = answers_in(said)
    assert Counter(key(answer["id"]) for answer in answers) == Counter(map(key, expected))
    assert all(("result" in answer) != ("error" in answer) for answer in answers)
    assert [] not in said


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=60) | st.text(alphabet='{}[]":,0aé\\', max_size=40).map(str.encode), max_size=10))
def test_garbage_is_answered_and_survived(lines: list[bytes]) -> None:
    data = b"{}\n" + b"".join(line + b"\n" for line in lines)
    mark = b'{"jsonrpc":"2.0","id":"mark","method":"version"}\n'

    said = conversation(data + mark)

    assert answers_in(said)[-1] == {"jsonrpc": "2.0", "id": "mark", "result": {"version": "test"}}


@pytest.fixture(scope="module", params=list(Framing))
def server(request: pytest.FixtureRequest) -> Any:
    with wire_server("max_message_bytes=1000", "drain_s=0", "stop_grace_s=0", framing=request.param.value) as client:
        yield client, request.param


@settings(max_examples=30)
@given(st.lists(messages | st.just("x" * 2000), max_size=5))
def test_a_process_survives_what_a_connection_does(server: tuple[RpcClient, Framing], sent: list[Any]) -> None:
    client, framing = server
    mark = f"mark-{len(client.messages)}"
    sent = [*sent, {"jsonrpc": "2.0", "id": mark, "method": "version"}]

    client.send_bytes(b"".join(frame(json.dumps(message).encode(), framing) for message in sent))

    assert client.answer(mark)["result"] == {"version": "test"}
