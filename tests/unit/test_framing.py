import pytest

from rpc_server.wire.framing import BOM, Decoder, FaultKind, Frame, Framing, FramingFault, frame

LIMIT = 1000


def frames_of(*chunks: bytes, limit: int = LIMIT) -> list[Frame]:
    decoder = Decoder(limit)
    return [piece for chunk in chunks for piece in decoder.feed(chunk)] + decoder.end()


def kinds_of(pieces: list[Frame]) -> list[object]:
    return [piece.kind if isinstance(piece, FramingFault) else piece for piece in pieces]


def headed(body: bytes) -> bytes:
    return frame(body, Framing.HEADERS)


@pytest.mark.parametrize(
    ("data", "framing"),
    [
        (b'{"a":1}\n', Framing.LINES),
        (b"[1]\n", Framing.LINES),
        (b' \r\n\t{"a":1}\n', Framing.LINES),
        (b"nonsense\n", Framing.LINES),
        (b"Content-Length: 2\r\n\r\n{}", Framing.HEADERS),
        (b"content-length: 2\r\n\r\n{}", Framing.HEADERS),
        (BOM + b"{}\n", Framing.LINES),
        (BOM + b"Content-Length: 2\r\n\r\n{}", Framing.HEADERS),
        (b"", Framing.LINES),
    ],
)
def test_the_first_byte_tells_how_the_peer_speaks(data: bytes, framing: Framing) -> None:
    decoder = Decoder(LIMIT)

    decoder.feed(data)

    assert decoder.framing is framing


@pytest.mark.parametrize(
    "data",
    [
        b"{}\n[]\n",
        b"{}\r\n[]\r\n",
        b"\n\n{}\n\r\n  \n[]\n\n",
        b"{}\n[]",
        BOM + b"{}\n[]\n",
        b" {} \n\t[]\t\n",
    ],
)
def test_each_line_that_is_not_blank_is_a_message(data: bytes) -> None:
    assert frames_of(data) == [b"{}", b"[]"]


def test_a_message_may_come_byte_by_byte() -> None:
    data = b'{"text":"\xc3\xa9\xe2\x80\x94"}\n'

    assert frames_of(*(bytes([byte]) for byte in BOM + data)) == [data.strip()]


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 2\r\n\r\n{}Content-Length: 2\r\n\r\n[]",
        b"CONTENT-LENGTH:2\r\n\r\n{}content-length :  2 \r\n\r\n[]",
        b"Content-Length: 2\n\n{}Content-Length: 2\n\n[]",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\nX-Other: a:b\r\n\r\n{}"
        b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]",
        b"Content-Length: 2\r\n\r\n{}\r\n\r\nContent-Length: 2\r\n\r\n[]\r\n",
        b'Content-Type: application/json; charset="UTF8"\r\nContent-Length: 2\r\n\r\n{}Content-Length: 2\r\n\r\n[]',
    ],
)
def test_headers_are_read_as_they_are_written_in_the_wild(data: bytes) -> None:
    assert frames_of(data) == [b"{}", b"[]"]


def test_content_length_counts_bytes_and_a_body_may_hold_line_feeds() -> None:
    body = '{\n  "text": "é—𝄞"\r\n\r\n}'.encode()

    assert frames_of(headed(body) + headed(b"[]")) == [body, b"[]"]
    assert headed(body).startswith(b"Content-Length: %d\r\n\r\n" % len(body))


@pytest.mark.parametrize("size", [LIMIT + 1, 10 * LIMIT])
def test_a_line_over_the_limit_is_skipped_and_the_next_is_read(size: int) -> None:
    assert kinds_of(frames_of(b"x" * size + b"\n{}\n")) == [FaultKind.TOO_LARGE, b"{}"]


def test_a_body_over_the_limit_is_skipped_and_the_next_is_read() -> None:
    pieces = frames_of(headed(b"x" * (LIMIT + 1)) + headed(b"{}"))

    assert kinds_of(pieces) == [FaultKind.TOO_LARGE, b"{}"]


def test_a_message_as_large_as_the_limit_is_read() -> None:
    body = b"x" * LIMIT

    assert frames_of(body + b"\n") == [body]
    assert frames_of(headed(body)) == [body]


@pytest.mark.parametrize("start", [b"{", b"Content-Length: 999999999\r\n\r\n"])
def test_a_message_over_the_limit_is_told_at_once_and_not_held(start: bytes) -> None:
    decoder = Decoder(LIMIT)
    pieces = decoder.feed(start + b"x" * LIMIT)
    held_after_the_first = _held_bytes(decoder)

    for _ in range(100):
        pieces += decoder.feed(b"x" * 64 * 1024)

    assert kinds_of(pieces) == [FaultKind.TOO_LARGE]
    assert _held_bytes(decoder) <= held_after_the_first <= LIMIT


