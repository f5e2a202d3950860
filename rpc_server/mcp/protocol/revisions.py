"""The supported revisions of MCP, and the names that the specification gives things."""

V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25 = "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"
V2026_07_28 = "2026-07-28"

LEGACY = (V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25)
"""Agreed on by `initialize`, oldest first."""
LATEST_LEGACY = LEGACY[-1]
MODERN = (V2026_07_28,)
"""Named by each request on its own."""

BATCHES = (V2024_11_05, V2025_03_26)
"""Where an array of messages may be sent (2025-03-26, "Batching"; later revisions removed it)."""

PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
RELATED_TASK = "io.modelcontextprotocol/related-task"
IMMEDIATE_RESPONSE = "io.modelcontextprotocol/model-immediate-response"

TASKS_EXTENSION = "io.modelcontextprotocol/tasks"
UI_EXTENSION = "io.modelcontextprotocol/ui"

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""By rising severity (RFC 5424)."""

MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
RESOURCE_NOT_FOUND_LEGACY = -32002
