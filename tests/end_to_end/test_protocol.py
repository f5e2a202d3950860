"""What a real process adds to JSON-RPC: large messages, the log on stderr, the exit status. In both framings."""

import json
from collections.abc import Iterator

import pytest

from tests.support.client import RpcClient
from tests.support.ledgers import until
from tests.support.wire_server import wire_server


@pytest.fixture(scope="module", params=["lines", "headers"])
def server(request: pytest.FixtureRequest) -> Iterator[RpcClient]:
    with wire_server(framing=request.param) as client:
        yield client


def test_an_exception_nobody_foresaw_is_told_by_reference_and_logged_with_it(server: RpcClient) -> None:
    error = server.error("crash", {"value": "classified"})

    assert error["code"] == -32603
    assert "classified" not in json.dumps(error)
    reference = error["data"]["params"]["reference"]
    until(lambda: "RuntimeError: a secret of the implementation: classified" in server.stderr, "the log")
    assert reference in server.stderr


def test_a_large_answer_arrives_whole(server: RpcClient) -> None:
    assert server.result("big", {"count": 20_000_000}) == "x" * 20_000_000


def test_a_large_call_arrives_whole(server: RpcClient) -> None:
    text = "é" * 5_000_000

    assert server.result("echo", {"value": text}) == {"value": text}


def test_shutdown_and_exit_end_the_server_with_status_0() -> None:
    with wire_server(framing="headers") as server:
        assert server.result("shutdown") is None
        assert server.error("echo")["code"] == -32600
        server.notify("exit")

        assert server.wait() == 0


def test_exit_alone_ends_the_server_with_status_1() -> None:
    with wire_server() as server:
        server.notify("exit")

        assert server.wait() == 1
