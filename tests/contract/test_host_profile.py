"""The list of tools of the real server: every host can take it, and it does not change unseen."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.corpus import ROOT as CORPUS
from tests.support.golden import lines_of, own_of, shared_by, whole
from tests.support.host_profile import faults_of_tools
from tests.support.mcp_client import serve_mcp

GOLDEN = Path(__file__).parent / "golden" / "tools.json"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BUILT_IN = {
    "execute",
    "start",
    "validate",
    "run_status",
    "run_result",
    "cancel_run",
    "list_runs",
    "list_methods",
    "inputs_template",
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What the server lists in a workspace that holds the corpus and the examples."""
    home = tmp_path_factory.mktemp("home")
    workspace = home / "workspace"
    for method in sorted((CORPUS / "valid").glob("*/method")):
        shutil.copytree(method, workspace / "corpus" / method.parent.name)
    for method in sorted((CORPUS / "invalid").glob("*/method")):
        shutil.copytree(method, workspace / "invalid" / method.parent.name)
    shutil.copytree(EXAMPLES, workspace / "examples")
    with serve_mcp(home, "--allow-python", workspace=workspace, settings="[rpc.mcp]\nlist_wait_s = 50\n") as client:
        client.initialize()
        yield client.pages("tools/list", "tools")


def test_every_host_takes_every_tool(tools: list[dict[str, Any]]) -> None:
    assert faults_of_tools(tools) == []


def test_the_list_holds_our_tools_and_every_runnable_method(tools: list[dict[str, Any]]) -> None:
    names = {tool["name"] for tool in tools}

    assert names >= BUILT_IN
    assert names >= {f"examples__{path.name}" for path in EXAMPLES.iterdir() if path.is_dir()}
    assert not any(name.startswith(("invalid__", "corpus__no_main_pipe")) for name in names)


def test_a_cursor_of_hosts_leaves_room_for_the_name_of_the_server(tools: list[dict[str, Any]]) -> None:
    assert max(len(tool["name"]) for tool in tools) + len("mthds-rpc") + len("_") <= 60


def test_the_list_is_the_one_that_was_looked_at(tools: list[dict[str, Any]]) -> None:
    """After a change that is meant: UPDATE_GOLDEN=1 writes the file anew, and the difference is read."""
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(lines_of(folded(tools)) + "\n", encoding="utf-8")

    assert unfolded(json.loads(GOLDEN.read_text(encoding="utf-8"))) == tools


def folded(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The list as it is kept: what all tools that answer a result share stands in it once."""
    shared = shared_by([tool for tool in tools if answers_a_result(tool)])
    return {"shared": shared, "tools": [own_of(tool, shared) if answers_a_result(tool) else tool for tool in tools]}


def unfolded(golden: dict[str, Any]) -> list[dict[str, Any]]:
    return [whole(tool, golden["shared"]) if answers_a_result(tool) else tool for tool in golden["tools"]]


def answers_a_result(tool: dict[str, Any]) -> bool:
    return "output" in tool["outputSchema"]["properties"]
