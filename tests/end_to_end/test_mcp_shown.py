"""Whatever MCP shows of a hostile method is fit to be seen, and of a length that a host can use."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.shown_text import fit
from tests.support.bundles import python_method
from tests.support.mcp_client import McpClient, serve_mcp

TRICK = "a\x1b[31m\u202eb\u200bc\U000e0041\u2028d\x9b"
PLAIN = "Say it"
LONG = TRICK + "long " * 50_000
WITH_UI = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}


def text(value: str) -> str:
    """A TOML string."""
    return json.dumps(value, ensure_ascii=True).replace("\\udb40\\udc41", "\\U000E0041").replace("\x7f", "")


BUNDLE = f"""
domain = "hostile"
description = {text(LONG)}
main_pipe = "say"

[concept.Wish]
description = {text(TRICK)}

[concept.Wish.structure]
kind = {{ type = "text", description = {text(LONG)}, choices = [{text(TRICK)}, "other"], required = true }}
note = {{ type = "text", description = "A note", default_value = {text(TRICK)} }}

[pipe.say]
type = "PipeCompose"
description = {text(LONG)}
inputs = {{ choice = "Wish" }}
output = "Text"
template = "{{{{ choice }}}}"
"""
LEAKING = python_method(f"    raise SystemExit({TRICK!r} + word)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    home = tmp_path_factory.mktemp("home")
    package = home / "workspace" / "package"
    package.mkdir(parents=True)
    (package / "METHODS.toml").write_text(
        f'[package]\naddress = "example.com/a/b"\nversion = "1.0.0"\nname = {text(LONG)}\ndescription = {text(LONG)}\n'
        'main_pipe = "say"\n'
    )
    (package / "main.mthds").write_text(BUNDLE)
    (home / "workspace" / "loose").mkdir()
    (home / "workspace" / "loose" / "main.mthds").write_text(BUNDLE)
    (home / "workspace" / f"odd{TRICK.replace('/', '')}.mthds").write_text(BUNDLE)
    with serve_mcp(home, "--allow-python", settings="[rpc.mcp]\nlist_wait_s = 60\n") as client:
        client.error(
            "execute", {"files": LEAKING.model_dump(mode="json")["files"], "inputs": {"word": "x"}, "run_id": "r"}
        )
        yield client


def assert_shown(value: Any, most: int = 4000) -> None:
    """Its texts are fit, and short, but where they are data."""
    assert value == fit(value, most)


def test_lists_are_fit_to_be_shown(client: McpClient) -> None:
    tools = list(client.tools().values())
    resources = client.pages("resources/list", "resources")

    assert any(tool["name"].startswith("loose") for tool in tools)
    assert_shown(tools)
    assert_shown(resources)
    assert all(len(tool["title"]) <= 200 for tool in tools)
    assert all(len(resource["name"]) <= 200 for resource in resources)
    assert_shown(client.mcp("prompts/list"))
    assert_shown(client.mcp("resources/templates/list"))


def test_the_methods_that_a_tool_lists_are_fit_to_be_shown(client: McpClient) -> None:
    listed = client.tool("list_methods")["structuredContent"]["methods"]

    assert len(listed) == 3
    assert_shown([{**method, "path": ""} for method in listed])
    assert all(len(method["name"]) <= 200 for method in listed)
    assert all(len(method.get("description", "")) <= 1024 for method in listed)


def test_completions_leave_out_what_cannot_be_shown(client: McpClient) -> None:
    ref = {"type": "ref/prompt", "name": "run_method"}

    found = client.mcp("completion/complete", {"ref": ref, "argument": {"name": "method", "value": ""}})

    assert found["completion"]["values"] == ["loose", "package"]


def test_a_prompt_is_fit_to_be_shown(client: McpClient) -> None:
    assert_shown(client.mcp("prompts/get", {"name": "write_method", "arguments": {"purpose": TRICK}}))


def test_verdicts_and_templates_are_fit_to_be_shown(client: McpClient) -> None:
    broken = BUNDLE.replace('type = "PipeCompose"', f"type = {text(TRICK)}")

    verdict = client.tool("validate", {"files": {"main.mthds": broken}}, capabilities=WITH_UI)
    drawn = client.tool("validate", {"method": "loose"}, capabilities=WITH_UI)
    template = client.tool("inputs_template", {"method": "loose"})

    assert verdict["structuredContent"]["is_valid"] is False
    assert_shown(verdict["structuredContent"])
    assert_shown(drawn["structuredContent"])
    assert_shown(drawn["_meta"])
    assert_shown(template["structuredContent"], 10_000)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "run_status", "arguments": {"run_id": "r"}}),
        ("tools/call", {"name": "run_result", "arguments": {"run_id": "r"}}),
        ("tools/call", {"name": "list_runs", "arguments": {}}),
        ("tasks/get", {"taskId": "r"}),
    ],
)
def test_a_runs_problem_is_fit_to_be_shown(client: McpClient, method: str, params: dict[str, Any]) -> None:
    shown = client.mcp(method, params, capabilities={"extensions": {"io.modelcontextprotocol/tasks": {}}})

    assert "called sys.exit" in json.dumps(shown)
    assert_shown(shown)


def test_what_a_caller_wrote_comes_back_fit_to_be_shown(client: McpClient) -> None:
    result = client.tool("execute", {TRICK: 1}, as_sent=True)
    error = client.mcp_error("tools/call", {"name": TRICK, "arguments": {}})

    assert_shown(result["structuredContent"])
    assert_shown(error)
