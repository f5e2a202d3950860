"""What is done to a valid JSON text: to its bytes, or to its value. A `Random` decides all of it."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Bytes = Callable[[Random, bytes], bytes]
Value = Callable[[Random, dict[str, Any]], Any]

ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xef\xbf\xbe",
    b"\r",
    b"\n",
    b"\r\n",
    b"\x0b",
    b"\x1b[2J",
    b"\x7f",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xa9",
    b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xf0\x9f\xa6\x80",
    b"\xf3\xa0\x81\xa1",
)
"""NUL, bytes that are no UTF-8, byte order marks, line ends of all kinds, controls, bidi, invisible, astral, tags."""
ODD_TEXTS = (
    "",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "\u2028",
    "\u2029",
    "\u202e",
    "\ufeff",
    "\n",
    "../../etc/passwd",
    "/dev/zero",
    "/proc/self/environ",
    "file:///etc/passwd",
    "mthds://methods/%00",
    "mthds://runs/" + "a" * 300,
    "mthds://[",
    "{{ 1 }}",
    "{% for i in range(9) %}x{% endfor %}",
    "a" * 300,
    "a/" * 200,
    "é" * 130,
    "__class__",
    "_meta",
    "-1",
    "NaN",
    "1e999",
    "2026-13-45T99:99:99Z",
)
NUMBERS = (
    0,
    -0.0,
    1,
    -1,
    1.5,
    1e308,
    -1e308,
    5e-324,
    2**31,
    2**53,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    2**64,
    10**30,
    10**300,
)
NUMBER_TEXTS = (
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"1E400",
    b"-0",
    b"00",
    b"01",
    b"+1",
    b".5",
    b"5.",
    b"0x10",
    b"1_000",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1" * 400,
    b"9" * 5000,
    b"0." + b"3" * 3000,
    b"1e" + b"9" * 50,
)
_QUOTES = b'"\\"'
_HOSTILE_SIZES = (130, 130, 130, 500, 2_000, 2_000, 20_000, 200_000)


def mutated_text(chance: Random, text: bytes, other: bytes) -> bytes:
    """A JSON text after one to three changes to its bytes; `other` is a text to splice in."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if chance.random() < 0.08:
            at = chance.randrange(len(text) + 1)
            text = text[:at] + other[chance.randrange(len(other)) :]
        else:
            text = chance.choice(_BYTE_CHANGES)(chance, text)
    return text


def mutated_bytes(chance: Random, data: bytes) -> bytes:
    """Bytes of any text after one to three changes."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = chance.choice(_ANY_CHANGES)(chance, data)
    return data


def mutated_value(chance: Random, value: dict[str, Any]) -> bytes:
    """A JSON value after one to three changes to its members, written in one of JSON's ways."""
    changed: Any = value
    for _ in range(chance.choice((1, 1, 2, 3))):
        if isinstance(changed, dict):
            changed = chance.choice(_VALUE_CHANGES)(chance, changed)
    return written(chance, changed)


def written(chance: Random, value: Any) -> bytes:
    """The text of a value: with escapes or without, spaced in some way."""
    separators = chance.choice(((",", ":"), (", ", ": "), (" ,\t", "\r: ")))
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5, separators=separators)
    return text.encode("utf-8", "surrogatepass")


