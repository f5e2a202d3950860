"""The nine tools that every workspace has."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrators.plugins.mcp_features import Exchange, Features
from rpc_server.calls import runs, workspace_calls
from rpc_server.calls.binding import bind
from rpc_server.calls.services import Services
from rpc_server.calls.validate import validate
from rpc_server.mcp.picture.drawing import picture_of
from rpc_server.mcp.protocol.request import ServedExchange
from rpc_server.mcp.protocol.revisions import UI_EXTENSION
from rpc_server.mcp.protocol.tool_results import bounded, tool_result
from rpc_server.mcp.tools.run_calls import RunCalls
from rpc_server.mcp.tools.run_results import PICTURE_KEY, RunResults
from rpc_server.mcp.tools.tool_schemas import MAX_DESCRIPTION
from rpc_server.mcp.tools.tool_specs import TOOLS, definition_of
from schemas.json_types import Json
from schemas.params import (
    InputsParams,
    MethodsListParams,
    RunRef,
    RunsListParams,
    ValidateParams,
)
from schemas.problem import Problem
from schemas.shown_text import fit, fit_line, fit_text

if TYPE_CHECKING:
    from rpc_server.mcp.tools.method_tools import MethodTools

Handler = Callable[[Any, ServedExchange], Awaitable[Json]]

_MOST_LISTED = 100
_PARAMS = {tool.name: tool.params for tool in TOOLS}
_OMITTED = " Not listed as tools, since there are too many: {} of the methods. Run those by path with `execute`."
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


class BuiltinTools(Features):
    """The tools over the methods of the plain side."""

    def __init__(self, services: Services, runs_of: RunCalls, results: RunResults, method_tools: "MethodTools") -> None:
        """`method_tools` are the methods' own tools, which `list_methods` names."""
        self._services = services
        self._method_tools = method_tools
        self._results = results
        self._limit = services.settings.mcp.inline_bytes
        self._definitions: list[Json] = []
        self._handlers: dict[str, Handler] = {
            "execute": runs_of.execute,
            "start": runs_of.start,
            "validate": self._validate,
            "run_status": self._status,
            "run_result": runs_of.result,
            "cancel_run": self._cancel,
            "list_runs": self._list_runs,
            "list_methods": self._list_methods,
            "inputs_template": self._inputs,
        }

    async def tools(self) -> list[Json]:
        if not self._definitions:
            self._definitions = [definition_of(tool) for tool in TOOLS]
        omitted = self._method_tools.omitted
        if not omitted:
            return self._definitions
        note = _OMITTED.format(omitted)
        return [
            {**tool, "description": tool["description"] + note} if tool["name"] == "list_methods" else tool
            for tool in self._definitions
        ]

    async def call_tool(self, name: str, arguments: Json, exchange: Exchange) -> Json | None:
        handler = self._handlers.get(name)
        if handler is None:
            return None
        assert isinstance(exchange, ServedExchange)
        return await handler(bind(_PARAMS[name], (), arguments), exchange)

    async def _validate(self, params: ValidateParams, exchange: ServedExchange) -> Json:
        draws = exchange.caller.has_extension(UI_EXTENSION)
        asked = params.model_copy(update={"include": ["graph"]}) if draws else params
        verdict = await validate(self._services, asked)
        meta = None
        if draws:
            title = params.method or "method"
            meta = {PICTURE_KEY: picture_of(verdict.get("graph_spec"), (), title=title, run_id=None, state=None)}
        members = (*_VERDICT_MEMBERS, *(("graph_spec",) if params.include else ()))
        answer = {name: verdict[name] for name in members if name in verdict}
        answer = bounded(fit(answer), self._limit, ("graph_spec", "validated_pipes", "pending_signatures"))
        return tool_result(_fewer(answer, "errors", self._limit), meta=meta)

    async def _status(self, params: RunRef, exchange: ServedExchange) -> Json:
        record = await runs.get(self._services, params)
        return await self._results.of_record(record, exchange.caller)

    async def _cancel(self, params: RunRef, exchange: ServedExchange) -> Json:
        record = await runs.cancel(self._services, params)
        return await self._results.of_record(record, exchange.caller)

    async def _list_runs(self, params: RunsListParams, exchange: ServedExchange) -> Json:
        async def page(limit: int) -> Json:
            asked = params.model_copy(update={"limit": limit})
            return dict(fit(await runs.list_runs(self._services, asked)))

        return await self._page(page, params.limit)

    async def _list_methods(self, params: MethodsListParams, exchange: ServedExchange) -> Json:
        async def page(limit: int) -> Json:
            asked = params.model_copy(update={"limit": limit})
            answer: Json = await workspace_calls.list_methods(self._services, asked)
            methods = await self._with_tools(answer["methods"])
            return {**answer, "methods": [_shown(method) for method in methods]}

        return await self._page(page, params.limit)

    async def _with_tools(self, methods: list[Json]) -> list[Json]:
        """The methods, each with the name of its tool, or with why it has none."""
        index = self._method_tools.index
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
        template = await workspace_calls.inputs(self._services, params)
        return tool_result(bounded(fit(template, None), self._limit, ("toml", "schema")))


def _shown(method: Json) -> Json:
    """The method's path stays as it is, since it is what a caller sends."""
    shown = {**fit(method), "name": fit_line(method["name"]), "path": method["path"]}
    if "description" in method:
        shown["description"] = fit_text(method["description"], MAX_DESCRIPTION)
    return shown


def _told(method: Json, names: Mapping[str, str], problems: Mapping[str, Problem]) -> Json:
    path = method["path"]
    if path in names:
        return {**method, "tool": names[path]}
    return {"problem": problems[path].to_wire(), **method} if path in problems else method


def _fewer(answer: Json, name: str, limit: int) -> Json:
    """As many of the items under `name` as fit."""
    kept = dict(answer)
    while kept.get(name) and len(tool_result(kept)["content"][0]["text"].encode()) > limit:
        kept[name] = kept[name][: len(kept[name]) // 2]
        kept["left_out"] = sorted({*kept.get("left_out", []), f"further {name}"})
    return kept
