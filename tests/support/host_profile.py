"""What MCP hosts and the model providers behind them accept of a list of tools: the strictest rule of any of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

NAME = re.compile(r"[a-zA-Z0-9_-]{1,48}")
KEY = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LONGEST_DESCRIPTION = 1024
LARGEST_SCHEMA = 20_000
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
KEYWORDS = {
    "type", "description", "properties", "required", "items", "enum", "anyOf", "default",
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
}  # fmt: skip


def faults_of_tools(tools: list[dict[str, Any]]) -> list[str]:
    """Everything that some host would refuse, as `tool: what`."""
    names = [tool["name"] for tool in tools]
    faults = [f"{name}: listed twice" for name in set(names) if names.count(name) > 1]
    return faults + [f"{tool['name']}: {fault}" for tool in tools for fault in _of_tool(tool)]


def _of_tool(tool: dict[str, Any]) -> Iterator[str]:
    if not NAME.fullmatch(tool["name"]):
        yield "an illegal name"
    if not 0 < len(tool["description"]) <= LONGEST_DESCRIPTION:
        yield f"a description of {len(tool['description'])} characters"
    for side, takes_null in (("inputSchema", False), ("outputSchema", True)):
        schema = tool[side]
        if schema.get("type") != "object" or "properties" not in schema or "anyOf" in schema:
            yield f"{side} is no plain object"
        if len(json.dumps(schema, allow_nan=False)) > LARGEST_SCHEMA:
            yield f"{side} is too large"
        yield from (f"{side}{fault}" for fault in faults_of_schema(schema, takes_null=takes_null))


def faults_of_schema(schema: Any, *, takes_null: bool, place: str = "") -> Iterator[str]:
    """What a schema holds that some host refuses; `takes_null` says whether null may be one of several types."""
    if not isinstance(schema, dict):
        yield f"{place} is a boolean or no schema"
        return
    yield from (f"{place} has the keyword {name}" for name in schema.keys() - KEYWORDS)
    kind = schema.get("type")
    if ("anyOf" in schema) == ("type" in schema):
        yield f"{place} has not exactly one of `type` and `anyOf`"
    elif "anyOf" not in schema and kind not in TYPES:
        yield f"{place} has the type {kind}"
    if kind == "null" and not takes_null:
        yield f"{place} is null"
    if "properties" in schema and kind != "object":
        yield f"{place} has properties and is no object"
    if kind == "array" and "items" not in schema and not takes_null:
        yield f"{place} is a list of nothing"
    if "enum" in schema and not (kind == "string" and all(isinstance(one, str) and one for one in schema["enum"])):
        yield f"{place} lists what is no text"
    if len(schema.get("description", "")) > LONGEST_DESCRIPTION:
        yield f"{place} has a long description"
    properties = schema.get("properties", {})
    yield from (f"{place} requires the unknown {name}" for name in schema.get("required", []) if name not in properties)
    for key, value in properties.items():
        if not KEY.fullmatch(key):
            yield f"{place}.{key} is an illegal key"
        yield from faults_of_schema(value, takes_null=takes_null, place=f"{place}.{key}")
    if "items" in schema:
        yield from faults_of_schema(schema["items"], takes_null=takes_null, place=f"{place}[]")
    for index, arm in enumerate(schema.get("anyOf", [])):
        yield from faults_of_schema(arm, takes_null=takes_null, place=f"{place}|{index}")
