"""Resources, subscriptions, completion, prompts and pages as far as they need no run, in both eras."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING, SEQUENCE
from tests.support.connected import Connected, connected
from tests.support.mcp_client import SUBSCRIPTION, envelope
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN

BOTH_ERAS = pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])
LISTS = ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    with connected(tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest.fixture(scope="module")
def with_methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    """A server whose workspace has methods. A list of its tools would need an engine."""
    home = tmp_path_factory.mktemp("home")
    chain = home / "workspace" / "methods" / "chain"
    chain.mkdir(parents=True)
    (home / "workspace" / "greet.mthds").write_text(GREETING)
    (chain / "main.mthds").write_text(SEQUENCE)
    with connected(home) as client:
        yield client


@BOTH_ERAS
def test_the_templates_name_every_family_that_is_not_listed(client: Connected, version: str) -> None:
    client.speak(version)

    templates = {found["uriTemplate"] for found in client.pages("resources/templates/list", "resourceTemplates")}

    assert {"mthds://methods/{name}", "mthds://runs/{id}"} <= templates


@pytest.mark.parametrize("method", LISTS)
def test_a_list_is_the_same_each_time(client: Connected, method: str) -> None:
    assert client.mcp(method) == client.mcp(method)


def test_a_long_list_comes_in_pages_without_gap_or_repeat(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    for number in range(450):
        (workspace / f"m{number:03}.mthds").write_text(GREETING)
    with connected(tmp_path) as client:
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
    with connected(tmp_path) as client:
        first = client.mcp("resources/list")
        second = client.mcp("resources/list", {"cursor": first["nextCursor"]})

        assert first["cacheScope"] == second["cacheScope"]


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
    client: Connected, wanted: dict[str, Any], promised: dict[str, Any]
) -> None:
    asked, found = client.listen(**wanted)
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
def test_what_is_listened_for_must_be_said(client: Connected, params: dict[str, Any]) -> None:
    assert client.mcp_error("subscriptions/listen", params)["code"] == -32602


@pytest.mark.parametrize("id_", [0, 7, "", "7"])
def test_a_subscription_is_named_by_the_id_of_its_request(tmp_path: Path, id_: Any) -> None:
    with connected(tmp_path) as client:
        client.request("subscriptions/listen", envelope({"notifications": {}}), id=id_)
        told = client.message(lambda message: message.get("method", "").endswith("acknowledged"))
        client.close_stdin()

        ended = client.answer(id_)["result"]
        named = [told["params"]["_meta"][SUBSCRIPTION], ended["_meta"][SUBSCRIPTION]]
        assert [(type(name), name) for name in named] == [(type(id_), id_)] * 2


def test_a_subscription_that_the_client_ends_is_not_answered(client: Connected) -> None:
    asked, _ = client.listen(toolsListChanged=True)

    client.notify("notifications/cancelled", {"requestId": asked})
    client.mcp("server/discover")

    assert [message for message in client.messages if isinstance(message, dict) and message.get("id") == asked] == []


@BOTH_ERAS
def test_every_prompt_can_be_had_with_the_arguments_it_needs(client: Connected, version: str) -> None:
    client.speak(version)

    for prompt in client.pages("prompts/list", "prompts"):
        arguments = {argument["name"]: "greet.mthds" for argument in prompt["arguments"]}
        found = client.mcp("prompts/get", {"name": prompt["name"], "arguments": arguments})
        assert "greet.mthds" in found["messages"][0]["content"]["text"]


@BOTH_ERAS
def test_the_methods_of_the_workspace_are_resources_with_their_source(with_methods: Connected, version: str) -> None:
    with_methods.speak(version)

    listed = {resource["name"]: resource["uri"] for resource in with_methods.pages("resources/list", "resources")}

    assert with_methods.read(listed["greet"]) == GREETING
    assert with_methods.read(listed["chain"]) == SEQUENCE


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
def test_every_resource_that_is_listed_can_be_read(with_methods: Connected, version: str) -> None:
    with_methods.speak(version)

    for resource in with_methods.pages("resources/list", "resources"):
        assert with_methods.mcp("resources/read", {"uri": resource["uri"]})["contents"]
