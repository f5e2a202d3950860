"""The nine tools that every workspace has."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orchestrators.features import Exchange, Features
from rpc_server.binding import bind
from rpc_server.mcp.exchange import ServedExchange
from rpc_server.mcp.picture import picture_of
from rpc_server.mcp.portable import portable_input, portable_output
from rpc_server.mcp.revisions import UI_EXTENSION
from rpc_server.mcp.run_results import PAGE_URI, PICTURE_KEY, RunResults
from rpc_server.mcp.runs import McpRuns
from rpc_server.mcp.tool_results import bounded, tool_result
from rpc_server.methods import runs, workspace_methods
from rpc_server.methods.services import Services
from rpc_server.methods.validate import validate
from schemas.params import (
    ExecuteParams,
    InputsParams,
    MethodsListParams,
    RunRef,
    RunResultParams,
    RunsListParams,
    StartParams,
    ValidateParams,
)
from schemas.problem import Problem
from schemas.results import InputsTemplate, MethodEntry, MethodsPage
from schemas.runs import RunPage, RunRecord, RunResult, StartAck
from schemas.validation import ValidationVerdict

if TYPE_CHECKING:
    from rpc_server.mcp.method_tools import MethodTools


class ListedMethod(MethodEntry):
    """A method, and the tool that runs it, where it has one of its own."""

    tool: str | None = None


class ListedMethods(MethodsPage):
    """What `list_methods` answers."""

    methods: list[ListedMethod]  # type: ignore[assignment]


Json = dict[str, Any]
Handler = Callable[[Any, ServedExchange], Awaitable[Json]]

_METHOD = ("method", "files", "pipe_code")
_RUN = (*_METHOD, "inputs", "run_mode", "include", "timeout_s", "run_id", "orchestration_mode")
_MOST_LISTED = 100
_VERDICT_MEMBERS = (
    "is_valid",
    "errors",
    "warnings",
    "is_runnable",
    "pending_signatures",
    "message",
    "method_root",
    "validated_pipes",
)
_NEXT_CALL = {
    "type": "object",
    "description": "The tool to call next, and its arguments.",
    "properties": {"tool": {"type": "string"}, "arguments": {"type": "object"}},
}
_OMITTED = " {} more methods are no tools of their own, since there are too many: run them by path with `execute`."
_SHORT: Json = {
    "Problem": {"type": "object", "description": "Why it failed; `next_step` says what to change."},
    "ProblemItem": {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "location": {"type": "object", "description": "`file`, and one-based `line` and `column`."},
        },
    },
    "Usage": {"type": "object", "description": "Tokens and cost; `cost_usd` is null where no price is known."},
}
"""What a model needs to know of the larger shapes."""
_LEFT_OUT: Json = {
    "left_out": {
        "type": "array",
        "items": {"type": "string"},
        "description": "What was too large to be shown here.",
    },
    "output_preview": {"type": "string", "description": "The beginning of an output that was left out."},
    "resource": {"type": "string", "description": "The resource that holds what was left out."},
    "message": {"type": "string"},
    "problem": {"type": "object", "description": "Why the call failed; `next_step` says what to change."},
    "next_call": _NEXT_CALL,
}


@dataclass(frozen=True)
class _Tool:
    """One tool: what it takes, what it gives, and who serves it."""

    name: str
    title: str
    description: str
    params: type[BaseModel]
    arguments: tuple[str, ...]
    """The params that a model is offered; any other is taken all the same."""
    result: type[BaseModel]
    handler: Handler
    reads_only: bool = True
    is_task: bool = False
    is_drawn: bool = False


class RunTools(Features):
    """The tools over the methods of the plain side."""

    method_tools: "MethodTools | None" = None
    """The methods' own tools, of which `list_methods` tells; set by who opens both."""

    def __init__(self, services: Services, runs_of: McpRuns, results: RunResults) -> None:
        self._services = services
        self._runs = runs_of
        self._results = results
        self._limit = services.settings.mcp.inline_bytes
        self._tools = {tool.name: tool for tool in self._table()}
        self._definitions: list[Json] = []

    @property
    def names(self) -> list[str]:
        return list(self._tools)

    async def tools(self) -> list[Json]:
        if not self._definitions:
            self._definitions = [_definition(tool) for tool in self._tools.values()]
        omitted = self.method_tools.omitted if self.method_tools is not None else 0
        if not omitted:
            return self._definitions
        note = _OMITTED.format(omitted)
        return [
            {**tool, "description": tool["description"] + note} if tool["name"] == "list_methods" else tool
            for tool in self._definitions
        ]

    async def call_tool(self, name: str, arguments: Json, exchange: Exchange) -> Json | None:
        tool = self._tools.get(name)
        if tool is None:
            return None
        assert isinstance(exchange, ServedExchange)
        return await tool.handler(bind(tool.params, (), arguments), exchange)

    async def _validate(self, params: ValidateParams, exchange: ServedExchange) -> Json:
        draws = exchange.caller.has_extension(UI_EXTENSION)
        asked = params.model_copy(update={"include": ["graph"]}) if draws else params
        verdict = await validate(self._services, exchange.call, asked)
        meta = None
        if draws:
            title = params.method or "method"
            meta = {PICTURE_KEY: picture_of(verdict.get("graph_spec"), (), title=title, run_id=None, state=None)}
        members = (*_VERDICT_MEMBERS, *(("graph_spec",) if params.include else ()))
        answer = {name: verdict[name] for name in members if name in verdict}
        answer = bounded(answer, self._limit, ("graph_spec", "validated_pipes", "pending_signatures"))
        return tool_result(_fewer(answer, "errors", self._limit), meta=meta)

    async def _status(self, params: RunRef, exchange: ServedExchange) -> Json:
        record = await runs.get(self._services, exchange.call, params)
        return await self._results.of_record(record, exchange.caller)

    async def _result(self, params: RunResultParams, exchange: ServedExchange) -> Json:
        return await self._runs.result(params, exchange)

    async def _cancel(self, params: RunRef, exchange: ServedExchange) -> Json:
        record = await runs.cancel(self._services, exchange.call, params)
        return await self._results.of_record(record, exchange.caller)

    async def _list_runs(self, params: RunsListParams, exchange: ServedExchange) -> Json:
        async def page(limit: int) -> Json:
            asked = params.model_copy(update={"limit": limit})
            answer: Json = await runs.list_runs(self._services, exchange.call, asked)
            return answer

        return await self._page(page, params.limit)

    async def _list_methods(self, params: MethodsListParams, exchange: ServedExchange) -> Json:
        async def page(limit: int) -> Json:
            asked = params.model_copy(update={"limit": limit})
            answer: Json = await workspace_methods.list_methods(self._services, exchange.call, asked)
            return {**answer, "methods": await self._with_tools(answer["methods"])}

        return await self._page(page, params.limit)

    async def _with_tools(self, methods: list[Json]) -> list[Json]:
        """The methods, each with the name of its tool, or with why it has none."""
        if self.method_tools is None:
            return methods
        index = self.method_tools.index
        names = {method.path: method.name for method in await index.current(0)}
        problems = dict(index.problems)
        return [_told(method, names, problems) for method in methods]

    async def _page(self, page: Callable[[int], Awaitable[Json]], limit: int) -> Json:
        """The longest page that fits."""
        limit = min(limit, _MOST_LISTED)
        while True:
            result = tool_result(await page(limit))
            if limit == 1 or len(result["content"][0]["text"].encode()) <= self._limit:
                return result
            limit //= 2

    async def _inputs(self, params: InputsParams, exchange: ServedExchange) -> Json:
        template = await workspace_methods.inputs(self._services, exchange.call, params)
        return tool_result(bounded(template, self._limit, ("toml", "schema")))

    def _table(self) -> list[_Tool]:
        return [
            _Tool(
                name="execute",
                title="Run a method",
                description=(
                    "Run an MTHDS method and wait for its result. A method is a `.mthds` file, or a folder of them, "
                    "that says step by step what AI models do with typed inputs. Name it by its path in the workspace; "
                    'do not paste it. Example: {"method": "methods/invoice_triage", "inputs": {"invoice": '
                    '"ACME, 120 EUR, due 2026-01-31"}}. `inputs_template` shows the inputs a method takes; a '
                    'document or an image is given as {"path": "scans/page.pdf"}. `run_mode`: "dry" tries the '
                    "method without calling any model. The result is in `output`. A run that takes long is answered "
                    "with its `pipeline_run_id` and `next_call`; it goes on meanwhile."
                ),
                params=ExecuteParams,
                arguments=(*_RUN, "wait_s"),
                result=RunResult,
                handler=self._runs.execute,
                reads_only=False,
                is_task=True,
                is_drawn=True,
            ),
            _Tool(
                name="start",
                title="Start a method",
                description=(
                    "Start an MTHDS method and return at once with its `pipeline_run_id`; the run goes on, even if "
                    "this server ends. Only where runs are kept (orchestration mode `dbos` or another durable one); "
                    'elsewhere call `execute` with a small `wait_s`. Takes what `execute` takes. Example: {"method": '
                    '"methods/invoice_triage", "inputs": {"invoice": "…"}}. Then call `run_result`.'
                ),
                params=StartParams,
                arguments=_RUN,
                result=StartAck,
                handler=self._runs.start,
                reads_only=False,
                is_task=True,
                is_drawn=True,
            ),
            _Tool(
                name="validate",
                title="Check a method",
                description=(
                    "Judge an MTHDS method without running it: syntax, types, and how its steps fit together. Call it "
                    "after each change of a `.mthds` file. `is_valid` is the verdict; each of `errors` says what is "
                    'wrong, with file, line and column. Example: {"method": "methods/invoice_triage"}, or, for a '
                    'text that is not saved yet, {"files": {"draft.mthds": "domain = …"}}.'
                ),
                params=ValidateParams,
                arguments=("method", "files", "allow_signatures", "include", "graph_pipe_code", "orchestration_mode"),
                result=ValidationVerdict,
                handler=self._validate,
                is_drawn=True,
            ),
            _Tool(
                name="run_status",
                title="How a run stands",
                description=(
                    "Say how a run stands: its state (QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED, TIMED_OUT), its "
                    'times and, if it failed, why. Does not wait. Example: {"run_id": "4f1c…"}, the '
                    "`pipeline_run_id` of an earlier answer."
                ),
                params=RunRef,
                arguments=("run_id", "orchestration_mode"),
                result=RunRecord,
                handler=self._status,
                is_drawn=True,
            ),
            _Tool(
                name="run_result",
                title="The result of a run",
                description=(
                    "Give the result of a run, waiting up to `wait_s` seconds for it. A run that still goes on then is "
                    'no error: the answer says so, and to call again. Example: {"run_id": "4f1c…", "wait_s": 50}.'
                ),
                params=RunResultParams,
                arguments=("run_id", "wait_s", "orchestration_mode"),
                result=RunResult,
                handler=self._result,
                is_drawn=True,
            ),
            _Tool(
                name="cancel_run",
                title="Stop a run",
                description=(
                    "Stop a run, so that it calls no further model. A run that has ended stays as it is. Example: "
                    '{"run_id": "4f1c…"}.'
                ),
                params=RunRef,
                arguments=("run_id", "orchestration_mode"),
                result=RunRecord,
                handler=self._cancel,
                reads_only=False,
                is_drawn=True,
            ),
            _Tool(
                name="list_runs",
                title="List runs",
                description=(
                    "List runs, newest first, with their states. `next_cursor` is there while more follow. Example: "
                    '{"state": "FAILED", "limit": 10}.'
                ),
                params=RunsListParams,
                arguments=("state", "method", "since", "cursor", "limit", "orchestration_mode"),
                result=RunPage,
                handler=self._list_runs,
            ),
            _Tool(
                name="list_methods",
                title="List methods",
                description=(
                    "List the methods of the workspace: the `path` to give to `execute`, name, description, the name "
                    "of the `tool` that runs it, and for one that cannot be run, the `problem`. Example: {}."
                ),
                params=MethodsListParams,
                arguments=("cursor", "limit"),
                result=ListedMethods,
                handler=self._list_methods,
            ),
            _Tool(
                name="inputs_template",
                title="The inputs of a method",
                description=(
                    "Give the inputs that a method takes: `json` is a form to fill in and pass to `execute` as "
                    '`inputs`, `schema` says what each may hold. Example: {"method": "methods/invoice_triage"}.'
                ),
                params=InputsParams,
                arguments=_METHOD,
                result=InputsTemplate,
                handler=self._inputs,
            ),
        ]


