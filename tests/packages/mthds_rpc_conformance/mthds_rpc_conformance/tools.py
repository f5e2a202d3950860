"""The tools. Names, texts and behaviour are the suite's; one that takes no arguments says so in its schema."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from mthds_rpc_conformance.contents import AUDIO, IMAGE, embedded, text
from orchestrators.plugins.mcp_features import Exchange, McpFault

MISSING_CAPABILITY = -32021
PAUSE_S = 0.05
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}

Result = dict[str, Any]
Tool = Callable[[dict[str, Any], Exchange], Awaitable[Result]]


def content(*items: dict[str, Any]) -> Result:
    return {"content": list(items)}


async def simple_text(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Answers with a text."""
    return content(text("This is a simple text response for testing."))


async def image(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Answers with an image."""
    return content(IMAGE)


async def audio(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Answers with a sound."""
    return content(AUDIO)


async def embedded_resource(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Answers with a resource."""
    return content(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))


async def mixed_content(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Answers with a text, an image and a resource."""
    resource = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return content(text("Multiple content types test:"), IMAGE, resource)


async def logging(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Logs three times on its way."""
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        exchange.log("info", message)
        await anyio.sleep(PAUSE_S)
    return content(text("Logged three times."))


async def progress(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Reports progress three times on its way."""
    for done in (0, 50, 100):
        exchange.progress(done, 100, None)
        await anyio.sleep(PAUSE_S)
    return content(text("Reported progress three times."))


async def failure(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Fails, as a tool."""
    return {**content(text("This tool intentionally returns an error for testing")), "isError": True}


async def missing_capability(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Refuses a client that does not offer sampling."""
    if "sampling" not in exchange.client_capabilities:
        required: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise McpFault(MISSING_CAPABILITY, "Missing required client capability", required)
    return content(text("The client offers sampling."))


async def streaming(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Reports progress where it is asked to, and asks the client nothing, since the server never does."""
    exchange.progress(1, None, "Nothing to ask")
    return content(text("Nothing was asked."))


async def greet(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Greets by name."""
    return content(text(f"Hello, {arguments.get('name', 'nobody')}!"))


async def schema(arguments: dict[str, Any], exchange: Exchange) -> Result:
    """Has an input schema of many keywords."""
    return content(text("The schema is what counts."))


GREET_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
RICH_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

TOOLS: dict[str, tuple[Tool, dict[str, Any]]] = {
    "test_simple_text": (simple_text, NO_ARGUMENTS),
    "test_image_content": (image, NO_ARGUMENTS),
    "test_audio_content": (audio, NO_ARGUMENTS),
    "test_embedded_resource": (embedded_resource, NO_ARGUMENTS),
    "test_multiple_content_types": (mixed_content, NO_ARGUMENTS),
    "test_tool_with_logging": (logging, NO_ARGUMENTS),
    "test_logging_tool": (logging, NO_ARGUMENTS),
    "test_tool_with_progress": (progress, NO_ARGUMENTS),
    "test_error_handling": (failure, NO_ARGUMENTS),
    "test_missing_capability": (missing_capability, NO_ARGUMENTS),
    "test_streaming_elicitation": (streaming, NO_ARGUMENTS),
    "greet": (greet, GREET_SCHEMA),
    "json_schema_2020_12_tool": (schema, RICH_SCHEMA),
}
