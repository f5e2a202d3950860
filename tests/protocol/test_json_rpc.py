"""JSON-RPC 2.0 as its specification tells it, with its own examples, in both framings."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rpc_server.wire.framing import Framing, frame
from tests.support.connected import Connected, connected_wire


@pytest.fixture(scope="module", params=["lines", "headers"])
def server(request: pytest.FixtureRequest) -> Iterator[Connected]:
    with connected_wire(framing=request.param) as client:
        yield client


@pytest.fixture(scope="module", params=list(Framing))
def raw_server(request: pytest.FixtureRequest) -> Iterator["RawServer"]:
    with connected_wire(framing=request.param.value) as client:
        yield RawServer(client, request.param)


class RawServer:
    """Sends texts that need not be JSON."""

    def __init__(self, client: Connected, framing: Framing) -> None:
        self._client = client
        self._framing = framing
        self._count = 0

    def said(self, text: str) -> list[Any]:
        """What the server says to `text`, up to the answer to a call behind it."""
        self._count += 1
        mark = {"jsonrpc": "2.0", "id": f"mark-{self._count}", "method": "get_data"}
        before = len(self._client.messages)
        # A line holds no line feed; between members of JSON it means as much as a blank.
        body = text.replace("\n", " ").encode()
        self._client.spy.saw_sent(mark)
        self._client.send_bytes(frame(body, self._framing) + frame(json.dumps(mark).encode(), self._framing))
        self._client.answer(mark["id"])
        return [message for message in self._client.messages[before:] if not _is_mark(message)]


def _is_mark(message: Any) -> bool:
    return isinstance(message, dict) and str(message.get("id")).startswith("mark-")


def outline(answer: Any) -> Any:
    """An answer without what the specification leaves open: an error's message and data."""
    if isinstance(answer, list):
        return [outline(one) for one in answer]
    if "error" in answer:
        return {**answer, "error": {"code": answer["error"]["code"]}}
    return answer


def error(code: int, id_: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code}, "id": id_}


def result(value: Any, id_: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": id_}


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', [result(19, 1)], id="positional"
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}', [result(-19, 2)], id="in order"
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
            [result(19, 3)],
            id="named",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
            [result(19, 4)],
            id="named in another order",
        ),
        pytest.param('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', [], id="a notification"),
        pytest.param('{"jsonrpc": "2.0", "method": "foobar"}', [], id="a notification of an unknown method"),
        pytest.param('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', [error(-32601, "1")], id="an unknown method"),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', [error(-32700)], id="invalid JSON"
        ),
        pytest.param('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', [error(-32600)], id="no request"),
        pytest.param(
            '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]',
            [error(-32700)],
            id="a batch of invalid JSON",
        ),
        pytest.param("[]", [error(-32600)], id="an empty batch"),
        pytest.param("[1]", [[error(-32600)]], id="a batch of no request"),
        pytest.param("[1,2,3]", [[error(-32600)] * 3], id="a batch of no requests"),
        pytest.param(
            """[
                {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
                {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
                {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
                {"foo": "boo"},
                {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
            ]""",
            [[result(7, "1"), result(19, "2"), error(-32600), error(-32601, "5"), result(["hello", 5], "9")]],
            id="a mixed batch",
        ),
        pytest.param(
            """[
                {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
                {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
            ]""",
            [],
            id="a batch of notifications",
        ),
    ],
)
def test_the_examples_of_the_specification(raw_server: RawServer, text: str, answers: list[Any]) -> None:
    assert outline(raw_server.said(text)) == answers


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{"method": "get_data", "id": 1}', [error(-32600, 1)]),
        ('{"jsonrpc": "1.0", "method": "get_data", "id": 1}', [error(-32600, 1)]),
        ('{"jsonrpc": "2.0", "method": "get_data", "params": null, "id": 1}', [result(["hello", 5], 1)]),
        ('{"method": "get_data", "params": 5}', []),
        ('{"jsonrpc": "2.0", "method": "get_data", "id": true}', [error(-32600)]),
        ('{"jsonrpc": "2.0", "method": "get_data", "id": {"a": 1}}', [error(-32600)]),
        ('{"jsonrpc": "2.0", "method": "subtract", "params": [1], "id": 1}', [error(-32602, 1)]),
        ('{"jsonrpc": "2.0", "method": "subtract", "params": [1, 2, 3], "id": 1}', [error(-32602, 1)]),
        ('{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": "x", "subtrahend": 1}}', []),
        ('{"jsonrpc": "2.0", "id": 7, "result": 1}', []),
        ('{"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": "m"}}', []),
        ('{"jsonrpc": "2.0", "method": "get_data", "id": 1, "extra": [1]}', [result(["hello", 5], 1)]),
        ('[[{"jsonrpc": "2.0", "method": "get_data", "id": 1}]]', [[error(-32600)]]),
        ("null", [error(-32600)]),
        ('"text"', [error(-32600)]),
        ("Infinity", [error(-32700)]),
    ],
)
def test_what_the_specification_says_without_an_example(raw_server: RawServer, text: str, answers: list[Any]) -> None:
    assert outline(raw_server.said(text)) == answers


@pytest.mark.parametrize("id_", ["é—𝄞", "", 0, -1, 2**70, 1.5, None])
def test_an_answer_has_the_id_of_its_call(server: Connected, id_: Any) -> None:
    server.request("echo", {"value": "ü"}, id=id_)

    assert server.answer(id_)["result"] == {"value": "ü"}


def test_a_call_that_fails_is_answered_with_its_problem(server: Connected) -> None:
    error = server.error("fail", {"value": "too much"})

    assert (error["code"], error["message"]) == (-31050, "It failed as asked: too much.")
    assert error["data"]["code"] == "run.failed"


def test_an_unknown_param_names_the_nearest_known_one(server: Connected) -> None:
    assert "Did you mean `minuend`?" in server.error("subtract", {"minued": 1, "subtrahend": 2})["message"]


def test_a_waiting_call_holds_up_no_other_and_can_be_cancelled(server: Connected) -> None:
    waiting = [server.request("wait", {"name": "never"}) for _ in range(50)]

    assert server.result("get_data") == ["hello", 5]
    for id_ in waiting:
        server.notify("$/cancelRequest", {"id": id_})
    assert {server.answer(id_)["error"]["code"] for id_ in waiting} == {-32800}


def test_progress_comes_in_order_and_before_the_answer(server: Connected) -> None:
    answer = server.call("progress", {"count": 20, "_meta": {"progressToken": "of this test"}})

    mine = [note for note in server.notifications if note["params"]["progressToken"] == "of this test"]
    assert answer["result"] == 20
    assert [note["params"]["progress"] for note in mine] == list(range(1, 21))
    assert server.messages.index(mine[-1]) < server.messages.index(answer)


def test_a_lone_surrogate_comes_back_as_the_replacement_character(server: Connected) -> None:
    assert server.result("echo", {"value": "\ud800"}) == {"value": "\N{REPLACEMENT CHARACTER}"}


def test_what_an_editor_sends_besides_is_taken_quietly(server: Connected) -> None:
    server.notify("$/setTrace", {"value": "verbose"})
    server.notify("$/unknown")
    server.notify("initialized", {})

    assert server.error("$/unknown")["code"] == -32601
    assert server.result("get_data") == ["hello", 5]