def _told(method: Json, names: Mapping[str, str], problems: Mapping[str, Problem]) -> Json:
    path = method["path"]
    if path in names:
        return {**method, "tool": names[path]}
    return {"problem": problems[path].to_wire(), **method} if path in problems else method


def _definition(tool: _Tool) -> Json:
    """The `Tool` on the wire."""
    definition: Json = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": _input_schema(tool),
        "outputSchema": output_schema(tool.result),
        "annotations": {
            "title": tool.title,
            "readOnlyHint": tool.reads_only,
            "destructiveHint": tool.name == "cancel_run",
            "idempotentHint": tool.reads_only or tool.name == "cancel_run",
            "openWorldHint": tool.is_task,
        },
    }
    if tool.is_task:
        definition["execution"] = {"taskSupport": "optional"}
    if tool.is_drawn:
        definition["_meta"] = {"ui": {"resourceUri": PAGE_URI}, "ui/resourceUri": PAGE_URI}
    return definition


def _input_schema(tool: _Tool) -> Json:
    whole = tool.params.model_json_schema(by_alias=True)
    properties = {name: whole["properties"][name] for name in tool.arguments if name in whole["properties"]}
    required = [name for name in whole.get("required", []) if name in properties]
    return portable_input({**whole, "properties": properties, "required": required})[0]


def output_schema(result: type[BaseModel], output: Json | None = None) -> Json:
    """What a tool answers, as a model's JSON Schema; `output` is the schema of a run's own output, where it is known.

    Nothing is required: an answer may be that the run goes on, or a problem.
    """
    whole = result.model_json_schema(mode="serialization", by_alias=True)
    whole["$defs"] = {**whole.get("$defs", {}), **_SHORT}
    schema = portable_output(whole)
    properties = {**schema.get("properties", {}), **_LEFT_OUT}
    if output is not None:
        properties["output"] = output
    schema = {name: value for name, value in schema.items() if name != "required"}
    return {**schema, "properties": properties}


def _fewer(answer: Json, name: str, limit: int) -> Json:
    """As many of the items under `name` as fit."""
    kept = dict(answer)
    while kept.get(name) and len(tool_result(kept)["content"][0]["text"].encode()) > limit:
        kept[name] = kept[name][: len(kept[name]) // 2]
        kept["left_out"] = sorted({*kept.get("left_out", []), f"further {name}"})
    return kept
