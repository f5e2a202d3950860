"""A plugin with one tool that gives its text back, as the peer's does."""

from typing import Any

from orchestrators.plugins.mcp_features import Exchange, Features
from orchestrators.plugins.registrar import Registrar

_ECHO = {
    "name": "echo",
    "description": "Gives its text back.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
}


class Echo(Features):
    """The tool."""

    async def tools(self) -> list[dict[str, Any]]:
        return [_ECHO]

    async def call_tool(self, name: str, arguments: dict[str, Any], exchange: Exchange) -> dict[str, Any] | None:
        if name != "echo":
            return None
        return {"content": [{"type": "text", "text": arguments["text"]}]}


class EchoPlugin:
    """The plugin."""

    name = "bench_echo"
    targets_api = 1

    def register(self, registrar: Registrar) -> None:
        registrar.add_features(Echo)


plugin = EchoPlugin()
