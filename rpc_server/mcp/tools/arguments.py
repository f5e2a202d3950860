"""Taking a model's arguments as it meant them: they need not have quite the form that the schema gives.

Some hosts send every object as a string of JSON, some models write a number in quotes, and a member that may be left
out is often sent as null.
"""

import json
from collections.abc import Mapping
from typing import Any

from rpc_server.mcp.tools.tool_schemas import FORMATS
from schemas.problem import ProblemError, problem_error

Schema = Mapping[str, Any]

_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_EXAMPLES = {
    FORMATS["date"]: "2026-01-31",
    FORMATS["time"]: "12:00:00",
    FORMATS["date-time"]: "2026-01-31T12:00:00",
}
_SHOWN = 240


def fitted(arguments: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """The arguments as the portable `schema` of a tool wants them.

    Raises `ProblemError` coded `input.missing`, `input.unexpected` or `input.invalid`, which names the argument, says
    what was expected, and gives an example.
    """
    properties = schema.get("properties", {})
    for name in arguments:
        if name not in properties:
            raise _unexpected(name, list(properties))
    given = _without_nulls(arguments, schema)
    for name in schema.get("required", ()):
        if name not in given:
            raise _missing(name, properties[name])
    return {name: _fit(value, properties[name], name) for name, value in given.items()}


def example_of(schema: Schema) -> Any:
    """A value that fits a portable schema, with nothing in it that may be left out."""
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0])
    match schema.get("type"):
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case "array":
            return [example_of(schema.get("items", {})) for _ in range(max(1, schema.get("minItems", 1)))]
        case "object":
            properties = schema.get("properties", {})
            return {name: example_of(properties[name]) for name in schema.get("required", ())}
    return next((text for hint, text in _EXAMPLES.items() if schema.get("description", "").endswith(hint)), "text")


def _fit(value: Any, schema: Schema, place: str) -> Any:
    kinds = _kinds(schema)
    if not _is_one_of(value, kinds):
        value = _understood(value, kinds, schema, place)
    if "anyOf" in schema:
        return value
    if isinstance(value, dict):
        return _fit_object(value, schema, place)
    if isinstance(value, list) and "items" in schema:
        return [_fit(item, schema["items"], f"{place}[{index}]") for index, item in enumerate(value)]
    if "enum" in schema and value not in schema["enum"]:
        raise _invalid(place, f"one of {', '.join(map(repr, schema['enum']))}", value, schema)
    return value


def _fit_object(value: dict[str, Any], schema: Schema, place: str) -> dict[str, Any]:
    """Members that the schema does not name are let through: the reader of the object checks them."""
    properties = schema.get("properties", {})
    given = _without_nulls(value, schema)
    for name in schema.get("required", ()):
        if name not in given:
            raise _missing(f"{place}.{name}", properties[name])
    return {
        name: _fit(item, properties[name], f"{place}.{name}") if name in properties else item
        for name, item in given.items()
    }


def _without_nulls(value: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Without the members that are null and are known, but not as something that may be null."""
    properties = schema.get("properties", {})
    return {
        name: item
        for name, item in value.items()
        if item is not None or name not in properties or "null" in _kinds(properties[name])
    }


def _kinds(schema: Schema) -> list[str]:
    if "anyOf" in schema:
        return [kind for arm in schema["anyOf"] for kind in _kinds(arm)]
    return [schema["type"]] if "type" in schema else []


def _is_one_of(value: Any, kinds: list[str]) -> bool:
    match value:
        case None:
            kind = {"null"}
        case bool():
            kind = {"boolean"}
        case int():
            kind = {"integer", "number"}
        case float():
            kind = {"number"}
        case str():
            kind = {"string"}
        case dict():
            kind = {"object"}
        case _:
            kind = {"array"}
    return not kinds or not kind.isdisjoint(kinds)


def _understood(value: Any, kinds: list[str], schema: Schema, place: str) -> Any:
    """The value that was meant by one of another kind. Raises `ProblemError` where there is none."""
    if isinstance(value, str):
        try:
            meant = json.loads(value)
        except (ValueError, RecursionError):
            meant = None
        if meant is not None and _is_one_of(meant, kinds):
            return meant
        value = meant if isinstance(meant, float) else value
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return int(value)
    if isinstance(value, bool | int | float) and "string" in kinds:
        return json.dumps(value)
    raise _invalid(place, " or ".join(_WORDS[kind] for kind in dict.fromkeys(kinds)), value, schema)


def _missing(place: str, schema: Schema) -> ProblemError:
    described = f" ({schema['description']})" if "description" in schema else ""
    return _refused(
        "input.missing",
        f"The argument '{place}' is missing{described}.",
        place,
        f"Give '{place}', for example {_shown(example_of(schema))}, then call again.",
    )


def _unexpected(name: str, known: list[str]) -> ProblemError:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    takes = f"the tool takes {', '.join(map(repr, known))}" if known else "the tool takes no arguments"
    return _refused(
        "input.unexpected",
        f"There is no argument '{name}': {takes}.",
        name,
        f"Use '{near[0]}' instead." if near else f"Leave '{name}' out, then call again.",
    )


def _invalid(place: str, expected: str, value: Any, schema: Schema) -> ProblemError:
    return _refused(
        "input.invalid",
        f"The argument '{place}' must be {expected}, and it is {_shown(value)}.",
        place,
        f"Give for '{place}' something like {_shown(example_of(schema))}, then call again.",
    )


def _refused(code: str, detail: str, place: str, advice: str) -> ProblemError:
    return problem_error(code, detail, next_step=("change_input", advice), params={"input": place})


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
