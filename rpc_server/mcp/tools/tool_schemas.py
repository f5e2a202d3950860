"""One JSON Schema profile that every host and model provider takes.

Among them they refuse references, combinators at the top, lists of types, boolean schemas, keys outside
`[a-zA-Z0-9_-]`, and most keywords; one refused schema takes every tool of the server with it. What is left says less
than the schema it was written from, never something else: the server checks what comes.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.shown_text import fit_line, is_fit

Schema = dict[str, Any]

MAX_NAME = 48
MAX_KEY = 64
MAX_DESCRIPTION = 1024
MAX_BYTES = 16_000
"""Of one schema as JSON."""
_MOST_READ = 4 * MAX_DESCRIPTION
"""Characters of a description that are looked at before it is cut at a word."""
_DEPTHS = (12, 8, 6, 4, 3, 2)
_MAX_NODES = 1500
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]+")
_HASH_MARK = "___"
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
_SCALARS = ("string", "number", "boolean", "object")
_KEPT_LIMITS = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"),
}
FORMATS = {"date": "A date, YYYY-MM-DD.", "time": "A time, HH:MM:SS.", "date-time": "A time, YYYY-MM-DDTHH:MM:SS."}
"""Format of a text -> what a description says in its place, as its last sentence."""


class Inexpressible(Exception):
    """The schema cannot be said in the profile; `reason` is a clause such as "its inputs are no object"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def portable_input(schema: Mapping[str, Any]) -> tuple[Schema, dict[str, str]]:
    """The schema of a tool's arguments, and the original of each key that had to be renamed.

    What may be null is optional instead, and what refers to itself ends as an object of any members. Raises
    `Inexpressible`.
    """
    for depth in _DEPTHS:
        writer = _Writer(schema, depth, _Inputs())
        written = writer.top()
        if written is None:
            raise Inexpressible("its inputs are no object")
        if _fits(written, writer):
            return {**written, "properties": written.get("properties", {})}, writer.profile.original_keys
    raise Inexpressible(f"its inputs take more than {MAX_BYTES} bytes to describe")


def portable_output(schema: Mapping[str, Any]) -> Schema:
    """The schema of a tool's result: always an object, and no stricter than what it was written from."""
    for depth in _DEPTHS:
        writer = _Writer(schema, depth, _Outputs())
        written = writer.top()
        if written is None:
            break
        if _fits(written, writer):
            return written
    return {"type": "object"}


def legal_name(text: str, most: int = MAX_NAME) -> str:
    """The text where it is a legal name of at most `most` characters, else the nearest one, made unique by a hash."""
    slug = _ILLEGAL.sub("_", text)
    if slug == text and 0 < len(text) <= most:
        return text
    return hashed_name(slug, text, most)


def hashed_name(slug: str, text: str, most: int = MAX_NAME) -> str:
    """A legal name that begins like `slug` and ends with a hash of `text`."""
    mark = _HASH_MARK + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return _ILLEGAL.sub("_", slug)[: most - len(mark)].strip("_") + mark


