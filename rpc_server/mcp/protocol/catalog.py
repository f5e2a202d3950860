"""Everything that is offered, ours first, then the plugins'."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from orchestrators.plugins.mcp_features import Exchange, Features, McpFault
from rpc_server.wire.errors import INVALID_PARAMS
from schemas.json_types import Json

logger = logging.getLogger(__name__)


async def listed(family: Callable[[], Awaitable[list[Json]]]) -> list[Json]:
    """What a family lists. One that fails is logged, and leaves the others' lists whole."""
    try:
        return await family()
    except Exception:
        logger.exception("some features cannot be listed")
        return []


class Catalog:
    """The families of features as one. Of two things with one name the first family's counts."""

    def __init__(self, families: Sequence[Features]) -> None:
        self._families = families

    async def tools(self) -> list[Json]:
        # The last first: `list_methods` tells how many methods the tools of the methods left out.
        lists = [await listed(family.tools) for family in reversed(self._families)]
        found: dict[str, Json] = {}
        for tool in (tool for tools in reversed(lists) for tool in tools):
            found.setdefault(tool["name"], tool)
        return list(found.values())

    async def call_tool(self, name: str, arguments: Json, exchange: Exchange) -> Json | None:
        """The result; None where no family has the tool."""
        for family in self._families:
            result = await family.call_tool(name, arguments, exchange)
            if result is not None:
                return result
        return None

    async def resources(self) -> list[Json]:
        return [resource for family in self._families for resource in await listed(family.resources)]

    async def resource_templates(self) -> list[Json]:
        return [template for family in self._families for template in await listed(family.resource_templates)]

    async def read_resource(self, uri: str) -> list[Json] | None:
        """The contents; None where no family has the resource."""
        for family in self._families:
            contents = await family.read_resource(uri)
            if contents is not None:
                return contents
        return None

    async def prompts(self) -> list[Json]:
        return [prompt for family in self._families for prompt in await listed(family.prompts)]

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> Json | None:
        """The prompt; None where no family has it."""
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
