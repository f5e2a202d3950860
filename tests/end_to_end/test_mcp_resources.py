"""Resources, subscriptions, completion, prompts, pages and changes of lists, in both eras."""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import GREETING, SEQUENCE
from tests.support.mcp_client import SUBSCRIPTION, McpClient, is_for, serve_mcp
from tests.support.mcp_methods import Gate, greeting, sequence
from tests.support.mcp_schemas import LATEST_LEGACY, MODERN

BOTH_ERAS = pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])
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


def complete(client: McpClient, ref: dict[str, str], name: str, value: str, **given: str) -> list[str]:
    params = {"ref": ref, "argument": {"name": name, "value": value}, "context": {"arguments": given}}
    values: list[str] = client.mcp("completion/complete", params)["completion"]["values"]
    return values


@BOTH_ERAS
def test_a_run_is_a_resource_with_its_output_and_events(client: McpClient, version: str) -> None:
    client.speak(version)
    run_id = client.tool("execute", sequence())["structuredContent"]["pipeline_run_id"]
    uri = f"mthds://runs/{run_id}"

    whole, output, events = client.read(uri), client.read(f"{uri}/output"), client.read(f"{uri}/events")

    assert whole["state"] == "COMPLETED"
    assert output == {"text": "hey!!!"}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "run_ended"


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

    asked, promised = client.listen(resourceSubscriptions=[uri])
    gate.open()
    told = client.message(lambda message: is_for(message, asked, "notifications/resources/updated"))
    client.notify("notifications/cancelled", {"requestId": asked})

    assert promised == {"resourceSubscriptions": [uri]}
    assert told["params"]["uri"] == uri


def test_open_subscriptions_are_ended_with_a_result_when_the_input_ends(tmp_path: Path) -> None:
    with serve_mcp(tmp_path) as client:
        asked = [client.listen(toolsListChanged=True)[0] for _ in range(3)]
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
        asked, _ = client.listen(toolsListChanged=True)
        (workspace / "greet.mthds").write_text(GREETING)
        client.message(lambda message: is_for(message, asked, "notifications/tools/list_changed"))

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
            files.append(client.read("mthds://runs/mine/artifacts"))
            contents += client.mcp("resources/read", {"uri": files[-1][0]["uri"]})["contents"]
            ref = {"type": "ref/resource", "uri": "mthds://runs/{id}/artifacts/{file}"}
            completed.append(complete(client, ref, "file", "", id="mine"))

    assert [len(listed) for listed in files] == [1, 1]
    assert [[file["name"] for file in listed] for listed in files] == completed
    assert [b"secret" in b64decode(content["blob"]) for content in contents] == [True, False]
