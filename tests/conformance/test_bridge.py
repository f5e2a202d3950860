"""The bridge that stands between the conformance suite and a stdio server, with a tiny server behind it."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from anyio.from_thread import start_blocking_portal

from tests.conformance.bridge import bridge
from tests.conformance.rules import CAPABILITIES, VERSION
from tests.conformance.tiny_server import SUBSCRIPTION
from tests.support.client import ROOT

TIMEOUT_S = 30.0
MODERN = "2026-07-28"
COMMAND = [sys.executable, "-P", "-m", "tests.conformance.tiny_server"]


class Client:
    """Sends one message per connection, as an HTTP client of MCP does."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)

    def send(self, method: str, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        connection = HTTPConnection(f"{self._address.hostname}:{self._address.port}", timeout=TIMEOUT_S)
        connection.request(method, self._address.path, body, dict(headers))
        return connection.getresponse()

    def post(self, message: Any, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        return self.send("POST", json.dumps(message).encode(), headers or {})

    def modern(self, id_: Any, method: str, headers: Mapping[str, str] | None = None, **params: Any) -> HTTPResponse:
        """Post a request of 2026-07-28 with the headers it has to have, or others."""
        meta = {VERSION: MODERN, CAPABILITIES: {}, **params.pop("_meta", {})}
        usual = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        return self.post(request(id_, method, **params, _meta=meta), {**usual, **(headers or {})})

    def open_session(self) -> dict[str, str]:
        """Initialize; the headers for what follows."""
        response = self.post(request(0, "initialize"))
        assert response.status == 200
        return {"Mcp-Session-Id": response.headers["Mcp-Session-Id"]}


@pytest.fixture
def client() -> Iterator[Client]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_bridge()) as url:
        yield Client(url)


def _bridge() -> Any:
    return bridge(COMMAND, cwd=ROOT, env=os.environ)


def request(id_: Any, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def answer(response: HTTPResponse) -> Any:
    """The one message of a JSON answer."""
    assert response.headers["Content-Type"] == "application/json"
    return json.loads(response.read())


def next_event(response: HTTPResponse) -> Any:
    """The next message of a stream."""
    assert response.headers["Content-Type"] == "text/event-stream"
    lines = iter(response.readline, b"")
    return next(json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))


def test_an_answer_that_comes_first_is_plain_json(client: Client) -> None:
    response = client.modern("a", "pid")

    assert response.status == 200
    assert answer(response)["id"] == "a"


def test_what_comes_before_the_answer_makes_it_a_stream_with_the_caller_s_own_token(client: Client) -> None:
    response = client.modern(7, "progress", _meta={"progressToken": "mine"})

    assert next_event(response)["params"] == {"progressToken": "mine", "progress": 1}
    assert next_event(response) == {"jsonrpc": "2.0", "id": 7, "result": {}}


def test_requests_with_the_same_id_are_kept_apart(client: Client) -> None:
    streams = [client.modern(1, "wait"), client.modern(1, "wait")]

    numbers = [next_event(stream)["params"]["data"] for stream in streams]

    assert numbers[0] != numbers[1]
    assert answer(client.modern(1, "pid"))["id"] == 1


def test_a_subscription_carries_the_caller_s_id(client: Client) -> None:
    stream = client.modern("listen", "subscriptions/listen")

    events = [next_event(stream), next_event(stream)]

    assert [event["params"]["_meta"][SUBSCRIPTION] for event in events] == ["listen", "listen"]


def test_modern_requests_share_one_process(client: Client) -> None:
    first, second = (answer(client.modern(1, "pid"))["result"] for _ in range(2))

    assert first == second


def test_every_session_has_a_process_of_its_own(client: Client) -> None:
    sessions = [client.open_session(), client.open_session()]

    pids = {answer(client.post(request(1, "pid"), session))["result"]["pid"] for session in sessions}

    assert len(pids) == 2


def test_the_end_of_a_session_ends_its_process(client: Client) -> None:
    session = client.open_session()
    pid = answer(client.post(request(1, "pid"), session))["result"]["pid"]

    ended = client.send("DELETE", b"", session)

    assert ended.status == 204
    assert not psutil.pid_exists(pid)
    assert client.post(request(2, "pid"), session).status == 404


def test_the_end_of_the_bridge_ends_every_process() -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_bridge()) as url:
        client = Client(url)
        session = client.open_session()
        calls = [client.modern(1, "pid"), client.post(request(1, "pid"), session)]
        pids = [answer(call)["result"]["pid"] for call in calls]

    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


