"""Resources, subscriptions, completion, prompts, pages and changes of lists, in both eras."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING, SEQUENCE
from tests.support.mcp_client import McpClient, envelope, serve_mcp
from tests.support.mcp_methods import Gate, greeting, sequence
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN

BOTH_ERAS = pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LISTS = ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    home = tmp_path_factory.mktemp("home")
    chain = home / "workspace" / "methods" / "chain"
    chain.mkdir(parents=True)
    (home / "workspace" / "greet.mthds").write_text(GREETING)
    (chain / "main.mthds").write_text(SEQUENCE)
    with serve_mcp(home, "--allow-python") as client:
        client.tools()
        yield client


def listen(client: McpClient, **notifications: Any) -> tuple[Any, dict[str, Any]]:
    """Open a subscription: its id, and what was promised."""
    asked = client.request("subscriptions/listen", envelope({"notifications": notifications}))
    promised = client.message(lambda message: _is_for(message, asked, "notifications/subscriptions/acknowledged"))
    return asked, promised["params"]["notifications"]


def _is_for(message: Any, subscription: Any, method: str) -> bool:
    if not isinstance(message, dict) or message.get("method") != method:
        return False
    return bool(message.get("params", {}).get("_meta", {}).get(SUBSCRIPTION) == subscription)


def read(client: McpClient, uri: str) -> Any:
    (contents,) = client.mcp("resources/read", {"uri": uri})["contents"]
    assert contents["uri"] == uri
    return contents["text"] if contents["mimeType"] != "application/json" else json.loads(contents["text"])


def complete(client: McpClient, ref: dict[str, str], name: str, value: str, **given: str) -> list[str]:
    params = {"ref": ref, "argument": {"name": name, "value": value}, "context": {"arguments": given}}
    values: list[str] = client.mcp("completion/complete", params)["completion"]["values"]
    return values


@BOTH_ERAS
def test_the_methods_of_the_workspace_are_resources_with_their_source(client: McpClient, version: str) -> None:
    client.speak(version)

    listed = {resource["name"]: resource["uri"] for resource in client.pages("resources/list", "resources")}

    assert read(client, listed["greet"]) == GREETING
    assert read(client, listed["chain"]) == SEQUENCE


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
def test_every_resource_that_is_listed_can_be_read(client: McpClient, version: str) -> None:
    client.speak(version)

    for resource in client.pages("resources/list", "resources"):
        assert client.mcp("resources/read", {"uri": resource["uri"]})["contents"]


@BOTH_ERAS
def test_a_run_is_a_resource_with_its_output_and_events(client: McpClient, version: str) -> None:
    client.speak(version)
    run_id = client.tool("execute", sequence())["structuredContent"]["pipeline_run_id"]
    uri = f"mthds://runs/{run_id}"

    whole, output, events = read(client, uri), read(client, f"{uri}/output"), read(client, f"{uri}/events")

    assert whole["state"] == "COMPLETED"
    assert output == {"text": "hey!!!"}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "run_ended"


@BOTH_ERAS
def test_the_templates_name_every_family_that_is_not_listed(client: McpClient, version: str) -> None:
    client.speak(version)

    templates = {found["uriTemplate"] for found in client.pages("resources/templates/list", "resourceTemplates")}

    assert {"mthds://methods/{name}", "mthds://runs/{id}"} <= templates


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
@pytest.mark.parametrize(
    "uri",
    [
        "mthds://methods/nowhere.mthds",
        "mthds://methods/../secret.mthds",
        "mthds://methods/",
        "mthds://runs/nobody",
        "mthds://runs/not%20an%20id",
        "mthds://runs/",
        "mthds://schemas/nothing",
        "mthds://",
        "file:///etc/passwd",
        "ui://elsewhere/page.html",
        "",
    ],
)
def test_a_resource_that_there_is_not_is_not_found(client: McpClient, version: str, uri: str) -> None:
    client.speak(version)

    error = client.mcp_error("resources/read", {"uri": uri})

    assert error["code"] == (-32602 if version == MODERN else -32002)
    assert error["data"] == {"uri": uri}


@pytest.mark.parametrize("params", [{}, {"uri": None}, {"uri": 1}])
def test_to_read_a_resource_it_must_be_named(client: McpClient, params: dict[str, Any]) -> None:
    assert client.mcp_error("resources/read", params)["code"] == -32602


@BOTH_ERAS
@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize("cursor", ["nowhere", "after-", "after--1", "after-x", 7])
def test_a_cursor_that_was_never_given_out_is_refused(
    client: McpClient, version: str, method: str, cursor: Any
) -> None:
    client.speak(version)

    assert client.mcp_error(method, {"cursor": cursor})["code"] == -32602


@pytest.mark.parametrize("method", LISTS)
def test_a_list_is_the_same_each_time(client: McpClient, method: str) -> None:
    assert client.mcp(method) == client.mcp(method)


def test_a_long_list_comes_in_pages_without_gap_or_repeat(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    for number in range(450):
        (workspace / f"m{number:03}.mthds").write_text(GREETING)
    with serve_mcp(tmp_path) as client:
        first = client.mcp("resources/list")
        listed = [resource["uri"] for resource in client.pages("resources/list", "resources")]

        assert "nextCursor" in first
        assert [f"mthds://methods/m{number:03}.mthds" in listed for number in range(450)] == [True] * 450
        assert len(set(listed)) == len(listed)


def test_what_a_modern_list_says_of_its_age_is_the_same_on_every_page(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    for number in range(250):
        (workspace / f"m{number:03}.mthds").write_text(GREETING)
    with serve_mcp(tmp_path) as client:
        first = client.mcp("resources/list")
        second = client.mcp("resources/list", {"cursor": first["nextCursor"]})

        assert first["cacheScope"] == second["cacheScope"]


def test_a_legacy_client_is_told_of_a_run_it_subscribed_to(client: McpClient, tmp_path: Path) -> None:
    client.speak(LATEST_LEGACY)
    gate = Gate(tmp_path)
    run_id = client.tool("execute", gate.method(wait_s=0.05))["structuredContent"]["pipeline_run_id"]
    uri = f"mthds://runs/{run_id}"

    answer = client.mcp("resources/subscribe", {"uri": uri})
    gate.open()
    client.message(
        lambda message: message.get("method") == "notifications/resources/updated" and message["params"]["uri"] == uri
    )

    assert answer == {}
    assert client.mcp("resources/unsubscribe", {"uri": uri}) == {}
    assert client.mcp("resources/unsubscribe", {"uri": uri}) == {}


def test_after_unsubscribing_nothing_more_is_told(client: McpClient, tmp_path: Path) -> None:
    client.speak(LATEST_LEGACY)
    gate = Gate(tmp_path)
    run_id = client.tool("execute", gate.method(wait_s=0.05))["structuredContent"]["pipeline_run_id"]
    uri = f"mthds://runs/{run_id}"

    client.mcp("resources/subscribe", {"uri": uri})
    client.mcp("resources/unsubscribe", {"uri": uri})
    heard = len(client.received("notifications/resources/updated"))
    gate.open()
    client.tool("run_result", {"run_id": run_id, "wait_s": 50})
    client.mcp("ping")

    assert len(client.received("notifications/resources/updated")) == heard


def test_a_modern_client_is_told_of_a_run_it_listens_for(client: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    run_id = client.tool("execute", gate.method(wait_s=0.05))["structuredContent"]["pipeline_run_id"]
    uri = f"mthds://runs/{run_id}"

    asked, promised = listen(client, resourceSubscriptions=[uri])
    gate.open()
    told = client.message(lambda message: _is_for(message, asked, "notifications/resources/updated"))
    client.notify("notifications/cancelled", {"requestId": asked})

    assert promised == {"resourceSubscriptions": [uri]}
    assert told["params"]["uri"] == uri


@pytest.mark.parametrize(
    ("wanted", "promised"),
    [
        ({}, {}),
        ({"toolsListChanged": True}, {"toolsListChanged": True}),
        ({"toolsListChanged": False, "promptsListChanged": True}, {"promptsListChanged": True}),
        ({"unheardOf": True, "resourcesListChanged": True}, {"resourcesListChanged": True}),
    ],
)
def test_only_what_was_asked_for_is_promised(
    client: McpClient, wanted: dict[str, Any], promised: dict[str, Any]
) -> None:
    asked, found = listen(client, **wanted)
    client.notify("notifications/cancelled", {"requestId": asked})

    assert found == promised


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"notifications": []},
        {"notifications": {"resourceSubscriptions": "mthds://runs/x"}},
        {"notifications": {"resourceSubscriptions": [1]}},
    ],
)
def test_what_is_listened_for_must_be_said(client: McpClient, params: dict[str, Any]) -> None:
    assert client.mcp_error("subscriptions/listen", params)["code"] == -32602


@pytest.mark.parametrize("id_", [0, 7, "", "7"])
def test_a_subscription_is_named_by_the_id_of_its_request(tmp_path: Path, id_: Any) -> None:
    with serve_mcp(tmp_path) as client:
        client.request("subscriptions/listen", envelope({"notifications": {}}), id=id_)
        told = client.message(lambda message: message.get("method", "").endswith("acknowledged"))
        client.close_stdin()

        ended = client.answer(id_)["result"]
        named = [told["params"]["_meta"][SUBSCRIPTION], ended["_meta"][SUBSCRIPTION]]
        assert [(type(name), name) for name in named] == [(type(id_), id_)] * 2


def test_a_subscription_that_the_client_ends_is_not_answered(client: McpClient) -> None:
    asked, _ = listen(client, toolsListChanged=True)

    client.notify("notifications/cancelled", {"requestId": asked})
    client.mcp("server/discover")

    assert [message for message in client.messages if isinstance(message, dict) and message.get("id") == asked] == []


def test_open_subscriptions_are_ended_with_a_result_when_the_input_ends(tmp_path: Path) -> None:
    with serve_mcp(tmp_path) as client:
        asked = [listen(client, toolsListChanged=True)[0] for _ in range(3)]
        client.close_stdin()

        ends = [client.answer(one)["result"] for one in asked]
        assert [end["resultType"] for end in ends] == ["complete"] * 3
        assert [end["_meta"][SUBSCRIPTION] for end in ends] == asked
        assert client.wait() == 0


def test_a_new_file_becomes_a_tool_and_is_announced_to_a_modern_client(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with serve_mcp(tmp_path) as client:
        before = set(client.tools())
        asked, _ = listen(client, toolsListChanged=True)
        (workspace / "greet.mthds").write_text(GREETING)
        client.message(lambda message: _is_for(message, asked, "notifications/tools/list_changed"))

        (new,) = set(client.tools()) - before
        assert client.tool(new, {"name": "Ann"})["structuredContent"]["output"] == {"text": "Hello Ann"}


def test_a_new_file_becomes_a_tool_and_is_announced_to_a_legacy_client(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with serve_mcp(tmp_path) as client:
        client.speak(LATEST_LEGACY)
        before = set(client.tools())
        (workspace / "greet.mthds").write_text(GREETING)
        client.message(lambda message: message.get("method") == "notifications/tools/list_changed")

        (new,) = set(client.tools()) - before
        assert client.tool(new, {"name": "Ann"})["structuredContent"]["output"] == {"text": "Hello Ann"}


def test_methods_pipes_and_runs_are_completed_by_how_they_begin(client: McpClient) -> None:
    run_id = client.tool("execute", greeting(run_id="completed-1"))["structuredContent"]["pipeline_run_id"]
    prompt = {"type": "ref/prompt", "name": "run_method"}
    run = {"type": "ref/resource", "uri": "mthds://runs/{id}"}
    method = {"type": "ref/resource", "uri": "mthds://methods/{name}"}

    assert complete(client, prompt, "method", "gr") == ["greet.mthds"]
    assert complete(client, method, "name", "methods/") == ["methods/chain"]
    assert complete(client, prompt, "pipe", "t", method="methods/chain") == ["three", "two"]
    assert complete(client, run, "id", "completed-") == [run_id]
    assert complete(client, run, "id", "nobody") == []


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
@pytest.mark.parametrize(
    "ref",
    [
        {"type": "ref/prompt", "name": "nothing"},
        {"type": "ref/resource", "uri": "mthds://nothing/{id}"},
        {"type": "ref/tool", "name": "execute"},
        {},
    ],
)
def test_what_there_is_not_cannot_be_completed(client: McpClient, version: str, ref: dict[str, Any]) -> None:
    client.speak(version)

    error = client.mcp_error("completion/complete", {"ref": ref, "argument": {"name": "id", "value": ""}})

    assert error["code"] == -32602


@BOTH_ERAS
def test_every_prompt_can_be_had_with_the_arguments_it_needs(client: McpClient, version: str) -> None:
    client.speak(version)

    for prompt in client.pages("prompts/list", "prompts"):
        arguments = {argument["name"]: "greet.mthds" for argument in prompt["arguments"]}
        found = client.mcp("prompts/get", {"name": prompt["name"], "arguments": arguments})
        assert "greet.mthds" in found["messages"][0]["content"]["text"]


@BOTH_ERAS
@pytest.mark.parametrize(
    "params",
    [
        {"name": "nothing"},
        {"name": "run_method"},
        {"name": "run_method", "arguments": {"method": ""}},
        {"name": "run_method", "arguments": {"method": 1}},
        {},
    ],
)
def test_a_prompt_that_there_is_not_or_that_lacks_an_argument_is_refused(
    client: McpClient, version: str, params: dict[str, Any]
) -> None:
    client.speak(version)

    assert client.mcp_error("prompts/get", params)["code"] == -32602


def test_a_run_id_that_an_earlier_server_had_meets_none_of_its_files(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    bundle = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
    run = {"mthds_contents": [bundle], "inputs": {"name": {"path": "paper.pdf"}}, "run_id": "mine"}
    files: list[list[dict[str, str]]] = []
    contents: list[dict[str, str]] = []
    completed: list[list[str]] = []

    for text in (b"the first one's secret", b"the second"):
        (workspace / "paper.pdf").write_bytes(b"%PDF-1.4\n" + text + b"\n%%EOF\n")
        with serve_mcp(tmp_path) as client:
            client.speak(MODERN)
            client.tool("execute", run)
            files.append(read(client, "mthds://runs/mine/artifacts"))
            contents += client.mcp("resources/read", {"uri": files[-1][0]["uri"]})["contents"]
            ref = {"type": "ref/resource", "uri": "mthds://runs/{id}/artifacts/{file}"}
            completed.append(complete(client, ref, "file", "", id="mine"))

    assert [len(listed) for listed in files] == [1, 1]
    assert [[file["name"] for file in listed] for listed in files] == completed
    assert [b"secret" in b64decode(content["blob"]) for content in contents] == [True, False]
