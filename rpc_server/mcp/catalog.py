"""Everything that is offered, ours first, then the plugins'."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrators.features import Exchange, Features, McpFault
from rpc_server.errors import INVALID_PARAMS

Json = dict[str, Any]


class Catalog:
    """The families of features as one. Of two things with one name the first family's counts."""

    def __init__(self, families: Sequence[Features]) -> None:
        self._families = families

    async def tools(self) -> list[Json]:
        found = {tool["name"]: tool for family in reversed(self._families) for tool in reversed(await family.tools())}
        return list(reversed(found.values()))

    async def call_tool(self, name: str, arguments: Json, exchange: Exchange) -> Json | None:
        """The result; None where nobody has the tool."""
        for family in self._families:
            result = await family.call_tool(name, arguments, exchange)
            if result is not None:
                return result
        return None

    async def resources(self) -> list[Json]:
        return [resource for family in self._families for resource in await family.resources()]

    async def resource_templates(self) -> list[Json]:
        return [template for family in self._families for template in await family.resource_templates()]

    async def read_resource(self, uri: str) -> list[Json] | None:
        """The contents; None where nobody has the resource."""
        for family in self._families:
            contents = await family.read_resource(uri)
            if contents is not None:
                return contents
        return None

    async def prompts(self) -> list[Json]:
        return [prompt for family in self._families for prompt in await family.prompts()]

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> Json | None:
        """The prompt; None where nobody has it."""
        for family in self._families:
            prompt = await family.get_prompt(name, arguments)
            if prompt is not None:
                return prompt
        return None

    async def complete(self, ref: Mapping[str, Any], name: str, value: str, given: Mapping[str, str]) -> list[str]:
        """The completions. Raises `McpFault` for a reference to nothing."""
        for family in self._families:
            values = await family.complete(ref, name, value, given)
            if values is not None:
                return values
        raise McpFault(INVALID_PARAMS, "There is no such prompt or resource template to complete an argument of.")
