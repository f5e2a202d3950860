"""JSON as it crosses the wire: strict on the way in, compact UTF-8 on the way out."""

import gc
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

from rpc_server.wire.framing import BOM

_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_AS_STEPS = bytes.maketrans(b"[]", b"\x01\xff")
"""An opening bracket is a step down, a closing one a step up, as signed bytes."""
_NO_BRACKETS_OR_QUOTES = bytes(byte for byte in range(256) if byte not in b'"[]{}')
_LARGE_TEXT = 1024 * 1024
_MOST_CONTAINERS = 2_000_000
"""Each takes some hundred bytes once it is read."""

_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What some hosts take for the end of a line, and its JSON escape."""


class JsonFault(ValueError):
    """What was wrong with a text, as a sentence for its sender."""


class BeyondLimits(JsonFault):
    """The text may be JSON, but nests too deeply, or holds too much, to be read."""


def parse(body: bytes, max_depth: int) -> Any:
    """The value of a UTF-8 text. Of two members with one name the last counts. Raises JsonFault.

    Takes time in proportion to the length of any text.
    """
    body = body.removeprefix(BOM)
    # No brackets beyond the limit cost nothing.
    if body.count(b"[") + body.count(b"{") > max_depth:
        _check_nesting(_nesting(body), max_depth)
    try:
        return _decoded(body.decode())
    except UnicodeDecodeError as error:
        raise JsonFault(f"The text is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise JsonFault(f"The text is not JSON: {error.msg} (character {error.pos}).") from None
    except JsonFault:
        raise
    except ValueError:
        raise JsonFault("A number has too many digits.") from None
    except RecursionError:
        raise BeyondLimits("The JSON is nested too deeply.") from None


def encode(value: Any) -> bytes:
    """One line of UTF-8 that every host reads as one line; a lone surrogate, which has no UTF-8 form, is U+FFFD.

    Raises TypeError, ValueError or RecursionError for what JSON cannot hold.
    """
    text = _ENCODER.encode(value)
    if text.isascii():
        return text.encode()
    for char, escape in _LINE_ENDS.items():
        if char in text:
            text = text.replace(char, escape)
    return utf_8(text)


def utf_8(text: str) -> bytes:
    """`text` in UTF-8: the halves of a surrogate pair are joined, a half that is alone is U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _check_nesting(nesting: bytes, max_depth: int) -> None:
    """Raise BeyondLimits where brackets are too many or nest too deeply, counted without recursion."""
    if nesting.count(b"[") > _MOST_CONTAINERS:
        raise BeyondLimits(f"The JSON holds more than {_MOST_CONTAINERS} arrays and objects.")
    if _is_deeper(nesting, max_depth):
        raise BeyondLimits(f"The JSON is nested deeper than {max_depth} levels.")


def _is_deeper(nesting: bytes, max_depth: int) -> bool:
    """Whether brackets nest deeper than that. What is no JSON is refused either way."""
    for removed in range(max_depth):
        outer = nesting.replace(b"[]", b"")
        if 4 * len(outer) > 3 * len(nesting):
            # Too little goes with each round: what is left is counted step by step.
            steps = memoryview(outer.translate(_AS_STEPS)).cast("b")
            return removed + (len(outer) < len(nesting)) + max(accumulate(steps), default=0) > max_depth
        nesting = outer
    return bool(nesting)


def _nesting(body: bytes) -> bytes:
    """The brackets that stand outside of strings, all of them square."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side are no string, or the end of one and the beginning of the next: either way they may go.
    marks = body.translate(_AS_SQUARE, _NO_BRACKETS_OR_QUOTES).replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2])


def _decoded(text: str) -> Any:
    if len(text) < _LARGE_TEXT:
        return _DECODER.decode(text)
    with _no_garbage_collection():
        return _DECODER.decode(text)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Decoding makes no cycles, and looking for them again and again among millions of new lists takes minutes."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _refuse_constant(name: str) -> Any:
    raise JsonFault(f"{name} is not JSON.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JsonFault("A number is too large.")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
