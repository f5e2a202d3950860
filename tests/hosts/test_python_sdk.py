"""The official Python SDK's client drives the real server, in each era that it speaks."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolResult,
    LoggingMessageNotificationParams,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
    Tool,
)

from tests.hosts.spawned import Spawned, server_in
from tests.support.mcp_schemas import LATEST_LEGACY, MODERN

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def connected(spawned: Spawned, mode: str, **options: Any) -> AsyncIterator[Client]:
    command, *arguments = spawned.command
    parameters = StdioServerParameters(command=command, args=arguments, env=spawned.env, cwd=spawned.workspace)
    with (spawned.home / "stderr.txt").open("w") as errors:
        transport = stdio_client(parameters, errlog=errors)
        async with Client(transport, mode=mode, read_timeout_seconds=60, **options) as client:
            yield client


@pytest.fixture(scope="module", params=["legacy", MODERN])
async def connection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[tuple[Client, Spawned]]:
    """A client in each era, and the server that it has spawned."""
    spawned = server_in(tmp_path_factory.mktemp("home"))
    async with connected(spawned, request.param) as client:
        yield client, spawned


@pytest.fixture
def client(connection: tuple[Client, Spawned]) -> Client:
    return connection[0]


def output_of(result: CallToolResult) -> Any:
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content["output"]


def text_of(result: CallToolResult) -> str:
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


async def tools_with(client: Client, part: str) -> list[Tool]:
    """The tools that are named so, once there are any: what the server finds out late is listed later."""
    with anyio.fail_after(60):
        while True:
            found = [tool for tool in (await client.list_tools(cache_mode="refresh")).tools if part in tool.name]
            if found:
                return found


async def wait_for(path: anyio.Path) -> None:
    with anyio.fail_after(60):
        while not await path.exists():
            await anyio.sleep(0.01)


@pytest.mark.parametrize(("mode", "version"), [("legacy", LATEST_LEGACY), (MODERN, MODERN), ("auto", MODERN)])
async def test_it_connects_and_learns_what_the_server_is_for(spawned: Spawned, mode: str, version: str) -> None:
    async with connected(spawned, mode) as client:
        assert client.protocol_version == version
        if mode != MODERN:
            assert client.server_info is not None
            assert client.server_info.name == "mthds-rpc"
            assert "list_methods" in (client.instructions or "")


async def test_it_runs_a_method_by_its_path_and_is_shown_every_step(client: Client) -> None:
    steps: list[tuple[float, float | None, str | None]] = []

    async def shown(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    listed = await client.list_tools()
    arguments = {"method": "chain.mthds", "inputs": {"word": "hey"}}
    result = await client.call_tool("execute", arguments, progress_callback=shown)

    assert {"execute", "validate", "run_result"} <= {tool.name for tool in listed.tools}
    assert output_of(result) == {"text": "hey!!!"}
    assert json.loads(text_of(result)) == result.structured_content
    assert [progress for progress, _, _ in steps] == sorted({progress for progress, _, _ in steps})
    assert "chain.two started (step 3 of 4)" in [message for _, _, message in steps]


async def test_a_method_of_the_workspace_is_a_tool_with_its_own_inputs(client: Client) -> None:
    (tool,) = await tools_with(client, "greet")
    result = await client.call_tool(tool.name, {"name": "Ann"})

    assert list(tool.input_schema["properties"])[0] == "name"
    assert output_of(result) == {"text": "Hello Ann"}


async def test_it_takes_a_failed_run_as_a_result_with_the_next_step(client: Client) -> None:
    await client.list_tools()
    result = await client.call_tool("execute", {"method": "greet.mthds", "inputs": {}})

    assert result.is_error
    assert "Next step:" in text_of(result)
    assert result.structured_content is not None
    assert result.structured_content["problem"]["code"] == "input.missing"


async def test_every_tool_passes_the_checks_it_makes_of_results(client: Client) -> None:
    run = await client.call_tool("execute", {"method": "greet.mthds", "inputs": {"name": "Ann"}})
    assert run.structured_content is not None
    named = {"run_id": run.structured_content["pipeline_run_id"]}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("validate", {"method": "greet.mthds"}),
        ("run_status", named),
        ("run_result", named),
        ("cancel_run", named),
        ("list_runs", {}),
        ("list_methods", {}),
        ("inputs_template", {"method": "greet.mthds"}),
    ]

    failed = [name for name, arguments in calls if (await client.call_tool(name, arguments)).is_error]

    assert failed == []


async def test_it_reads_resources_and_completes_names(client: Client) -> None:
    listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
    templates = [found.uri_template for found in (await client.list_resource_templates()).resource_templates]
    (contents,) = (await client.read_resource("mthds://methods/greet.mthds")).contents
    by_prompt = await client.complete(PromptReference(name="run_method"), {"name": "method", "value": "gr"})
    by_template = await client.complete(
        ResourceTemplateReference(uri="mthds://methods/{name}"), {"name": "name", "value": "ch"}
    )

    assert "mthds://methods/greet.mthds" in listed
    assert "mthds://runs/{id}" in templates
    assert isinstance(contents, TextResourceContents)
    assert "Hello {{ name }}" in contents.text
    assert by_prompt.completion.values == ["greet.mthds"]
    assert by_template.completion.values == ["chain.mthds"]


async def test_it_is_told_of_what_there_is_not(client: Client) -> None:
    with pytest.raises(MCPError) as no_resource:
        await client.read_resource("mthds://methods/nowhere.mthds")
    with pytest.raises(MCPError) as no_prompt:
        await client.get_prompt("nothing", {})

    assert no_resource.value.code == (-32602 if client.protocol_version == MODERN else -32002)
    assert no_prompt.value.code == -32602


async def test_a_call_that_it_gives_up_stops_the_run(connection: tuple[Client, Spawned]) -> None:
    client, spawned = connection
    arguments = {"method": "waiting", "inputs": {"word": "through"}, "run_id": "given-up"}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call_tool, "execute", arguments)
        await wait_for(anyio.Path(spawned.gate.begun))
        tasks.cancel_scope.cancel()
    result = await client.call_tool("run_result", {"run_id": "given-up", "wait_s": 50})

    assert result.structured_content is not None
    assert result.structured_content["problem"]["code"] == "run.cancelled"


@pytest.mark.filterwarnings("ignore:The logging capability is deprecated")
@pytest.mark.parametrize(("mode", "version"), [("legacy", LATEST_LEGACY), (MODERN, MODERN)])
async def test_it_is_given_the_logs_it_asks_for(spawned: Spawned, mode: str, version: str) -> None:
    logged: list[LoggingMessageNotificationParams] = []

    async def log(params: LoggingMessageNotificationParams) -> None:
        logged.append(params)

    async with connected(spawned, mode, logging_callback=log, log_level="info") as client:
        if version == LATEST_LEGACY:
            await client.set_logging_level("info")
        await client.call_tool("execute", {"method": "greet.mthds", "inputs": {"name": "Ann"}})

    assert {params.level for params in logged} == {"info"}
    assert "greeting.greet" in [params.data.get("pipe") for params in logged]


async def test_it_listens_for_changes_of_the_tools(spawned: Spawned) -> None:
    async with connected(spawned, MODERN) as client, client.listen(tools_list_changed=True) as changes:
        text = (spawned.workspace / "greet.mthds").read_text()
        (spawned.workspace / "again.mthds").write_text(text)
        await anext(changes)
        found = await tools_with(client, "again")

    assert len(found) == 1