def test_a_request_without_its_session_is_refused(client: Client) -> None:
    response = client.post(request(5, "pid"))

    assert response.status == 400
    assert answer(response)["id"] == 5


def test_a_notification_is_accepted_without_an_answer(client: Client) -> None:
    response = client.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, client.open_session())

    assert response.status == 202
    assert response.read() == b""


def test_a_client_that_hangs_up_cancels_what_it_asked(client: Client) -> None:
    stream = client.modern("a", "wait")
    number = next_event(stream)["params"]["data"]

    stream.close()

    assert answer(client.modern("b", "next_cancelled"))["result"] == {"cancelled": [number]}


def test_a_cancellation_names_the_request_as_the_server_knows_it(client: Client) -> None:
    session = client.open_session()
    stream = client.post(request("a", "wait"), session)
    number = next_event(stream)["params"]["data"]

    client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "a"}}, session)

    assert answer(client.post(request("b", "next_cancelled"), session))["result"] == {"cancelled": [number]}


def test_what_the_server_asks_goes_to_the_open_stream_and_its_answer_back(client: Client) -> None:
    session = client.open_session()
    stream = client.post(request("a", "ask"), session)
    question = next_event(stream)

    client.post({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}, session)

    assert question["method"] == "roots/list"
    assert next_event(stream) == {"jsonrpc": "2.0", "id": "a", "result": {"answered": {"roots": []}}}


def test_a_server_that_ends_fails_what_it_was_asked(client: Client) -> None:
    response = client.modern("a", "exit")

    assert answer(response)["error"] == {"code": -32603, "message": "The server has ended"}


@pytest.mark.parametrize(
    ("code", "status"), [(-32601, 404), (-32020, 400), (-32021, 400), (-32022, 400), (-32602, 200), (-32603, 200)]
)
def test_a_modern_error_has_its_http_status(client: Client, code: int, status: int) -> None:
    response = client.modern(1, "fail", code=code)

    assert (response.status, answer(response)["error"]["code"]) == (status, code)


def test_invalid_params_for_want_of_meta_are_a_bad_request(client: Client) -> None:
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "fail"}

    response = client.post(request(1, "fail", code=-32602), headers)

    assert response.status == 400


def test_an_error_in_a_session_is_an_ordinary_answer(client: Client) -> None:
    response = client.post(request(1, "fail", code=-32601), client.open_session())

    assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"MCP-Protocol-Version": "2025-11-25"},
        {"Mcp-Method": "other"},
        {"Mcp-Method": "TOOLS/CALL"},
        {"Mcp-Name": "other"},
        {"Mcp-Name": "=?base64?!?="},
        {},
    ],
)
def test_headers_that_say_other_than_the_request_are_refused(client: Client, headers: dict[str, str]) -> None:
    response = client.modern(1, "tools/call", headers, name="pid")

    assert (response.status, answer(response)["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize(("header", "name"), [("pid", "pid"), ("=?base64?w6k=?=", "é")])
def test_a_name_is_served_as_it_is_or_encoded(client: Client, header: str, name: str) -> None:
    response = client.modern(1, "tools/call", {"Mcp-Name": header}, name=name)

    assert response.status == 200


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_another_site_is_turned_away(client: Client, headers: dict[str, str]) -> None:
    assert client.modern(1, "pid", headers).status == 403


@pytest.mark.parametrize("origin", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:8"])
def test_a_page_of_this_machine_is_served(client: Client, origin: str) -> None:
    assert client.modern(1, "pid", {"Origin": origin}).status == 200


@pytest.mark.parametrize(("body", "code"), [(b"{", -32700), (b"[]", -32600), (b"1", -32600)])
def test_a_body_that_is_no_message_is_refused(client: Client, body: bytes, code: int) -> None:
    response = client.send("POST", body, {})

    assert (response.status, answer(response)["error"]["code"]) == (400, code)


def test_there_is_nothing_to_get(client: Client) -> None:
    assert client.send("GET", b"", {}).status == 405