def _held_bytes(decoder: Decoder) -> int:
    frames = decoder._frames
    assert frames is not None
    return len(frames._held)


@pytest.mark.parametrize("framing", Framing)
def test_a_message_over_the_limit_is_reported_with_its_head(framing: Framing) -> None:
    message = b'{"id":1,' + b"x" * 2 * LIMIT

    for chunks in ([message], [bytes([byte]) for byte in message]):
        sent = frame(message, framing)[: -len(message)] if framing is Framing.HEADERS else b""
        (fault,) = (piece for piece in frames_of(sent, *chunks) if isinstance(piece, FramingFault))
        assert fault.head == message[:LIMIT]


def test_a_message_over_the_limit_whose_end_never_comes_is_told() -> None:
    assert kinds_of(frames_of(b"Content-Length: 5000\r\n\r\n{")) == [FaultKind.TOO_LARGE]


@pytest.mark.parametrize(
    "bad",
    [
        b"Content-Length: two\r\n\r\n",
        b"Content-Length: -2\r\n\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"Content-Type: x\r\n\r\n",
        b"Connecting to the server\r\n",
        b"C" * 100_000 + b"\r\n",
        b"".join(b"C%d: x\r\n" % number for number in range(5_000)) + b"\r\n",
        b'Content-Length: 1\r\n\r\n{"the rest of a body that was longer than announced": 1}',
    ],
)
def test_a_bad_header_is_told_once_and_the_next_message_is_found(bad: bytes) -> None:
    pieces = kinds_of(frames_of(bad + headed(b"[]") + headed(b"{}")))

    assert pieces[-2:] == [b"[]", b"{}"]
    assert pieces.count(FaultKind.BAD_HEADER) == 1


@pytest.mark.parametrize(
    "first",
    [
        b"X-Trace: 7\r\nContent-Length: 2\r\n\r\n{}",
        b"Accept: */*\r\nContent-Type: x\r\nContent-Length: 2\r\n\r\n{}",
        b"Kontent-Length: 2\r\n\r\n{}",
        b": 2\r\n\r\n{}",
        b"\x00\x01\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        b"2\r\n\r\n{}",
        b"Content-Length\r\n\r\n{}",
        b"Content-Length: \r\n\r\n{}",
        b"Content-Length: 0x2\r\n\r\n{}",
        b"Content-Length: 2, 2\r\n\r\n{}",
        b"Content-Length 2\r\n\r\n{}",
        b"Content-Type: x\r\n\r\n{}",
        b"Content-Length: two\r\n\r\n{}",
        b"Content-Length: two\r\n\r\n{\n}\n",
        b"hello Content-Length: 2\r\n\r\n{}",
    ],
)
@pytest.mark.parametrize("is_whole", [True, False])
def test_headers_are_found_after_bad_first_ones_of_any_kind(first: bytes, is_whole: bool) -> None:
    decoder = Decoder(LIMIT)
    data = first + headed(b"[1]") + headed(b"[2]")

    pieces = [
        piece for part in ([data] if is_whole else map(bytes, zip(data, strict=True))) for piece in decoder.feed(part)
    ]

    assert pieces[-2:] == [b"[1]", b"[2]"]
    assert decoder.framing is Framing.HEADERS


def test_a_message_in_another_charset_is_skipped() -> None:
    data = b"Content-Type: text/plain; charset=utf-16\r\nContent-Length: 4\r\n\r\n\xff\xfe{}" + headed(b"{}")

    assert kinds_of(frames_of(data)) == [FaultKind.BAD_HEADER, b"{}"]


def test_lines_behind_a_greeting_that_looks_like_a_header_are_read() -> None:
    decoder = Decoder(LIMIT)

    pieces = decoder.feed(b"Connected.\n{}\n") + decoder.feed(b"[]\n")

    assert kinds_of(pieces) == [FaultKind.BAD_HEADER, b"{}", b"[]"]
    assert decoder.framing is Framing.LINES


@pytest.mark.parametrize("cut", [b"Content-Length: 10\r\n\r\n{", b"Content-Length: 10\r\n", b"Conte"])
def test_an_end_within_a_headed_message_is_told(cut: bytes) -> None:
    assert kinds_of(frames_of(cut)) == [FaultKind.CUT_SHORT]


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", BOM, headed(b"{}")])
def test_an_end_between_messages_is_no_fault(data: bytes) -> None:
    assert not any(isinstance(piece, FramingFault) for piece in frames_of(data))


def test_an_empty_body_is_a_message_and_so_gets_an_answer() -> None:
    assert frames_of(b"Content-Length: 0\r\n\r\n" + headed(b"{}")) == [b"", b"{}"]


def test_a_part_of_a_byte_order_mark_alone_is_a_message() -> None:
    assert frames_of(BOM[:2]) == [BOM[:2]]
