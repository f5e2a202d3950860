"""What the server says of itself: `initialize`, `server/discover`."""

from typing import Any

from rpc_server import versions
from rpc_server.mcp.protocol.revisions import (
    LATEST_LEGACY,
    LEGACY,
    MODERN,
    SERVER_INFO,
    TASKS_EXTENSION,
    UI_EXTENSION,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
)

INSTRUCTIONS = (
    "Runs AI methods: `.mthds` files that say, step by step, what models do with typed inputs. "
    "Each runnable method of the workspace is a tool of its own; `list_methods` names them all and `execute` runs any "
    "of them by its path. Pass paths, not file contents: the server reads files of the workspace itself. "
    "Before you run a method that you wrote or changed, call `validate`: it lists every fault with its line. "
    "A long run returns its `pipeline_run_id` and the next call to make; `run_result` waits for "
    "it, `cancel_run` stops it. When a call fails, read `problem.next_step`: it says what to change."
)

_SERVER = {"name": "mthds-rpc", "title": "MTHDS methods", "version": versions.SERVER}
_DISCOVER_TTL_MS = 3_600_000

RESULT_META = {SERVER_INFO: {"name": "mthds-rpc", "version": versions.SERVER}}
"""What every modern result carries as `_meta`."""


def agreed_version(requested: str) -> str:
    """The version to answer an `initialize` with: the same where it is spoken, else our latest of that era."""
    return requested if requested in LEGACY else LATEST_LEGACY


def initialize_result(version: str) -> dict[str, Any]:
    """The answer to `initialize`."""
    capabilities: dict[str, Any] = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {"listChanged": True},
        "logging": {},
    }
    if version >= V2025_03_26:
        capabilities["completions"] = {}
    if version >= V2025_11_25:
        capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
        capabilities["extensions"] = {UI_EXTENSION: {}}
    server = _SERVER if version >= V2025_06_18 else RESULT_META[SERVER_INFO]
    return {
        "protocolVersion": version,
        "capabilities": capabilities,
        "serverInfo": server,
        "instructions": INSTRUCTIONS,
    }


def discover_result() -> dict[str, Any]:
    """The answer to `server/discover` (2026-07-28, "Discovery")."""
    return {
        "supportedVersions": list(MODERN),
        "capabilities": {
            "tools": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True},
            "prompts": {"listChanged": True},
            "completions": {},
            "extensions": {TASKS_EXTENSION: {}, UI_EXTENSION: {}},
        },
        "instructions": INSTRUCTIONS,
        "ttlMs": _DISCOVER_TTL_MS,
        "cacheScope": "public",
    }