def hostile_quotes(size: int) -> bytes:
    """Many brackets and a string that does not end: dear to a reader that tries each beginning again."""
    return b"[" * 129 + b'"' + b'\\"' * (size // 2)


def any_value(chance: Random, depth: int = 0) -> Any:
    """A value of any type."""
    kind = chance.randrange(9 if depth < 3 else 6)
    match kind:
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2 | 3:
            return chance.choice(NUMBERS)
        case 4 | 5:
            return chance.choice(ODD_TEXTS)
        case 6:
            return [any_value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
        case _:
            return {chance.choice(_NAMES): any_value(chance, depth + 1) for _ in range(chance.randint(0, 3))}


_NAMES = (
    "name",
    "value",
    "id",
    "concept",
    "content",
    "text",
    "url",
    "type",
    "files",
    "method",
    "arguments",
    "_meta",
    "",
) + ("\ud800", "\0", "a" * 200, "__proto__", "base64", "path", "progressToken")

# Changes to bytes.


def _flip(chance: Random, text: bytes) -> bytes:
    changed = bytearray(text)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(chance: Random, text: bytes) -> bytes:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.randbytes(chance.randint(1, 6)) + text[at + 3 :]


def _cut(chance: Random, text: bytes) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _drop(chance: Random, text: bytes) -> bytes:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + chance.choice((1, 1, 2, 20)) :]


def _repeat(chance: Random, text: bytes) -> bytes:
    begin = chance.randrange(len(text) + 1)
    part = text[begin : begin + chance.randint(1, 40)]
    return text[:begin] + part * chance.choice((2, 2, 3, 200)) + text[begin + len(part) :]


def _odd_bytes(chance: Random, text: bytes) -> bytes:
    at = chance.choice((0, len(text), chance.randrange(len(text) + 1)))
    return text[:at] + chance.choice(ODD_BYTES) + text[at:]


def _odd_escape(chance: Random, text: bytes) -> bytes:
    escape = chance.choice((b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"\\u2028", b"\\u2029", b"\\x", b"\\u12", b"\\"))
    return _in_a_string(chance, text, escape)


def _long_string(chance: Random, text: bytes) -> bytes:
    filler = chance.choice((b"a", b"\\\\", b'\\"', b"\\u2028", b"\xc3\xa9", b"/", b" ", b"{", b"[", b"%s"))
    return _in_a_string(chance, text, filler * (chance.choice(_HOSTILE_SIZES) // len(filler)))


def _in_a_string(chance: Random, text: bytes, piece: bytes) -> bytes:
    places = [at for at, byte in enumerate(text) if byte == 34]
    at = chance.choice(places) + 1 if places else 0
    return text[:at] + piece + text[at:]


def _odd_number(chance: Random, text: bytes) -> bytes:
    return _in_a_place(chance, text, chance.choice(NUMBER_TEXTS))


def _nest(chance: Random, text: bytes) -> bytes:
    size = chance.choice(_HOSTILE_SIZES[:-1])
    opened, closed = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
    inner = chance.choice((b"1", b'""', b"", _QUOTES * 3))
    return _in_a_place(
        chance, text, opened * size + inner + closed * chance.choice((size, size, size - 1, 0, size + 1))
    )


def _quotes(chance: Random, text: bytes) -> bytes:
    return hostile_quotes(chance.choice(_HOSTILE_SIZES)) + (text if chance.random() < 0.5 else b"")


def _in_a_place(chance: Random, text: bytes, piece: bytes) -> bytes:
    """In place of some value."""
    places = [at for at, byte in enumerate(text) if byte == 58]
    if not places:
        return piece
    begin = chance.choice(places) + 1
    end = next((at for at in range(begin, len(text)) if text[at] in b",}]"), len(text))
    return text[:begin] + piece + text[end:]


def _many_members(chance: Random, text: bytes) -> bytes:
    count = chance.choice((20, 20, 1000))
    members = b",".join(b'"k%d":%d' % (number, number) for number in range(count))
    return text[:1] + members + b"," + text[1:]


def _spaces(chance: Random, text: bytes) -> bytes:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice((b" ", b"\t", b"\r", b" \t")) * chance.choice(_HOSTILE_SIZES) + text[at:]


def _double_member(chance: Random, text: bytes) -> bytes:
    member = chance.choice((b'"id":null', b'"id":"twice"', b'"method":"version"', b'"params":[]', b'"jsonrpc":"1.0"'))
    return text[:-1] + b"," + member + b"}"


def _nothing_but(chance: Random, text: bytes) -> bytes:
    return chance.choice(
        (b"", b"null", b"true", b"0", b'""', b"{}", b"[]", b"[[]]", b"}", b'"', b"{{}", b'{"id":1', b"c")
    )


_ANY_CHANGES: Sequence[Bytes] = (_flip, _flip, _overwrite, _cut, _cut, _drop, _repeat, _odd_bytes, _odd_bytes, _spaces)
_BYTE_CHANGES: Sequence[Bytes] = (
    *(*_ANY_CHANGES, _odd_escape, _odd_escape, _odd_number, _odd_number, _nest),
    *(_long_string, _quotes, _many_members, _double_member, _nothing_but),
)

# Changes to values.


def _change_id(chance: Random, value: dict[str, Any]) -> Any:
    ids: Sequence[Any] = (
        None,
        0,
        "",
        "1",
        1,
        1.0,
        1.5,
        -1,
        2**70,
        True,
        [],
        {},
        [1],
        "\ud800",
        "\u2028",
        "a" * 300,
        1e300,
    )
    return {**value, "id": chance.choice(ids)}


def _drop_member(chance: Random, value: dict[str, Any]) -> Any:
    dropped = chance.choice(list(value)) if value else None
    return {name: inner for name, inner in value.items() if name != dropped}


def _swap_type(chance: Random, value: dict[str, Any]) -> Any:
    name = chance.choice(("params", "params", "jsonrpc", "method"))
    return {**value, name: any_value(chance)}


def _swap_inside(chance: Random, value: dict[str, Any]) -> Any:
    """Another value somewhere in the params."""
    parents: list[tuple[Any, Any]] = []
    stack: list[Any] = [value.get("params")]
    while stack:
        inner = stack.pop()
        keys: Any = inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        for key in keys:
            parents.append((inner, key))
            stack.append(inner[key])
    if parents:
        parent, key = chance.choice(parents)
        parent[key] = any_value(chance)
    return value


def _add_inside(chance: Random, value: dict[str, Any]) -> Any:
    params = value.get("params")
    given = params if isinstance(params, dict) else {}
    return {**value, "params": {**given, chance.choice(_NAMES): any_value(chance)}}


def _odd_meta(chance: Random, value: dict[str, Any]) -> Any:
    params = value.get("params")
    given = params if isinstance(params, dict) else {}
    token = {"progressToken": any_value(chance)}
    return {**value, "params": {**given, "_meta": chance.choice((token, any_value(chance)))}}


def _by_position(chance: Random, value: dict[str, Any]) -> Any:
    params = value.get("params")
    return {**value, "params": list(params.values()) if isinstance(params, dict) else [any_value(chance)]}


def _as_response(chance: Random, value: dict[str, Any]) -> Any:
    kept = {name: inner for name, inner in value.items() if name != "method" or chance.random() < 0.3}
    return {**kept, chance.choice(("result", "error")): any_value(chance)}


def _another_method(chance: Random, value: dict[str, Any]) -> Any:
    methods = ("nope", "", "rpc.", "$/setTrace", "runs/get", "tools/call", "execute", "validate", "version", "ping")
    return {**value, "method": chance.choice(methods)}


def _without_params(chance: Random, value: dict[str, Any]) -> Any:
    return {**value, "params": chance.choice((None, {}, []))}


_VALUE_CHANGES: Sequence[Value] = (
    *(_change_id, _change_id, _drop_member, _swap_type, _swap_inside, _swap_inside, _swap_inside, _add_inside),
    *(_odd_meta, _by_position, _as_response, _another_method, _without_params),
)
