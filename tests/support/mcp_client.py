"""A client that speaks MCP in either era, beside plain JSON-RPC, with the spy of `RpcClient` over all of it.

with serve_mcp(home) as client:                     # modern: each request carries its envelope
    assert client.tool("list_methods")["structuredContent"] == {"methods": []}

with serve_mcp(home) as client:
    client.initialize("2025-06-18")                 # from here on `ask`, `mcp` and `tool` speak that revision
    assert client.mcp("ping") == {}
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import mcp_schemas
from tests.support.client import Conversation, RpcClient, RpcFailed
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN
from tests.support.mthds_server import isolated_env

COMMAND: Sequence[str] = (sys.executable, "-P", "-m", "rpc_server.cli", "serve")
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
TASKS = "io.modelcontextprotocol/tasks"
TAKES_TASKS: dict[str, Any] = {"extensions": {TASKS: {}}}
"""The capabilities of a modern client that takes tasks."""
_CLIENT = {"name": "mthds-rpc-tests", "version": "1"}


def envelope(
    params: Mapping[str, Any] | None = None,
    *,
    version: str = MODERN,
    capabilities: Mapping[str, Any] | None = None,
    progress_token: str | int | None = None,
    log_level: str | None = None,
) -> dict[str, Any]:
    """The params of a modern request."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": _CLIENT,
        "io.modelcontextprotocol/clientCapabilities": dict(capabilities or {}),
    }
    if progress_token is not None:
        meta["progressToken"] = progress_token
    if log_level is not None:
        meta["io.modelcontextprotocol/logLevel"] = log_level
    return {**(params or {}), "_meta": meta}


class McpConversation(Conversation):
    """A conversation in which MCP comes up."""

    version = MODERN
    """The revision that `ask`, `mcp` and `tool` speak."""

    def initialize(
        self, version: str = LATEST_LEGACY, *, capabilities: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Shake hands as a legacy client does, and go on in the version agreed on; the server's answer."""
        params = {"protocolVersion": version, "capabilities": dict(capabilities or {}), "clientInfo": _CLIENT}
        result: dict[str, Any] = self.result("initialize", params)
        self.notify("notifications/initialized")
        self.version = result["protocolVersion"]
        return result

    def speak(self, version: str) -> None:
        """Go on in a revision: shake hands first where it needs that."""
        if version in LEGACY:
            self.initialize(version)
        self.version = version

    def ask(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        capabilities: Mapping[str, Any] | None = None,
        progress_token: str | int | None = None,
        log_level: str | None = None,
    ) -> Any:
        """Send a request without waiting, in the revision that is spoken; its id.

        `capabilities` and `log_level` ride in the modern envelope only: a legacy client has said them before.
        """
        if self.version == MODERN:
            return self.request(
                method,
                envelope(params, capabilities=capabilities, progress_token=progress_token, log_level=log_level),
            )
        meta = {} if progress_token is None else {"_meta": {"progressToken": progress_token}}
        return self.request(method, {**(params or {}), **meta})

    def mcp(self, method: str, params: Mapping[str, Any] | None = None, **meta: Any) -> Any:
        """The result of a request of MCP. Raises RpcFailed for an error."""
        return self.result_of(self.ask(method, params, **meta))

    def mcp_error(self, method: str, params: Mapping[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        """The error of a request of MCP that has to fail."""
        answer = self.answer(self.ask(method, params, **meta))
        assert "error" in answer, answer
        return dict(answer["error"])

    def modern(self, method: str, params: Mapping[str, Any] | None = None, **meta: Any) -> Any:
        """The result of a request with the modern envelope, whatever is spoken otherwise."""
        return self.result(method, envelope(params, **meta))

    def result_of(self, id: Any) -> Any:
        """The result of a request sent before. Raises RpcFailed for an error."""
        answer = self.answer(id)
        if "error" in answer:
            raise RpcFailed(answer["error"])
        return answer["result"]

    def tools(self) -> dict[str, dict[str, Any]]:
        """Every tool that is listed, by name, over all pages."""
        return {tool["name"]: tool for tool in self.pages("tools/list", "tools")}

    def pages(self, method: str, member: str) -> list[Any]:
        """What a list holds, over all of its pages."""
        found: list[Any] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.mcp(method, cursor)
            found += page[member]
            if "nextCursor" not in page:
                return found
            cursor = {"cursor": page["nextCursor"]}

    def ask_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, as_sent: bool = False, **more: Any
    ) -> Any:
        """Call a tool without waiting; the request's id.

        The arguments are held to the tool's `inputSchema` where it was listed before, unless `as_sent`. `more` is
        what `ask` takes, and `task` (2025-11-25).
        """
        task = {"task": more.pop("task")} if "task" in more else {}
        schema = self.spy.mcp.tools.get(name, {}).get("inputSchema")
        if schema is not None and not as_sent:
            faults = mcp_schemas.faults_against(dict(arguments or {}), schema)
            assert not faults, f"arguments that `{name}` does not declare: {faults}"
        return self.ask("tools/call", {"name": name, "arguments": dict(arguments or {}), **task}, **more)

    def tool(self, name: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The result of a tool, a failed one too. Raises RpcFailed for a protocol error."""
        result: dict[str, Any] = self.result_of(self.ask_tool(name, arguments, **more))
        return result

    def listen(self, **notifications: Any) -> tuple[Any, dict[str, Any]]:
        """Open a subscription: its id, and what was promised."""
        asked = self.request("subscriptions/listen", envelope({"notifications": notifications}))
        promised = self.message(lambda message: is_for(message, asked, "notifications/subscriptions/acknowledged"))
        return asked, promised["params"]["notifications"]

    def read(self, uri: str) -> Any:
        """What a resource holds, as JSON where it is that."""
        (contents,) = self.mcp("resources/read", {"uri": uri})["contents"]
        assert contents["uri"] == uri
        return contents["text"] if contents["mimeType"] != "application/json" else json.loads(contents["text"])

    def received(self, method: str) -> list[dict[str, Any]]:
        """The params of the notifications of a kind that came so far."""
        return [message.get("params", {}) for message in self.notifications if message["method"] == method]


def text_of(result: dict[str, Any]) -> str:
    """What a result of a tool says as text."""
    return "".join(part["text"] for part in result["content"] if part["type"] == "text")


def is_for(message: Any, subscription: Any, method: str) -> bool:
    """Whether it is a notification of a kind that a subscription gets."""
    if not isinstance(message, dict) or message.get("method") != method:
        return False
    return bool(message.get("params", {}).get("_meta", {}).get(SUBSCRIPTION) == subscription)


class McpClient(McpConversation, RpcClient):
    """One server process and a conversation with it in which MCP comes up."""


def serve_mcp(
    home: Path,
    *flags: str,
    workspace: Path | None = None,
    settings: str | None = None,
    env: Mapping[str, str] | None = None,
    **client: Any,
) -> McpClient:
    """A client over the real server, as `mthds_server.serve` makes one; `settings` is the text of a `--config` file."""
    directory = workspace or home / "workspace"
    directory.mkdir(parents=True, exist_ok=True)
    command = [*COMMAND, *flags]
    if settings is not None:
        (home / "rpc.toml").write_text(settings)
        command += ["--config", str(home / "rpc.toml")]
    return McpClient(command, cwd=directory, env=isolated_env(home, **(env or {})), **client)
