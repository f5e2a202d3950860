"""What the MCP methods do, once the services are there: the late half of the face."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.calls.errors import ErrorMapping, to_rpc_error
from rpc_server.mcp.protocol.caller import Caller
from rpc_server.mcp.protocol.catalog import Catalog
from rpc_server.mcp.protocol.paging import page
from rpc_server.mcp.protocol.params import optional_object, optional_text, required_object, required_text
from rpc_server.mcp.protocol.request import exchange_of
from rpc_server.mcp.protocol.revisions import LATEST_LEGACY, RESOURCE_NOT_FOUND_LEGACY
from rpc_server.mcp.protocol.subscriptions import Subscriptions
from rpc_server.mcp.protocol.tool_results import problem_result
from rpc_server.redaction import Redactor
from rpc_server.wire.dispatch import Call
from rpc_server.wire.errors import INVALID_PARAMS, METHOD_NOT_FOUND, shortened
from rpc_server.wire.json_text import JsonFault, parse
from schemas.json_types import Json
from schemas.shown_text import is_fit

Method = Callable[[Call, Caller, Json], Awaitable[Json]]

_TOOLS_PAGE = 500
"""Some hosts read one page only."""
_PAGE = 200
_MOST_COMPLETIONS = 100
_LIST_TTL_MS = 5_000
_TEMPLATES_TTL_MS = 3_600_000
_DEPTH = 64


class TaskRequests(Protocol):
    """Answers the `tasks/*` requests of both eras."""

    async def get(self, call: Call, caller: Caller, params: Json, /) -> Json: ...

    async def result(self, call: Call, caller: Caller, params: Json, /) -> Json: ...

    async def cancel(self, call: Call, caller: Caller, params: Json, /) -> Json: ...

    async def update(self, call: Call, caller: Caller, params: Json, /) -> Json: ...

    async def list(self, call: Call, caller: Caller, params: Json, /) -> Json: ...


class McpServer:
    """Serves one peer's MCP requests."""

    def __init__(
        self, catalog: Catalog, subscriptions: Subscriptions, tasks: TaskRequests, failures: "Failures"
    ) -> None:
        self._catalog = catalog
        self._subscriptions = subscriptions
        self._failures = failures
        self._methods: dict[str, Method] = {
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "resources/list": self._list_resources,
            "resources/templates/list": self._list_templates,
            "resources/read": self._read_resource,
            "resources/subscribe": lambda call, caller, params: subscriptions.subscribe(params),
            "resources/unsubscribe": lambda call, caller, params: subscriptions.unsubscribe(params),
            "subscriptions/listen": subscriptions.listen,
            "prompts/list": self._list_prompts,
            "prompts/get": self._get_prompt,
            "completion/complete": self._complete,
            "tasks/get": tasks.get,
            "tasks/result": tasks.result,
            "tasks/cancel": tasks.cancel,
            "tasks/update": tasks.update,
            "tasks/list": tasks.list,
        }

    async def serve(self, name: str, call: Call, caller: Caller, params: Json) -> Json:
        """The result of a request. Raises `McpFault`, or what a feature raised."""
        return await self._methods[name](call, caller, params)

    async def _list_tools(self, call: Call, caller: Caller, params: Json) -> Json:
        tools = await self._catalog.tools()
        if caller.is_modern:
            tools = [_without(tool, "execution") for tool in tools]
        return _cached(page(tools, params, _TOOLS_PAGE, "tools"), _LIST_TTL_MS, caller)

    async def _call_tool(self, call: Call, caller: Caller, params: Json) -> Json:
        name = required_text(params, "name")
        exchange = exchange_of(call, caller, _task(caller, params))
        if exchange.task is not None and not await self._may_be_a_task(name):
            raise McpFault(METHOD_NOT_FOUND, f"The tool `{shortened(name)}` cannot be run as a task.")
        try:
            result = await self._catalog.call_tool(name, _arguments(params), exchange)
        except McpFault:
            raise
        except Exception as error:  # noqa: BLE001 - each exception becomes the tool's result
            return self._failures.result(error, caller)
        if result is None:
            raise McpFault(INVALID_PARAMS, f"Unknown tool: {shortened(name)}")
        return result

    async def _may_be_a_task(self, name: str) -> bool:
        tool: Json = next((tool for tool in await self._catalog.tools() if tool["name"] == name), {})
        return tool.get("execution", {}).get("taskSupport") in ("optional", "required")

    async def _list_resources(self, call: Call, caller: Caller, params: Json) -> Json:
        return _cached(page(await self._catalog.resources(), params, _PAGE, "resources"), _LIST_TTL_MS, caller)

    async def _list_templates(self, call: Call, caller: Caller, params: Json) -> Json:
        templates = await self._catalog.resource_templates()
        return _cached(page(templates, params, _PAGE, "resourceTemplates"), _TEMPLATES_TTL_MS, caller)

    async def _read_resource(self, call: Call, caller: Caller, params: Json) -> Json:
        uri = required_text(params, "uri")
        contents = await self._catalog.read_resource(uri)
        if contents is None:
            code = INVALID_PARAMS if caller.is_modern else RESOURCE_NOT_FOUND_LEGACY
            raise McpFault(code, "Resource not found", {"uri": uri})
        return _cached({"contents": contents}, 0, caller)

    async def _list_prompts(self, call: Call, caller: Caller, params: Json) -> Json:
        return _cached(page(await self._catalog.prompts(), params, _PAGE, "prompts"), _LIST_TTL_MS, caller)

    async def _get_prompt(self, call: Call, caller: Caller, params: Json) -> Json:
        name = required_text(params, "name")
        arguments = optional_object(params, "arguments")
        prompt = await self._catalog.get_prompt(name, _texts(arguments))
        if prompt is None:
            raise McpFault(INVALID_PARAMS, f"Unknown prompt: {shortened(name)}")
        return prompt

    async def _complete(self, call: Call, caller: Caller, params: Json) -> Json:
        ref, argument = required_object(params, "ref"), required_object(params, "argument")
        given = _texts(optional_object(optional_object(params, "context"), "arguments"))
        required_text(ref, "type")
        for name in ("name", "uri"):
            optional_text(ref, name)
        name, value = required_text(argument, "name"), required_text(argument, "value")
        # A name that cannot be shown as it is cannot be chosen.
        found = [text for text in await self._catalog.complete(ref, name, value, given) if is_fit(text)]
        values = found[:_MOST_COMPLETIONS]
        return {"completion": {"values": values, "total": len(found), "hasMore": len(found) > len(values)}}


