"""Which methods become tools: those of the folders that are configured, up to a number."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.bundles import GREETING
from tests.support.mcp_client import McpClient, serve_mcp

BUILT_IN = 9


def write_greetings(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "main.mthds").write_text(GREETING)


Tools = dict[str, dict[str, Any]]


def wait_for_tools(client: McpClient, is_so: Callable[[Tools], bool]) -> Tools:
    """The list once it is so: an engine that boots has first to tell of the methods."""
    for _ in range(20):
        tools = client.tools()
        if is_so(tools):
            return tools
    raise AssertionError(f"it did not become so: {tools}")


def test_a_method_of_a_folder_outside_the_workspace_is_a_tool_and_runs(tmp_path: Path) -> None:
    write_greetings(tmp_path / "library", "greet")
    settings = f"[rpc.mcp]\nmethod_folders = [{json.dumps(str(tmp_path / 'library'))}]\n"
    with serve_mcp(tmp_path, settings=settings) as client:
        tools = wait_for_tools(client, lambda tools: len(tools) > BUILT_IN)

        result = client.tool("greet", {"name": "Bo"})

    assert "greet" in tools
    assert result["structuredContent"]["output"] == {"text": "Hello Bo"}


def test_past_the_configured_number_the_list_is_cut_and_says_how_to_reach_the_rest(tmp_path: Path) -> None:
    write_greetings(tmp_path / "workspace", "a", "b", "c")
    with serve_mcp(tmp_path, settings="[rpc.mcp]\nmax_method_tools = 2\n") as client:
        tools = wait_for_tools(client, lambda tools: "1 of the methods" in tools["list_methods"]["description"])

        rest = client.tool("list_methods")["structuredContent"]["methods"]
        result = client.tool("execute", {"method": "c", "inputs": {"name": "Bo"}})

    assert [name for name in tools if len(name) == 1] == ["a", "b"]
    assert [method["path"] for method in rest] == ["a", "b", "c"]
    assert result["structuredContent"]["output"] == {"text": "Hello Bo"}
