"""Messages of every hostile kind, each with what has to be answered to it.

The seed decides all of it: the seed, the number of a session and the number of a message in it give its bytes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from tests.fault.exchanges import Exchange
from tests.fault.mutations import mutated_text, mutated_value, written
from tests.fault.wire_samples import ENDING, NEEDS_AN_ENGINE, PLAIN, SESSIONS, Samples
from tests.support.wire_oracle import (
    Bounds,
    Expected,
    Key,
    Read,
    expected_of,
    is_listening,
    key_of,
    lines_in,
    read,
)

Framing = Literal["lines", "headers"]
FRAMINGS: Sequence[Framing] = ("lines", "headers")
BOUNDS = Bounds(message_bytes=1_000_000)
SETTINGS = f"[rpc.limits]\nmax_message_bytes = {BOUNDS.message_bytes}\n"
"""What a server is configured with, so that messages above its limit are cheap."""

_KINDS = {"many": 60, "few": 14, "array": 10, "storm": 4, "framing": 4, "large": 1}
_VERSION = b'{"jsonrpc":"2.0","id":"%b","method":"version"}'


@dataclass(frozen=True)
class Session:
    """One conversation: which one of the campaign, and how many messages it has."""

    seed: int
    number: int
    messages: int

    @property
    def framing(self) -> Framing:
        return FRAMINGS[self.number % 2]

    @property
    def kind(self) -> str:
        """`PLAIN`, or the revision of a handshake."""
        return SESSIONS[self.number // 2 % len(SESSIONS)]

    def chance(self, *more: object) -> Random:
        return Random(":".join(map(str, (self.seed, self.number, *more))))


@dataclass(frozen=True)
class Batch:
    """Messages that are sent together."""

    kind: str
    bodies: Sequence[bytes]
    """Of the messages as the framing shows them, the probe left out."""
    exchange: Exchange


def frame(body: bytes, framing: Framing) -> bytes:
    """A message as it is sent."""
    return body + b"\n" if framing == "lines" else b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def version_request(name: str) -> bytes:
    """A sound request under an id."""
    return _VERSION % name.encode()


def batches(session: Session, pool: Samples) -> Iterator[Batch]:
    """Without end: what is sent together, of each kind as often as its weight says."""
    number = 0
    chance = session.chance("batches")
    kinds = {kind: weight for kind, weight in _KINDS.items() if kind != "framing" or session.framing == "headers"}
    while True:
        kind = chance.choices(list(kinds), list(kinds.values()))[0]
        sizes = {"many": chance.randint(40, 250), "few": chance.randint(1, 4), "storm": chance.randint(20, 120)}
        size = sizes.get(kind, 1)
        match kind:
            case "array":
                made = [_array(chance, [message(session, pool, f"{number}.{n}") for n in range(chance.randint(1, 7))])]
            case "storm":
                made = _storm(chance, pool, number, size)
            case "large":
                made = [large_message(chance, (900_000, 999_000, 1_000_001, 1_500_000))]
            case _:
                made = [message(session, pool, number + offset) for offset in range(size)]
        number += size
        if kind == "framing":
            yield misframed(session, chance, made[0], number)
        else:
            yield batch_of(session, kind, [body for one in made for body in bodies_in(one, session.framing)], number)


def message(session: Session, pool: Samples, number: int | str) -> bytes:
    """One mutated message of a session; its id is its number, unless that is what was mutated."""
    chance = session.chance(number)
    value = json.loads(pool.one(chance))
    if "id" in value:
        value["id"] = number if chance.random() < 0.9 else chance.randrange(9)
    kind = chance.random()
    if kind < 0.04:
        return written(chance, value)
    if kind < 0.5:
        return mutated_value(chance, value)
    return mutated_text(chance, json.dumps(value).encode(), pool.one(chance))


def batch_of(session: Session, kind: str, bodies: Sequence[bytes], number: int, bounds: Bounds = BOUNDS) -> Batch:
    """What is sent for these messages: them, a cancellation of what would last, a probe."""
    bodies = [body for body in bodies if not any(name.encode() in body for name in ENDING)]
    reads = [read(body, bounds) for body in bodies]
    closing = [_cancellation(call["id"]) for one in reads for call in one.calls if is_listening(call)]
    probe = f"probe-{number}"
    tail = [*closing, version_request(probe)]
    ways = list(_ways(session, bodies, reads, [read(body, BOUNDS) for body in tail]))
    data = b"".join(frame(body, session.framing) for body in (*bodies, *tail))
    return Batch(kind, bodies, Exchange(data, ways, key_of(probe), frozenset(_slow_keys(reads))))


def misframed(session: Session, chance: Random, body: bytes, number: int) -> Batch:
    """A message behind headers that are wrong in some way; the server has to understand one of the next few again."""
    probe = f"probe-{number}"
    resync = [frame(version_request(f"resync-{number}-{n}"), "headers") for n in range(3)]
    data = _behind_bad_headers(chance, body)
    whole = b"".join((data, *resync, frame(version_request(probe), "headers")))
    return Batch("framing", [data], Exchange(whole, [Expected()], key_of(probe), is_lenient=True))


def bodies_in(data: bytes, framing: Framing) -> Sequence[bytes]:
    """The messages that the server takes `data` for."""
    return list(lines_in(data)) if framing == "lines" else [data]


def _ways(session: Session, bodies: Sequence[bytes], reads: Sequence[Read], tail: Sequence[Read]) -> Iterator[Expected]:
    """How it may be answered: call by call; or an array with one refusal, where the revision has none."""
    yield expected_of([*reads, *tail])
    if len(bodies) == 1 and reads[0].is_batch and (session.kind != PLAIN or b"_meta" in bodies[0]):
        yield expected_of([Read(), *tail])


def _slow_keys(reads: Sequence[Read]) -> Iterator[Key]:
    for one in reads:
        if any(str(call.get("method")) in NEEDS_AN_ENGINE for call in one.calls):
            yield from one.ids


def _cancellation(id_: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id_}}).encode()


def _array(chance: Random, parts: Sequence[bytes]) -> bytes:
    """A batch of messages, or of what is left of them."""
    kind = chance.random()
    if kind < 0.05:
        return b"[" + b",".join([b"1"] * chance.choice((1, 999, 1000, 1001))) + b"]"
    if kind < 0.1:
        return b"[" + b"[" * chance.randint(0, 3) + parts[0] + b"]" * chance.randint(0, 4)
    return b"[" + b",".join(parts) + b"]"


def _storm(chance: Random, pool: Samples, number: int, size: int) -> list[bytes]:
    """Calls that take a while under few ids, some used again at once, and cancellations of them in either form."""
    made = []
    for offset in range(size):
        id_ = chance.choice((number, str(number), number + chance.randint(0, 9), number + offset))
        value = json.loads(pool.one(chance, heavy_share=0.3))
        value["id"] = id_
        if chance.random() < 0.45:
            method, name = chance.choice((("$/cancelRequest", "id"), ("notifications/cancelled", "requestId")))
            value = {"jsonrpc": "2.0", "method": method, "params": {name: chance.choice((id_, str(id_), number))}}
        made.append(json.dumps(value).encode())
    return made


def large_message(chance: Random, sizes: Sequence[int]) -> bytes:
    """A message of about one of these sizes, of one line, that is dear to read."""
    size = chance.choice(sizes)
    fillers = (
        b"a",
        b'\\"',
        b"[",
        b'{"a":',
        b"1",
        b" ",
        b"\\u2028",
        b"\xff",
        b"[]",
        b'"",',
        b"\x00",
        b"[],",
        b"{},",
        b"1.5,",
    )
    filler = chance.choice((*fillers, b'"\\"",', b"\xe2\x80\xa8", b'"id":1,'))
    head = b'{"jsonrpc":"2.0","id":"large","method":"version","params":{"x":' + chance.choice((b'"', b"[", b""))
    return head + filler * (size // len(filler)) + chance.choice((b'"}}', b"]}}", b""))


def _behind_bad_headers(chance: Random, body: bytes) -> bytes:
    size = len(body)
    length = chance.choice((size, max(0, size - chance.randint(1, 9)), size + chance.randint(1, 9), 0))
    headers = (
        *(b"Content-Length: %d", b"content-length:%d", b"Content-Length : %d", b"Content-Length: -%d", b":"),
        *(b"Content-Length: %dx", b"Content-Lenght: %d", b"Content-Length: 0x%d", b"Content-Length:", b"nonsense"),
        *(b"Content-Length: %d\r\nContent-Length: 1%d", b"X-A: b\r\nContent-Length: %d", b"", b"\xff\xfe: %d"),
        b"Content-Length: %d\r\nContent-Type: application/json; charset=utf-16",
        b"Content-Length: %d\r\nX: " + b"y" * 17_000,
    )
    header = chance.choice(headers).replace(b"%d", b"%d" % length)
    return header + chance.choice((b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n")) + body
