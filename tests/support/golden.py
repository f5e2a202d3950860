"""A file of many documents that repeat each other: what they share stands in it once, and it is read by lines."""

import json
from collections.abc import Sequence
from functools import reduce
from typing import Any

Json = dict[str, Any]

_WIDTH = 120


def shared_by(documents: Sequence[Json]) -> Json:
    """The members that every document has, with the same values."""
    return reduce(_shared_by_two, documents)


def _shared_by_two(one: Json, other: Json) -> Json:
    shared = {}
    for name in one.keys() & other.keys():
        if isinstance(one[name], dict) and isinstance(other[name], dict):
            shared[name] = _shared_by_two(one[name], other[name])
        elif one[name] == other[name]:
            shared[name] = one[name]
    return {name: shared[name] for name in one if name in shared}


def own_of(document: Json, shared: Json) -> Json:
    """What a document has beyond what it shares with others."""
    own = {}
    for name, value in document.items():
        if name not in shared:
            own[name] = value
        elif isinstance(value, dict) and (more := own_of(value, shared[name])):
            own[name] = more
    return own


def whole(own: Json, shared: Json) -> Json:
    """The document again, made from its own part and what it shares."""
    both = {**shared, **own}
    for name in shared.keys() & own.keys():
        both[name] = whole(own[name], shared[name])
    return both


def lines_of(value: Any, indent: str = "") -> str:
    """JSON with each value that fits on a line in one line."""
    short = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(short) <= _WIDTH or not isinstance(value, dict | list):
        return short
    deeper = indent + " "
    if isinstance(value, list):
        parts = [lines_of(item, deeper) for item in value]
    else:
        parts = [f"{json.dumps(name)}: {lines_of(item, deeper)}" for name, item in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return f"{opening}\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}{closing}"
