"""Whatever an MCP client sends: each request is answered once, by the schema of its revision, and nothing breaks."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bundles import GREETING
from tests.support.mcp_client import TAKES_TASKS, McpClient, envelope, serve_mcp
from tests.support.mcp_schemas import LEGACY, METHODS, MODERN

INTERNAL_ERROR = -32603
BATCHES = ["2024-11-05", "2025-03-26"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["mthds://runs/", "mthds://methods/greet.mthds", "after-1", "2025-11-25", MODERN, "\ud800", "🦀"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
tools = st.sampled_from(
    ["execute", "start", "validate", "run_status", "run_result", "cancel_run", "list_runs", "list_methods"]
    + ["inputs_template", "greet"]
)
arguments = st.fixed_dictionaries(
    {},
    optional={
        "method": st.just("greet.mthds") | values,
        "files": values,
        "inputs": st.just({"name": "Ann"}) | values,
        "pipe_code": values,
        "run_id": values,
        "limit": values,
        "cursor": values,
        "include": values,
        "name": values,
    },
)
refs = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ref/prompt", "ref/resource"]) | values,
        "name": st.sampled_from(["run_method", "fix_method"]) | values,
        "uri": st.sampled_from(["mthds://runs/{id}", "mthds://methods/{name}"]) | values,
    },
)
argument = st.fixed_dictionaries({"name": st.sampled_from(["method", "pipe", "id"]), "value": values})
params = st.fixed_dictionaries(
    {},
    optional={
        "name": tools | st.just("run_method") | values,
        "arguments": arguments | values,
        "task": st.just({"ttl": 1}) | values,
        "cursor": values,
        "uri": values,
        "ref": refs | values,
        "argument": argument | values,
        "context": values,
        "taskId": values,
        "inputResponses": values,
        "level": st.just("info") | values,
        "protocolVersion": st.sampled_from(LEGACY) | values,
        "capabilities": values,
        "notifications": st.fixed_dictionaries(
            {}, optional={"toolsListChanged": values, "resourceSubscriptions": values, "taskIds": values}
        )
        | values,
    },
)
metas = st.fixed_dictionaries(
    {},
    optional={
        "io.modelcontextprotocol/protocolVersion": st.just(MODERN) | values,
        "io.modelcontextprotocol/clientCapabilities": st.just(TAKES_TASKS) | values,
        "io.modelcontextprotocol/clientInfo": values,
        "io.modelcontextprotocol/logLevel": st.just("debug") | values,
        "progressToken": values,
    },
)
methods = st.sampled_from(sorted(METHODS - {"initialize", "subscriptions/listen"}))


@st.composite
def requests(draw: st.DrawFn, *kinds: str) -> tuple[str, Any]:
    """A method and its params: in one era or the other, or with a `_meta` of any kind."""
    given_params = draw(params)
    kind = draw(st.sampled_from(kinds or ["modern", "legacy", "any meta", "no meta"]))
    if kind == "modern":
        return draw(methods), envelope(given_params, capabilities=draw(st.sampled_from([{}, TAKES_TASKS])))
    if kind == "any meta":
        return draw(methods), {**given_params, "_meta": draw(metas | values)}
    if kind == "no meta":
        return draw(methods), draw(st.just(given_params) | st.lists(values, max_size=2))
    return draw(methods), given_params


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    home = tmp_path_factory.mktemp("home")
    (home / "workspace").mkdir()
    (home / "workspace" / "greet.mthds").write_text(GREETING)
    with serve_mcp(home) as client:
        client.initialize()
        yield client


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(LEGACY), st.lists(requests(), min_size=1, max_size=8))
def test_every_request_is_answered_once_and_by_its_schema(
    server: McpClient, version: str, asked: list[tuple[str, Any]]
) -> None:
    server.initialize(version)

    ids = [server.request(method, given_params) for method, given_params in asked]

    answers = [server.answer(id_) for id_ in ids]

    broken = [
        (request, answer)
        for request, answer in zip(asked, answers, strict=True)
        if answer.get("error", {}).get("code") == INTERNAL_ERROR
    ]
    assert broken == []
    assert server.spy.faults == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(BATCHES), st.lists(requests("legacy", "no meta"), min_size=1, max_size=5))
def test_a_batch_is_answered_in_one_array_whatever_is_in_it(
    server: McpClient, version: str, asked: list[tuple[str, Any]]
) -> None:
    server.initialize(version)
    first = f"batch-{len(server.messages)}"
    batch = [
        {"jsonrpc": "2.0", "id": f"{first}-{number}", "method": method, "params": given_params}
        for number, (method, given_params) in enumerate(asked)
    ]

    server.send(batch)

    for request in batch:
        server.answer(request["id"])
    (answers,) = [
        message for message in server.messages if isinstance(message, list) and message[0]["id"] == f"{first}-0"
    ]
    assert [answer["id"] for answer in answers] == [request["id"] for request in batch]
    assert server.spy.faults == []


@settings(max_examples=50)
@given(params, metas | values | st.none())
def test_a_handshake_is_agreed_on_or_refused(server: McpClient, given_params: dict[str, Any], meta: Any) -> None:
    answer = server.call("initialize", given_params if meta is None else {**given_params, "_meta": meta})

    assert "result" in answer or answer["error"]["code"] in (-32601, -32602)
    assert server.spy.faults == []


@settings(max_examples=80)
@given(params)
def test_what_is_listened_for_is_promised_or_refused(server: McpClient, given_params: dict[str, Any]) -> None:
    asked = server.request("subscriptions/listen", envelope(given_params, capabilities=TAKES_TASKS))
    heard = server.message(
        lambda message: isinstance(message, dict) and (message.get("id") == asked or _subscription_of(message) == asked)
    )

    server.notify("notifications/cancelled", {"requestId": asked})

    assert heard.get("method") == "notifications/subscriptions/acknowledged" or heard["error"]["code"] == -32602
    assert server.spy.faults == []


def _subscription_of(message: dict[str, Any]) -> Any:
    meta = message.get("params", {}).get("_meta", {})
    return meta.get("io.modelcontextprotocol/subscriptionId")
