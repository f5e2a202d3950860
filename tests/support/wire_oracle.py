"""What JSON-RPC and MCP ask of a server for bytes that it is sent, whatever they are: which ids it has to answer.

The bytes are read here as the wire contract says, with no code of the server. Where the contract leaves a choice,
each way is expected.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.mcp_schemas import is_mcp

Key = tuple[bool, Any]
"""An id to look up by: whether it is text, and the id. 1 and "1" are two, 1 and 1.0 are one."""
NULL_ID: Key = (False, None)
"""The id of an answer to what had none that could be read."""
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*+"|[^\s",:{}\[\]]++)')
_HEAD_BYTES = 4096
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Bounds:
    """The limits of the server, as it is configured."""

    message_bytes: int = 32 * 1024 * 1024
    depth: int = 128
    batch: int = 1000


@dataclass
class Expected:
    """How often each id has to be answered: so often, and up to `optional` more.

    `loose` more answers have to come under ids of `heads`: their messages could not be read.
    """

    least: Counter[Key] = field(default_factory=Counter)
    optional: Counter[Key] = field(default_factory=Counter)
    loose: int = 0
    heads: set[Key] = field(default_factory=set)

    def most(self, key: Key) -> int:
        return self.least[key] + self.optional[key]

    def is_met_by(self, answered: Counter[Key]) -> bool:
        """Whether all has come that has to."""
        if any(answered[key] < count for key, count in self.least.items()):
            return False
        return sum(max(0, answered[key] - self.least[key]) for key in self.heads) >= self.loose


@dataclass(frozen=True)
class Read:
    """One message as the server has to understand it."""

    ids: Sequence[Key] = (NULL_ID,)
    """What has to be answered."""
    calls: Sequence[dict[str, Any]] = ()
    """The requests and notifications in it."""
    is_batch: bool = False
    heads: frozenset[Key] = frozenset()
    """Ids that stand in the head of what is too large or too deep to be read: it may be answered under one of them."""


def key_of(id_: Any) -> Key:
    """The key of an id; half of a surrogate pair, which no host can read, is answered as U+FFFD."""
    return (True, _SURROGATE.sub("\ufffd", id_)) if isinstance(id_, str) else (False, id_)


def lines_in(data: bytes) -> Iterator[bytes]:
    """The messages in bytes that are sent as lines."""
    for line in data.split(b"\n"):
        text = line.strip(_BLANK)
        if text:
            yield text


def read(body: bytes, bounds: Bounds) -> Read:
    """What one message is."""
    if len(body) > bounds.message_bytes:
        return Read(heads=_ids_in_head(body))
    try:
        value = _parsed(body, bounds.depth)
    except (ValueError, RecursionError):
        return Read(heads=_ids_in_head(body) if _brackets(body) > bounds.depth else frozenset())
    if not isinstance(value, list):
        return Read(_ids_of(value), [value] if isinstance(value, dict) else [])
    if not 1 <= len(value) <= bounds.batch:
        return Read()
    calls = [part for part in value if isinstance(part, dict)]
    return Read([key for part in value for key in _ids_of(part)], calls, is_batch=True)


def expected_of(messages: Sequence[Read]) -> Expected:
    """What has to be answered to messages that are sent together, each call of a batch for itself."""
    expected = Expected(Counter(key for message in messages if not message.heads for key in message.ids))
    for message in messages:
        if message.heads:
            expected.loose += 1
            expected.heads |= {NULL_ID, *message.heads}
            expected.optional.update({NULL_ID, *message.heads})
    for call in (call for message in messages for call in message.calls):
        _forgive(call, expected, messages)
    return expected


def is_listening(call: dict[str, Any]) -> bool:
    """Whether a call may last until it is cancelled."""
    return call.get("method") == "subscriptions/listen" and isinstance(call.get("id"), str | int)


def _forgive(call: dict[str, Any], expected: Expected, messages: Sequence[Read]) -> None:
    """MCP's cancellation may take the answer away from each MCP request of that id."""
    params = call.get("params")
    if call.get("method") != "notifications/cancelled" or "id" in call or not isinstance(params, dict):
        return
    id_ = params.get("requestId")
    if not _is_legal(id_) or id_ is None:
        return
    key = key_of(id_)
    cancelled = sum(
        is_mcp(other.get("method")) and _is_legal(other.get("id")) and key_of(other["id"]) == key
        for message in messages
        for other in message.calls
        if "id" in other
    )
    forgiven = min(cancelled, expected.least[key])
    expected.least[key] -= forgiven
    expected.optional[key] += forgiven


def _ids_of(value: Any) -> Sequence[Key]:
    """The ids that one call, or what stands in its place, has to be answered under."""
    if not isinstance(value, dict):
        return (NULL_ID,)
    if "method" not in value and ("result" in value or "error" in value):
        return ()
    if "id" not in value:
        return () if isinstance(value.get("method"), str) else (NULL_ID,)
    return (key_of(value["id"]),) if _is_legal(value["id"]) else (NULL_ID,)


def _is_legal(id_: Any) -> bool:
    return id_ is None or (isinstance(id_, str | int | float) and not isinstance(id_, bool))


def _parsed(body: bytes, depth: int) -> Any:
    text = body.removeprefix(_BOM).decode("utf-8")
    if _brackets(body) > depth and _is_deeper(json.loads(text, object_pairs_hook=_members), depth):
        raise ValueError("too deep")
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _brackets(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def _ids_in_head(body: bytes) -> frozenset[Key]:
    """Whatever may be taken for an id at the beginning of a message."""
    found = set()
    for text in _ID.findall(body[:_HEAD_BYTES]):
        try:
            id_ = json.loads(text)
        except ValueError:
            continue
        if _is_legal(id_):
            found.add(key_of(id_))
    return frozenset(found)


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether lists nest deeper than that."""
    level = [value] if isinstance(value, list) else []
    for _ in range(depth):
        level = [inner for outer in level for inner in outer if isinstance(inner, list)]
    return bool(level)


def _members(pairs: list[tuple[str, Any]]) -> list[Any]:
    """An object as the list of its members' values, those of one name included."""
    return [value for _, value in pairs]


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number