class Failures:
    """What a call that failed is answered with."""

    def __init__(self, mapping: ErrorMapping, redactor: Redactor, limit: int) -> None:
        self._mapping = mapping
        self._redactor = redactor
        self._limit = limit

    def result(self, error: Exception, caller: Caller) -> Json:
        """The `CallToolResult` of a tool that raised. Raises `McpFault` where the revision wants a protocol error."""
        rpc_error = to_rpc_error(error, self._mapping)
        problem = rpc_error["data"]
        if problem["code"] == "request.invalid" and caller.version < LATEST_LEGACY:
            # Since 2025-11-25 wrong arguments are the tool's result, so that the model sees them (SEP-1303).
            raise McpFault(INVALID_PARAMS, rpc_error["message"], problem)
        return problem_result(self._redactor.json(problem), self._limit)


def _texts(arguments: Json) -> dict[str, str]:
    """The arguments of a prompt or a template. Raises `McpFault` for one that is no string."""
    if not all(isinstance(value, str) for value in arguments.values()):
        raise McpFault(INVALID_PARAMS, "The arguments of a prompt or a resource template must be strings.")
    return arguments


def _task(caller: Caller, params: Json) -> Json | None:
    """The task that a caller of 2025-11-25 wants in place of the result; any other era ignores the member."""
    if caller.version != LATEST_LEGACY or params.get("task") is None:
        return None
    return optional_object(params, "task")


def _arguments(params: Json) -> Json:
    """The arguments of a tool; some hosts send them as a JSON text."""
    given = params.get("arguments")
    if isinstance(given, str):
        try:
            given = parse(given.encode(), _DEPTH)
        except (JsonFault, UnicodeEncodeError):
            given = None
    return optional_object({"arguments": given} if isinstance(given, dict) else params, "arguments")


def _cached(result: Json, ttl_ms: int, caller: Caller) -> Json:
    """A result with how long it may be kept, in the era that wants it (2026-07-28, "Caching")."""
    return {**result, "ttlMs": ttl_ms, "cacheScope": "private"} if caller.is_modern else result


def _without(tool: Json, name: str) -> Json:
    return {key: value for key, value in tool.items() if key != name}
