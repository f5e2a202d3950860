"""Values that Pipelex's reader of bundles breaks on where it should refuse them, found by leaving others out."""

import json
import math
import time
from collections.abc import Iterator
from datetime import date, datetime
from datetime import time as local_time
from typing import Any

import tomli
from pipelex.base_exceptions import PipelexError
from pipelex.mthds_parsing.parser import MthdsParser

from orchestrators.engine.problems import TOO_DEEP, UNFORESEEN
from schemas.toml_positions import Path

# Each look reads a part of the bundle; an editor waits for the answer.
_MAX_S = 5.0
# Without it nothing else of a table is read.
_TYPE = "type"


def unread_values(text: str) -> Iterator[Path]:
    """The path of each value of a bundle, which parses as TOML, that its reader breaks on.

    The empty path stands for the whole bundle, where no part of it alone breaks the reader.
    """
    document = tomli.loads(text)
    end = time.monotonic() + _MAX_S
    found = False
    for path in _declarations(document):
        if time.monotonic() > end:
            break
        part = _alone(document, path)
        if _breaks(part):
            found = True
            yield _deepest(part, path, end)
    if not found and _breaks(document):
        yield ()


def _declarations(document: dict[str, Any]) -> Iterator[Path]:
    for key, value in document.items():
        if key in ("pipe", "concept") and isinstance(value, dict) and value:
            yield from ((key, name) for name in value)
        else:
            yield (key,)


def _alone(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """A bundle of one declaration."""
    value: Any = document
    for step in path:
        value = value[step]
    for step in reversed(path):
        value = {step: value}
    return {**({"domain": "d"} if path != ("domain",) else {}), **value}


def _deepest(document: dict[str, Any], path: Path, end: float) -> Path:
    """The innermost value at or below `path` without which the reader does not break, as far as time allows."""
    while True:
        needed = []
        for child in _children(document, path):
            if time.monotonic() > end:
                return path
            if not _breaks(_without(document, child)):
                needed.append(child)
        telling = [child for child in needed if child[-1] != _TYPE] or needed
        if len(telling) != 1:
            return path
        path = telling[0]


def _children(document: Any, path: Path) -> list[Path]:
    for step in path:
        document = document[step]
    if isinstance(document, dict):
        return [(*path, key) for key in document]
    return [(*path, index) for index in range(len(document))] if isinstance(document, list) else []


def _without(value: Any, path: Path) -> Any:
    """A copy that lacks what is at `path`."""
    first, rest = path[0], path[1:]
    if isinstance(value, list):
        return [_without(item, rest) if at == first else item for at, item in enumerate(value) if rest or at != first]
    return {key: _without(item, rest) if key == first else item for key, item in value.items() if rest or key != first}


def _breaks(document: dict[str, Any]) -> bool:
    try:
        MthdsParser.make_pipelex_bundle_blueprint(mthds_content=_toml_of(document))
    except (PipelexError, *TOO_DEEP):
        return False
    except UNFORESEEN:
        return True
    return False


def _toml_of(document: dict[str, Any]) -> str:
    return "\n".join(f"{_written(key)} = {_written(value)}" for key, value in document.items())


def _written(value: Any) -> str:
    """Any value as TOML on one line, with inline tables."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_written(key)} = {_written(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, datetime | date | local_time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value)