def shortened(text: str, most: int = MAX_DESCRIPTION) -> str:
    """The text, cut at the end of a word where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    return text[: most - 1].rsplit(None, 1)[0].rstrip(",;:.") + "…"


def with_original_keys(value: Any, original_keys: Mapping[str, str]) -> Any:
    """Arguments as they were written against a portable schema, with the keys they really have."""
    if not original_keys:
        return value
    if isinstance(value, dict):
        return {original_keys.get(key, key): with_original_keys(item, original_keys) for key, item in value.items()}
    if isinstance(value, list):
        return [with_original_keys(item, original_keys) for item in value]
    return value


class _Inputs:
    """What only holds for what a model writes."""

    keeps_null = False

    def __init__(self) -> None:
        self.original_keys: dict[str, str] = {}

    def key(self, key: str) -> str | None:
        legal = legal_name(key, MAX_KEY)
        if legal != key:
            self.original_keys[legal] = key
        return legal

    def of_anything(self) -> Schema:
        some = [{"type": name} for name in _SCALARS]
        return {"anyOf": [*some, {"type": "array", "items": {"anyOf": some}}]}

    def array(self, items: Schema | None) -> Schema:
        return {"type": "array", "items": items or {"anyOf": [{"type": name} for name in _SCALARS]}}

    def limits(self, kind: str, schema: Schema) -> Schema:
        """The limits a model can keep to, and a default that says what leaving it out means."""
        kept = {name: schema[name] for name in _KEPT_LIMITS.get(kind, ()) if isinstance(schema.get(name), int | float)}
        default = schema.get("default")
        if kind in _TYPES.values() and isinstance(default, str | int | float) and _may_be_default(default):
            kept["default"] = default
        return kept

    def hint(self, schema: Schema) -> str:
        return FORMATS.get(schema.get("format", ""), "")


class _Outputs:
    """What only holds for what the server writes: nothing may be refused that it sends."""

    keeps_null = True

    def __init__(self) -> None:
        self.original_keys: dict[str, str] = {}

    def key(self, key: str) -> str | None:
        # A result has its own keys; one that cannot be described is left out of the schema.
        return key if legal_name(key, MAX_KEY) == key else None

    def of_anything(self) -> Schema:
        return {"anyOf": [*({"type": name} for name in _SCALARS), {"type": "array"}, {"type": "null"}]}

    def array(self, items: Schema | None) -> Schema:
        return {"type": "array", **({"items": items} if items else {})}

    def limits(self, kind: str, schema: Schema) -> Schema:
        return {}

    def hint(self, schema: Schema) -> str:
        return ""


class _Writer:
    """Writes one schema anew, its references replaced by what they mean."""

    def __init__(self, root: Mapping[str, Any], depth: int, profile: _Inputs | _Outputs) -> None:
        self._root = root
        self._depth = depth
        self._definitions = {**(root.get("definitions") or {}), **(root.get("$defs") or {})}
        self.profile = profile
        self.nodes = 0

    def top(self) -> Schema | None:
        """None for what is no object."""
        schema, open_refs = self._resolved(dict(self._root), frozenset())
        if schema is None or _kind(schema) != "object":
            return None
        return self._object(schema, open_refs, 0)

    def _node(self, given: Any, open_refs: frozenset[str], depth: int) -> Schema:
        self.nodes += 1
        if not isinstance(given, dict) or self.nodes > _MAX_NODES:
            return self._anything()
        schema, open_refs = self._resolved(given, open_refs)
        if schema is None:
            return {**self._end_of_recursion(given), **self._description(given)}
        arms = _arms(schema)
        if arms is not None:
            return self._union(schema, arms, open_refs, depth)
        if "const" in schema or "enum" in schema:
            return self._choice(schema)
        match _kind(schema):
            case "object":
                return self._object(schema, open_refs, depth)
            case "array":
                return self._array(schema, open_refs, depth)
            case "null" if not self.profile.keeps_null:
                return {**self._anything(), **self._description(schema)}
            case "string" | "integer" | "number" | "boolean" | "null" as kind:
                return {"type": kind, **self._description(schema), **self.profile.limits(kind, schema)}
        return {**self._anything(), **self._description(schema)}

    def _resolved(self, schema: Schema, open_refs: frozenset[str]) -> tuple[Schema | None, frozenset[str]]:
        """The schema without reference and `allOf`; None where a reference leads back to where it came from."""
        while "$ref" in schema:
            name = str(schema["$ref"]).rsplit("/", 1)[-1]
            if name in open_refs:
                return None, open_refs
            open_refs |= {name}
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**_as_schema(self._definitions.get(name)), **beside}
        if "allOf" not in schema:
            return schema, open_refs
        merged: Schema = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            resolved, open_refs = self._resolved(_as_schema(part), open_refs)
            merged = _merged(resolved or {}, merged)
        return merged, open_refs

    def _end_of_recursion(self, given: Schema) -> Schema:
        name = str(given.get("$ref")).rsplit("/", 1)[-1]
        return {"type": "object"} if _kind(_as_schema(self._definitions.get(name))) == "object" else self._anything()

    def _anything(self) -> Schema:
        return self.profile.of_anything()

    def _object(self, schema: Schema, open_refs: frozenset[str], depth: int) -> Schema:
        written: Schema = {"type": "object", **self._description(schema)}
        if depth >= self._depth:
            return written
        keys: dict[str, str] = {}
        properties: Schema = {}
        for key, value in (schema.get("properties") or {}).items():
            legal = self.profile.key(key)
            if legal is not None:
                keys[key] = legal
                properties[legal] = self._node(value, open_refs, depth + 1)
        if properties:
            written["properties"] = properties
        required = [keys[key] for key in schema.get("required", ()) if key in keys]
        return {**written, "required": required} if required else written

    def _array(self, schema: Schema, open_refs: frozenset[str], depth: int) -> Schema:
        items = schema.get("items")
        written = self._node(items, open_refs, depth + 1) if isinstance(items, dict) and depth < self._depth else None
        array = {**self.profile.array(written), **self._description(schema)}
        return {**array, **self.profile.limits("array", schema)}

    def _union(self, schema: Schema, arms: list[Any], open_refs: frozenset[str], depth: int) -> Schema:
        written: list[Schema] = []
        for arm in _without_null(arms, self.profile.keeps_null):
            for one in _alternatives(self._node(arm, open_refs, depth + 1 if len(arms) > 2 else depth)):
                if one not in written:
                    written.append(one)
        written = _without_narrower(written)
        description = self._description(schema)
        if len(written) == 1:
            return {**written[0], **description, **self.profile.limits(written[0]["type"], schema)}
        return {"anyOf": written, **description} if written else {**self._anything(), **description}

    def _choice(self, schema: Schema) -> Schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        given = [value for value in values if value is not None]
        kinds = sorted({_TYPES.get(type(value), "") for value in given})
        if kinds == ["string"] and all(map(_may_be_listed, given)):
            one: Schema = {"type": "string", "enum": list(dict.fromkeys(given)), **self._description(schema)}
        elif len(kinds) == 1 and kinds[0]:
            # Only strings may be listed; of anything else the description tells.
            choices = f"One of {', '.join(json.dumps(value) for value in given)}."
            one = {"type": kinds[0], **self._description({**schema, "description": _joined(_text(schema), choices)})}
        else:
            one = {**self._anything(), **self._description(schema)}
        if len(given) < len(values) and self.profile.keeps_null and "anyOf" not in one:
            description = one.pop("description", None)
            return {"anyOf": [one, {"type": "null"}], **({"description": description} if description else {})}
        return {**one, **self.profile.limits(kinds[0] if len(kinds) == 1 else "", schema)}

    def _description(self, schema: Schema) -> Schema:
        text = _joined(_text(schema), self.profile.hint(schema))
        return {"description": shortened(text)} if text else {}


def _fits(written: Schema, writer: _Writer) -> bool:
    return writer.nodes <= _MAX_NODES and len(json.dumps(written, ensure_ascii=False).encode()) <= MAX_BYTES


def _may_be_default(value: Any) -> bool:
    if isinstance(value, str):
        return is_fit(value)
    return not isinstance(value, float) or math.isfinite(value)


def _may_be_listed(choice: str) -> bool:
    """Whether a choice can be shown as it has to be sent back; some providers refuse an empty one."""
    return choice != "" and is_fit(choice, MAX_DESCRIPTION)


def _as_schema(value: Any) -> Schema:
    return value if isinstance(value, dict) else {}


def _kind(schema: Schema) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else None


def _arms(schema: Schema) -> list[Any] | None:
    """What a schema may be, where it may be several things."""
    for combinator in ("anyOf", "oneOf"):
        if combinator in schema:
            return list(schema[combinator])
    kinds = schema.get("type")
    if not isinstance(kinds, list):
        return None
    rest = {key: value for key, value in schema.items() if key not in ("type", "description", "default")}
    return [{**rest, "type": kind} if kind != "null" else {"type": "null"} for kind in kinds]


def _without_null(arms: list[Any], keeps_null: bool) -> Iterable[Any]:
    return arms if keeps_null else [arm for arm in arms if not isinstance(arm, dict) or arm.get("type") != "null"]


def _alternatives(schema: Schema) -> list[Schema]:
    """An `anyOf` within another is part of it."""
    return list(schema["anyOf"]) if "anyOf" in schema else [schema]


def _without_narrower(arms: list[Schema]) -> list[Schema]:
    """Without whole numbers where any number may stand."""
    return [arm for arm in arms if arm != {"type": "integer"}] if {"type": "number"} in arms else arms


def _merged(part: Schema, into: Schema) -> Schema:
    """Two schemas that both hold, as far as the profile can say it."""
    merged = {**part, **into}
    if "properties" in part and "properties" in into:
        merged["properties"] = {**into["properties"], **part["properties"], **into["properties"]}
    if "required" in part and "required" in into:
        merged["required"] = list(dict.fromkeys([*into["required"], *part["required"]]))
    return merged


def _text(schema: Schema) -> str:
    text = schema.get("description")
    return fit_line(text[:_MOST_READ], None) if isinstance(text, str) else ""


def _joined(text: str, more: str) -> str:
    if not text or not more:
        return text or more
    return f"{text} {more}" if text.endswith((".", "!", "?")) else f"{text}. {more}"
