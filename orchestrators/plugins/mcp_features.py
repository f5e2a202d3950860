"""What the MCP face offers: tools, resources, prompts. Ours and a plugin's are the same kind of object.

Every definition and result is the JSON object that the MCP specification gives for it, without what an era adds to
all of its results (`resultType`, `ttlMs`, `_meta` of the server).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from schemas.rpc_fault import RpcFault

Kind = Literal["tools", "resources", "prompts"]
Announce = Callable[[Kind], None]
LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class McpFault(RpcFault):
    """A protocol error of MCP: a `code`, its `message`, and the `data` that the specification asks for."""


@dataclass(frozen=True)
class Exchange:
    """One MCP request while it is served: who asks, and how to tell them something before the answer.

    `progress` and `log` do nothing where the caller did not ask for it; neither blocks.
    """

    version: str
    """The revision in force, such as `2025-11-25`."""
    client_capabilities: Mapping[str, Any]
    progress: Callable[[float, float | None, str | None], None]
    """Takes how far it is, of how much (None where not known), and a message. What does not increase is not sent."""
    log: Callable[[LogLevel, Any], None]
    wants_progress: bool

    @property
    def is_modern(self) -> bool:
        """Whether the request stands alone (2026-07-28 and later), without a handshake before it."""
        return self.version >= "2026"


class Features:
    """A family of tools, resources and prompts. Each method may be left as it is: then there is nothing of the kind.

    All are called on the event loop and must not block it. Any may raise `McpFault`, or `ProblemError`.
    """

    announce: Announce = staticmethod(lambda kind: None)
    """Tells the clients that a list has changed; set by the server of these features."""

    async def tools(self) -> list[dict[str, Any]]:
        """The tools, in an order that does not change by itself."""
        return []

    async def call_tool(self, name: str, arguments: dict[str, Any], exchange: Exchange) -> dict[str, Any] | None:
        """The `CallToolResult`; None for a name that is not one of these tools."""
        return None

    async def resources(self) -> list[dict[str, Any]]:
        return []

    async def resource_templates(self) -> list[dict[str, Any]]:
        return []

    async def read_resource(self, uri: str) -> list[dict[str, Any]] | None:
        """The contents behind a URI; None for a URI that is not one of these resources."""
        return None

    async def prompts(self) -> list[dict[str, Any]]:
        return []

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> dict[str, Any] | None:
        """The `GetPromptResult`; None for a name that is not one of these prompts."""
        return None

    async def complete(
        self, ref: Mapping[str, Any], name: str, value: str, given: Mapping[str, str]
    ) -> list[str] | None:
        """What the argument `name` of a prompt or template may be, beginning with `value`, `given` being the other
        arguments; None for a reference that is not to one of these."""
        return None


FeaturesFactory = Callable[[], Features]
