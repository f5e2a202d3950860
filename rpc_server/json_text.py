"""JSON as it crosses the wire: strict on the way in, compact UTF-8 on the way out."""

import json
import math
import re
from typing import Any

from rpc_server.framing import BOM

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class JsonFault(ValueError):
    """What was wrong with a text, as a sentence for its sender."""


def parse(body: bytes, max_depth: int) -> Any:
    """The value of a UTF-8 text. Of two members with one name the last counts. Raises JsonFault."""
    body = body.removeprefix(BOM)
    if _is_deeper(body, max_depth):
        raise JsonFault(f"The JSON is nested deeper than {max_depth} levels.")
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise JsonFault(f"The text is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise JsonFault(f"The text is not JSON: {error.msg} (character {error.pos}).") from None
    except JsonFault:
        raise
    except ValueError:
        raise JsonFault("A number has too many digits.") from None
    except RecursionError:
        raise JsonFault("The JSON is nested too deeply.") from None


def encode(value: Any) -> bytes:
    """One line of UTF-8. Raises TypeError, ValueError or RecursionError for what JSON cannot hold."""
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form, but a JSON escape.
        return _ASCII_ENCODER.encode(value).encode()


def _is_deeper(body: bytes, max_depth: int) -> bool:
    """Whether brackets nest deeper than that, counted without recursion; no brackets beyond the limit cost nothing."""
    if body.count(b"[") + body.count(b"{") <= max_depth:
        return False
    nesting = _STRING.sub(b"", body).translate(_AS_SQUARE, _NO_BRACKETS)
    for removed in range(max_depth):
        outer = nesting.replace(b"[]", b"")
        if len(outer) == len(nesting):
            # What is left is unbalanced; its open brackets still nest.
            return removed + outer.count(b"[") > max_depth
        nesting = outer
    return bool(nesting)


def _refuse_constant(name: str) -> Any:
    raise JsonFault(f"{name} is not JSON.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JsonFault("A number is too large.")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ASCII_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
