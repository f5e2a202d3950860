"""Every method of the workspace as a tool of its own."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cache
from typing import Any

from orchestrators.plugins.mcp_features import Exchange, Features
from rpc_server.calls.services import Services
from rpc_server.mcp.tools.arguments import fitted
from rpc_server.mcp.tools.method_index import (
    CACHE_VERSION,
    IndexedMethod,
    IndexLimits,
    MethodIndex,
    signatures_of,
)
from rpc_server.mcp.tools.method_roots import method_roots
from rpc_server.mcp.tools.run_results import PAGE_URI
from rpc_server.mcp.tools.signature_cache import SignatureCache
from rpc_server.mcp.tools.tool_schemas import MAX_DESCRIPTION, shortened, with_original_keys
from rpc_server.mcp.tools.tool_specs import output_schema
from rpc_server.workspace.scan import ScanBounds
from schemas.json_types import Json
from schemas.problem import ProblemError
from schemas.runs import RunResult
from schemas.shown_text import fit_line

RunMethod = Callable[[str, Json, Exchange], Awaitable[Json]]
"""Takes the path of a method, its inputs, and the exchange; gives the `CallToolResult`."""

_URL = re.compile(r"(?!file:)[a-zA-Z][a-zA-Z0-9+.-]+:")


class MethodTools(Features):
    """The tools over an index of methods."""

    def __init__(self, index: MethodIndex, run: RunMethod, *, most: int, wait_s: float) -> None:
        """`most` is how many tools are listed; `wait_s`, in seconds, is how long a list waits for methods it does not
        know yet."""
        self.index = index
        self._run = run
        self._most = most
        self._wait_s = wait_s
        self._listed: tuple[IndexedMethod, ...] | None = None
        self._definitions: list[Json] = []
        self.omitted = 0
        """How many methods the last list left out because there are too many."""

    async def tools(self) -> list[Json]:
        """The first `most` methods by the names of their tools; the same objects as long as nothing changes."""
        methods = await self.index.current(self._wait_s)
        if methods is not self._listed:
            self._definitions = [definition_of(method) for method in methods[: self._most]]
            self._listed = methods
            self.omitted = max(0, len(methods) - self._most)
        return self._definitions

    async def call_tool(self, name: str, arguments: Json, exchange: Exchange) -> Json | None:
        """Run the method. Any method can be called, whether it is listed or not.

        Raises `ProblemError` coded `input.*` for arguments that do not fit, and as the run does.
        """
        method = self.index.named(name)
        if method is None:
            method = await self._refreshed(name)
            if method is None:
                return None
        try:
            inputs = inputs_of(method, arguments)
        except ProblemError:
            # Its file may have changed since the last look.
            method = await self._refreshed(name)
            if method is None:
                return None
            inputs = inputs_of(method, arguments)
        return await self._run(method.path, inputs, exchange)

    async def _refreshed(self, name: str) -> IndexedMethod | None:
        await self.index.current(self._wait_s)
        return self.index.named(name)


def open_method_tools(
    services: Services, run: RunMethod, reserved: Collection[str], changed: Callable[[], None]
) -> MethodTools:
    """The method tools of a server, as it is configured. They live as long as `services`, whose background they use.

    No tool takes one of the `reserved` names. `changed` is called when the methods have changed.
    """
    settings = services.settings
    index = MethodIndex(
        method_roots(settings, services.workspace),
        signatures_of(services.pool),
        SignatureCache(services.state_dir / "mcp" / "signatures", CACHE_VERSION),
        IndexLimits(scan=ScanBounds.of(settings.workspace)),
        services.left_running,
        changed=changed,
        reserved=reserved,
    )
    return MethodTools(index, run, most=settings.mcp.max_method_tools, wait_s=settings.mcp.list_wait_s)


def definition_of(method: IndexedMethod) -> Json:
    """The `Tool` of a method."""
    title = fit_line(method.title)
    return {
        "name": method.name,
        "title": title,
        "description": _description(method),
        "inputSchema": method.inputs,
        "outputSchema": _result_schema(method.output),
        "annotations": {
            "title": title,
            "readOnlyHint": False,
            "destructiveHint": False,
            "idempotentHint": False,
            "openWorldHint": True,
        },
        "execution": {"taskSupport": "optional"},
        "_meta": {"ui": {"resourceUri": PAGE_URI}, "ui/resourceUri": PAGE_URI},
    }


@cache
def _any_result_schema() -> Json:
    return output_schema(RunResult)


def _result_schema(output: Json) -> Json:
    whole = _any_result_schema()
    return {**whole, "properties": {**whole["properties"], "output": output}}


def inputs_of(method: IndexedMethod, arguments: Mapping[str, Any]) -> Json:
    """The inputs of a run from the arguments of a call. Raises `ProblemError` coded `input.*`."""
    signature = method.signature
    inputs: Json = with_original_keys(_fitted(method, arguments), method.original_keys)
    for name in signature.file_inputs:
        if name in inputs:
            inputs[name] = _files(inputs[name])
    for name, concept in signature.envelopes.items():
        if name in inputs:
            inputs[name] = {"concept": concept, "content": inputs[name]}
    return inputs


def _fitted(method: IndexedMethod, arguments: Mapping[str, Any]) -> Json:
    """A file may also be given as the object that a run takes, `{path}` or `{url}`, which its schema does not say."""
    legal = {original: key for key, original in method.original_keys.items()}
    files = {legal.get(name, name) for name in method.signature.file_inputs}
    objects = {name: value for name, value in arguments.items() if name in files and _holds_objects(value)}
    stand_ins = {name: [""] if isinstance(value, list) else "" for name, value in objects.items()}
    return {**fitted({**arguments, **stand_ins}, method.inputs), **objects}


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _files(value: Any) -> Any:
    if isinstance(value, list):
        return [_files(item) for item in value]
    if not isinstance(value, str):
        return value
    return {"url": value} if _URL.match(value) else {"path": value}


def _description(method: IndexedMethod) -> str:
    """What it does, which method it is, and last what comes back; the last is never cut."""
    signature = method.signature
    sentences = dict.fromkeys(_sentence(text) for text in (signature.description, method.about) if text)
    concept = signature.output_concept.rsplit(".", 1)[-1]
    what = f": {_line(signature.output_description)}" if signature.output_description else ""
    plural = "a list, in `output.items`, of " if concept.endswith("]") else ""
    returns = shortened(f"Returns {plural}`{concept}`{what}", MAX_DESCRIPTION // 2)
    last = f"Runs the AI method `{_line(method.path)}`. {_sentence(returns)}"
    return f"{shortened(' '.join(sentences), MAX_DESCRIPTION - len(last) - 1)} {last}".strip()


def _line(text: str) -> str:
    return fit_line(text[: 4 * MAX_DESCRIPTION], None)


def _sentence(text: str) -> str:
    plain = _line(text)
    return plain if plain.endswith((".", "!", "?", "…")) else f"{plain}."
