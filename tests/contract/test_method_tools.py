"""Methods as tools, told by real engines: what a schema promises is what a run takes and gives."""

import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest

from orchestrators.engines.pool import EnginePool
from orchestrators.plugins.mcp_features import Exchange
from rpc_server.mcp.tools.arguments import example_of
from rpc_server.mcp.tools.method_index import IndexLimits, MethodIndex, signatures_of
from rpc_server.mcp.tools.method_roots import method_roots
from rpc_server.mcp.tools.method_tools import MethodTools
from rpc_server.mcp.tools.signature_cache import SignatureCache
from rpc_server.mcp.tools.tool_schemas import portable_input, portable_output
from rpc_server.settings.settings import Flags, Settings, load_settings
from rpc_server.workspace.scan import ScanBounds
from rpc_server.workspace.workspace import Workspace
from schemas.method_source import MethodSource
from schemas.params import MethodParams
from schemas.problem import ProblemError
from schemas.results import MethodSignature
from schemas.runs import RunEvent, RunRequest, RunResult
from tests.contract.test_inputs_template import EVERY_KIND
from tests.support.bundles import GREETING, SEQUENCE
from tests.support.corpus import ROOT as CORPUS
from tests.support.defaults import pool_settings

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
METHODS = sorted([*(CORPUS / "valid").glob("*/method"), *(path.parent for path in EXAMPLES.glob("*/*.mthds"))])
NO_TOOLS = {"no_main_pipe", "only_signatures", "package_manifest_broken"}
RUNNABLE = [path for path in METHODS if path.parent.name not in NO_TOOLS]
LONG = 60.0
PDF = "https://example.org/page.pdf"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EnginePool]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(home))
        environment.setenv("PIPELEX_HOME", str(home / ".pipelex"))
        async with EnginePool.open(pool_settings(home / "state", max_engines=1, allow_python=True)) as opened:
            yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "workspace").mkdir()
    return load_settings(Flags(workspace=tmp_path / "workspace"), environ={"PIPELEX_HOME": str(tmp_path / "home")})


Tools = Callable[..., AbstractAsyncContextManager[MethodTools]]


