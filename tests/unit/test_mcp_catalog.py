"""Several families of features as one."""

from typing import Any

import pytest

from orchestrators.plugins.mcp_features import Features, McpFault
from rpc_server.mcp.protocol.catalog import Catalog

pytestmark = pytest.mark.anyio


class Named(Features):
    """Has a tool and a resource, each saying whose it is."""

    def __init__(self, owner: str, *names: str) -> None:
        self.owner = owner
        self.names = names

    async def tools(self) -> list[dict[str, Any]]:
        return [{"name": name, "title": self.owner} for name in self.names]

    async def resources(self) -> list[dict[str, Any]]:
        return [{"uri": f"x://{name}"} for name in self.names]


class Broken(Features):
    """Cannot list anything."""

    async def tools(self) -> list[dict[str, Any]]:
        raise RuntimeError("no tools today")

    async def resources(self) -> list[dict[str, Any]]:
        raise RuntimeError("no resources today")


async def test_of_two_tools_with_one_name_the_first_family_has_it_and_the_order_stays() -> None:
    tools = await Catalog([Named("first", "a", "b"), Named("second", "b", "c")]).tools()
    assert [(tool["name"], tool["title"]) for tool in tools] == [("a", "first"), ("b", "first"), ("c", "second")]


async def test_a_family_that_cannot_be_listed_leaves_the_others_lists_whole() -> None:
    catalog = Catalog([Named("first", "a"), Broken(), Named("second", "b")])
    assert [tool["name"] for tool in await catalog.tools()] == ["a", "b"]
    assert [resource["uri"] for resource in await catalog.resources()] == ["x://a", "x://b"]


async def test_what_nobody_has_is_told_so() -> None:
    catalog = Catalog([Named("first", "a")])
    assert await catalog.read_resource("x://z") is None
    assert await catalog.get_prompt("z", {}) is None
    with pytest.raises(McpFault) as refused:
        await catalog.complete({"type": "ref/prompt", "name": "z"}, "a", "", {})
    assert refused.value.code == -32602
