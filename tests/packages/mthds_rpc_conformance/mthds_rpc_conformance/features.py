"""All of it as features. Two tools put something on a list and take it away again, so that clients see lists change."""

from collections.abc import Mapping
from typing import Any

from mthds_rpc_conformance import prompts, resources
from mthds_rpc_conformance.contents import text
from mthds_rpc_conformance.tools import NO_ARGUMENTS, TOOLS
from orchestrators.plugins.mcp_features import Exchange, Features, Kind, McpFault

INVALID_PARAMS = -32602
CHANGERS: dict[str, Kind] = {"test_trigger_tool_change": "tools", "test_trigger_prompt_change": "prompts"}
EXTRA_TOOL = "test_extra_tool"
EXTRA_PROMPT = "test_extra_prompt"
SUGGESTIONS = ["paris", "park", "party"]


class ConformanceFeatures(Features):
    """What the suite looks for."""

    def __init__(self) -> None:
        self._extended: set[Kind] = set()

    async def tools(self) -> list[dict[str, Any]]:
        schemas = {name: schema for name, (_, schema) in TOOLS.items()} | dict.fromkeys(CHANGERS, NO_ARGUMENTS)
        if "tools" in self._extended:
            schemas[EXTRA_TOOL] = NO_ARGUMENTS
        return [_tool(name, schema) for name, schema in schemas.items()]

    async def call_tool(self, name: str, arguments: dict[str, Any], exchange: Exchange) -> dict[str, Any] | None:
        if name in CHANGERS:
            return self._change(CHANGERS[name])
        if name not in TOOLS:
            return None
        call, _ = TOOLS[name]
        return await call(arguments, exchange)

    async def prompts(self) -> list[dict[str, Any]]:
        names = [*prompts.PARAMETERS, *([EXTRA_PROMPT] if "prompts" in self._extended else [])]
        return [prompts.definition(name) for name in names]

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> dict[str, Any] | None:
        if name not in prompts.PARAMETERS:
            return None
        missing = sorted(set(prompts.PARAMETERS[name]) - set(arguments))
        if missing:
            raise McpFault(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
        return {"messages": prompts.messages(name, arguments)}

    async def resources(self) -> list[dict[str, Any]]:
        return resources.definitions()

    async def resource_templates(self) -> list[dict[str, Any]]:
        return resources.templates()

    async def read_resource(self, uri: str) -> list[dict[str, Any]] | None:
        return resources.read(uri)

    async def complete(
        self, ref: Mapping[str, Any], name: str, value: str, given: Mapping[str, str]
    ) -> list[str] | None:
        if ref.get("name") != "test_prompt_with_arguments":
            return None
        return [suggestion for suggestion in SUGGESTIONS if suggestion.startswith(value)]

    def _change(self, kind: Kind) -> dict[str, Any]:
        self._extended ^= {kind}
        self.announce(kind)
        return {"content": [text(f"The list of {kind} has changed.")]}


def _tool(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    description = (TOOLS[name][0].__doc__ if name in TOOLS else None) or "Changes a list."
    return {"name": name, "description": description, "inputSchema": schema}
