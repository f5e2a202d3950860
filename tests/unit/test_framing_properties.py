import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rpc_server.wire.framing import BOM, Decoder, Frame, Framing, frame
from rpc_server.wire.json_text import encode

LIMIT = 200

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
messages = st.dictionaries(st.text(max_size=5), values, max_size=3) | st.lists(values, max_size=3)


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=12))
    return [data[start:end] for start, end in pairwise([0, *sorted(cuts), len(data)])]


def decode(chunks: list[bytes], limit: int = 100_000) -> list[Frame]:
    decoder = Decoder(limit)
    return [piece for chunk in chunks for piece in decoder.feed(chunk)] + decoder.end()


@given(st.data(), st.lists(messages, max_size=5), st.sampled_from(Framing), st.booleans())
def test_any_chunking_gives_the_same_messages(data: Any, sent: list[Any], framing: Framing, has_mark: bool) -> None:
    stream = (BOM if has_mark else b"") + b"".join(frame(encode(message), framing) for message in sent)

    received = decode(data.draw(chunked(stream)))

    assert [json.loads(piece) for piece in received if isinstance(piece, bytes)] == sent


@given(st.data(), st.binary(max_size=300))
def test_garbage_gives_the_same_frames_in_any_chunking(data: Any, stream: bytes) -> None:
    assert decode(data.draw(chunked(stream)), LIMIT) == decode([stream], LIMIT)


header_like = st.lists(
    st.sampled_from(
        [
            b"Content-Length",
            b"c",
            b":",
            b" ",
            b"2",
            b"-1",
            b"\r\n",
            b"\n",
            b"{}",
            b"[",
            b"charset=latin1",
            b"Content-Type",
            b"x" * 90,
        ]
    )
).map(b"".join)


@given(st.data(), header_like)
def test_what_looks_like_headers_gives_the_same_frames_in_any_chunking(data: Any, garbage: bytes) -> None:
    stream = b"C" + garbage

    assert decode(data.draw(chunked(stream)), LIMIT) == decode([stream], LIMIT)


@given(header_like.filter(lambda garbage: b"2222" not in garbage), st.lists(messages, min_size=1, max_size=3))
def test_messages_with_headers_are_found_again_behind_garbage(garbage: bytes, sent: list[Any]) -> None:
    """Once what the garbage announced has been swallowed, the stream is in step again."""
    swallowed = b"\r\n" * 10_000
    stream = b"Content-Length: 2\r\n\r\n{}" + garbage.replace(b"{", b"").replace(b"[", b"") + swallowed

    received = decode([stream, *(frame(encode(message), Framing.HEADERS) for message in sent)])

    readable = [piece for piece in received if isinstance(piece, bytes)]
    assert [json.loads(piece) for piece in readable[-len(sent) :]] == sent