@pytest.fixture
def tools(pool: EnginePool, settings: Settings, tmp_path: Path) -> Tools:
    """Opens the tools of the workspace; a call dry-runs the method, and its result is the run's."""
    workspace = Workspace.of(settings)

    async def run(path: str, inputs: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        source = await workspace.method_source(MethodParams(method=path))
        result = await execute(pool, source, await workspace.inputs(inputs) or {})
        return {"structuredContent": result.model_dump(mode="json", exclude_none=True)}

    @asynccontextmanager
    async def opened(most: int = 60) -> AsyncIterator[MethodTools]:
        async with anyio.create_task_group() as tasks:
            index = MethodIndex(
                method_roots(settings, workspace),
                signatures_of(pool),
                SignatureCache(tmp_path / "cache", "1"),
                IndexLimits(scan=ScanBounds.of(settings.workspace)),
                tasks,
            )
            yield MethodTools(index, run, most=most, wait_s=LONG)
            tasks.cancel_scope.cancel()

    return opened


async def execute(pool: EnginePool, source: MethodSource, inputs: dict[str, Any], **more: Any) -> RunResult:
    fields = {"run_mode": "dry", **more}
    events = fields.pop("events", None)
    request = RunRequest(
        run_id="run-1", method=source, orchestration_mode="direct", inputs=inputs, created_at=time.time(), **fields
    )
    return await pool.execute(request, events)


async def signature(pool: EnginePool, source: MethodSource, pipe_code: str | None = None) -> MethodSignature:
    return await signatures_of(pool)(source, pipe_code)


def loose(bundle: str) -> MethodSource:
    return MethodSource(mthds_contents=[bundle], dependencies={})


def exchange() -> Exchange:
    return Exchange(
        version="2026-07-28",
        client_capabilities={},
        progress=lambda progress, total, message: None,
        log=lambda level, data: None,
        wants_progress=False,
    )


def installed(settings: Settings, method: Path) -> str:
    """A copy of a method in the workspace, with the packages it calls; gives the name of its folder."""
    assert settings.workspace_dir is not None
    name = method.parent.name if method.name == "method" else method.name
    shutil.copytree(method, settings.workspace_dir / name)
    if method.name == "method":
        for manifest in (method.parent / "dependencies").rglob("METHODS.toml"):
            store = settings.workspace_dir / name / ".mthds" / "methods"
            shutil.copytree(manifest.parent, store / manifest.parent.name)
    return name


@pytest.mark.parametrize("method", RUNNABLE, ids=lambda path: path.parent.name if path.name == "method" else path.name)
async def test_a_tool_takes_the_example_of_its_schema_and_returns_what_it_promises(
    tools: Tools, settings: Settings, method: Path
) -> None:
    installed(settings, method)
    async with tools() as methods:
        [tool] = await methods.tools()
        [indexed] = await methods.index.current(LONG)
        arguments = example_of(tool["inputSchema"])
        arguments |= dict.fromkeys(indexed.signature.file_inputs, PDF)

        result = await methods.call_tool(tool["name"], arguments, exchange())

    assert result is not None
    jsonschema.Draft202012Validator(tool["outputSchema"]).validate(result["structuredContent"])
    jsonschema.Draft202012Validator(indexed.signature.output).validate(result["structuredContent"]["output"])


async def test_every_kind_of_input_has_its_simplest_form(pool: EnginePool) -> None:
    told = await signature(pool, loose(EVERY_KIND))

    schema, _ = portable_input(told.inputs)
    kinds = {name: value["type"] for name, value in schema["properties"].items()}
    assert kinds == {
        "text": "string",
        "idea": "string",
        "remark": "string",
        "whole": "object",
        "wholes": "array",
        "pair": "array",
        "picture": "string",
        "number": "number",
        "answer": "boolean",
        "page": "object",
    }
    assert set(schema["properties"]) - set(schema["required"]) == {"remark"}
    assert schema["properties"]["idea"]["description"] == "A thought"
    assert schema["properties"]["wholes"]["items"]["properties"]["parts"]["items"]["required"] == ["count"]
    assert schema["properties"]["pair"]["items"]["type"] == "string"
    assert (told.file_inputs, told.envelopes) == (["picture"], {"page": "native.Page"})
    assert (told.pipe, told.output_concept) == ("forms.fill_in", "native.Text")


async def test_every_kind_of_input_is_taken_in_its_simplest_form(tools: Tools, settings: Settings) -> None:
    assert settings.workspace_dir is not None
    (settings.workspace_dir / "forms.mthds").write_text(EVERY_KIND)
    (settings.workspace_dir / "photo.png").write_bytes(b"\x89PNG")
    arguments = {
        "text": "a",
        "idea": "b",
        "whole": {"title": "t", "parts": [{"count": "3"}]},
        "wholes": '[{"title": "t"}]',
        "pair": ["a", "b"],
        "picture": "photo.png",
        "number": "2.5",
        "answer": "true",
        "page": {"text_and_images": {"text": {"text": "x"}}},
    }
    async with tools() as methods:
        await methods.tools()

        result = await methods.call_tool("forms_mthds", arguments, exchange())

    assert result is not None
    assert result["structuredContent"]["state"] == "COMPLETED"


async def test_a_pipe_is_told_of_by_its_code(pool: EnginePool) -> None:
    told = await signature(pool, loose(EVERY_KIND), "take_nothing")

    assert (told.pipe, told.inputs["properties"]) == ("forms.take_nothing", {})
    assert portable_output(told.output)["properties"]["text"]["type"] == "string"


async def test_methods_that_do_not_load_or_validate_are_left_out_with_their_faults_and_a_neighbour_stays(
    tools: Tools, settings: Settings
) -> None:
    assert settings.workspace_dir is not None
    (settings.workspace_dir / "good.mthds").write_text(GREETING)
    installed(settings, CORPUS / "invalid" / "construct_fields_wrong" / "method")
    (settings.workspace_dir / "bad.mthds").write_text(GREETING.replace("{{ name }}", "{{ nmae }}"))
    async with tools() as methods:
        listed = await methods.tools()

    assert [tool["name"] for tool in listed] == ["good_mthds"]
    faults = {path: problem.errors for path, problem in methods.index.problems if problem.code == "method.invalid"}
    assert faults.keys() == {"bad.mthds", "construct_fields_wrong"}
    assert all(found is not None and found[0].location is not None for found in faults.values())


async def test_python_that_is_not_allowed_leaves_its_method_out(settings: Settings, tmp_path: Path) -> None:
    installed(settings, EXAMPLES / "bank_statement")
    workspace = Workspace.of(settings)
    async with (
        EnginePool.open(pool_settings(tmp_path / "state")) as strict,
        anyio.create_task_group() as tasks,
    ):
        index = MethodIndex(
            method_roots(settings, workspace),
            signatures_of(strict),
            SignatureCache(tmp_path / "cache", "1"),
            IndexLimits(scan=ScanBounds.of(settings.workspace)),
            tasks,
        )

        assert await index.current(LONG) == ()

        [(path, problem)] = index.problems
        assert (path, problem.code) == ("bank_statement", "pipelex.deployment.custom_code_requires_sandbox")
        tasks.cancel_scope.cancel()


async def test_wrong_arguments_are_judged_by_the_method_as_it_is_on_disk(tools: Tools, settings: Settings) -> None:
    assert settings.workspace_dir is not None
    bundle = settings.workspace_dir / "greet.mthds"
    bundle.write_text(GREETING)
    async with tools() as methods:
        await methods.tools()
        with pytest.raises(ProblemError) as caught:
            await methods.call_tool("greet_mthds", {"title": "Dr", "name": "Ann"}, exchange())
        bundle.write_text(
            GREETING.replace('name = "Text"', 'name = "Text", title = "Text"').replace("Hello", "Hello {{ title }}")
        )

        result = await methods.call_tool("greet_mthds", {"title": "Dr", "name": "Ann"}, exchange())

    assert caught.value.problem.code == "input.unexpected"
    assert result is not None


async def test_more_methods_than_may_be_listed_can_still_be_called(tools: Tools, settings: Settings) -> None:
    assert settings.workspace_dir is not None
    for name in "abc":
        (settings.workspace_dir / f"{name}.mthds").write_text(GREETING)
    async with tools(most=2) as methods:
        listed = await methods.tools()
        again = await methods.tools()
        result = await methods.call_tool("c_mthds", {"name": "Ann"}, exchange())
        unknown = await methods.call_tool("d_mthds", {}, exchange())

    assert [tool["name"] for tool in listed] == ["a_mthds", "b_mthds"]
    assert methods.omitted == 1
    assert again is listed
    assert result is not None
    assert unknown is None


async def test_the_steps_of_a_run_are_told_from_its_first_event_on(pool: EnginePool) -> None:
    events: list[RunEvent] = []

    await execute(pool, loose(SEQUENCE), {"word": "a"}, run_mode="live", events=events.append)

    assert {event.total for event in events} == {4}
    assert events[-1].started == 4


async def test_the_steps_of_a_batch_count_one_item(pool: EnginePool, settings: Settings) -> None:
    events: list[RunEvent] = []
    installed(settings, CORPUS / "valid" / "batch_in_sequence" / "method")
    source = await Workspace.of(settings).method_source(MethodParams(method="batch_in_sequence"))
    told = await signature(pool, source)

    await execute(pool, source, example_of(portable_input(told.inputs)[0]), events=events.append)

    assert events[0].total == 3
