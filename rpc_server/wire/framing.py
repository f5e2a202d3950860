"""Bytes to messages and back, without I/O: one message per line, or `Content-Length` headers.

The first byte that is not blank shows which of the two a peer uses; it is answered in the same.
"""

import re
from dataclasses import dataclass
from enum import Enum

BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 4096
"""As much of a message as is looked at for its id where the message is not read."""

_BLANK = b" \t\r\n"
_MAX_HEADER_BYTES = 16 * 1024
_LONGEST_LENGTH_HEADER = 256
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH_AT_END = re.compile(rb"content-length[ \t]*:[ \t]*([0-9]{1,15})[ \t\r]*\Z", re.IGNORECASE)
_CHARSET = re.compile(rb"charset[ \t]*=[ \t]*\"?([^\s;\"]+)", re.IGNORECASE)


class Framing(Enum):
    """How messages are separated on a stream."""

    LINES = "lines"
    HEADERS = "headers"


class FaultKind(Enum):
    """What kept bytes from becoming a message."""

    TOO_LARGE = "too_large"
    BAD_HEADER = "bad_header"
    CUT_SHORT = "cut_short"


@dataclass(frozen=True, slots=True)
class FramingFault:
    """Stands where a message should have been; the stream continues behind it."""

    kind: FaultKind
    detail: str
    head: bytes = b""
    """The first bytes of a message that is too large, as many as are kept."""


Frame = bytes | FramingFault
"""A message's bytes, not yet known to be JSON, or what was wrong in its place."""


def frame(body: bytes, framing: Framing) -> bytes:
    """The bytes of one outgoing message. `body` holds no line feed, as is so for compact JSON."""
    if framing is Framing.LINES:
        return body + b"\n"
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Decoder:
    """Splits a stream into messages; holds no more than one message and never raises."""

    def __init__(self, max_message_bytes: int) -> None:
        self._limit = max_message_bytes
        self._start = b""
        self._frames: _Lines | _Headers | None = None

    @property
    def framing(self) -> Framing:
        """How to answer: as the peer speaks, in lines as long as nothing is known."""
        return Framing.HEADERS if isinstance(self._frames, _Headers) else Framing.LINES

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return what they complete, in order."""
        if self._frames is None:
            data = self._tell_apart(self._start + data)
        if self._frames is None or not data:
            return []
        frames: list[Frame] = []
        other = self._frames.feed(data, frames)
        while other is not None:
            self._frames, data = other
            other = self._frames.feed(data, frames)
        return frames

    def end(self) -> list[Frame]:
        """The stream is over: a last line needs no line feed, anything else that is unfinished is a fault."""
        if self._frames is None:
            return self.feed(b"\n") if self._start else []
        return self._frames.end()

    def _tell_apart(self, data: bytes) -> bytes:
        """Choose the framing if `data` shows it; what is left of `data`."""
        data = data.lstrip(_BLANK)
        self._start = b""
        if data.startswith(BOM):
            data = data[len(BOM) :].lstrip(_BLANK)
        elif len(data) < len(BOM) and BOM.startswith(data):
            self._start = data
            return b""
        if data:
            self._frames = _Headers(self._limit) if data[:1] in b"Cc" else _Lines(self._limit)
        return data


class _Lines:
    """One message per line; blank lines mean nothing.

    A line that ends in a `Content-Length` header, which no JSON text does, shows a peer that speaks in headers after
    all, and whose first ones were bad.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._is_skipping = False

    def feed(self, data: bytes, frames: list[Frame]) -> "tuple[_Headers, bytes] | None":
        """Who takes the rest of `data`, and that rest, where the peer turns out to speak in headers."""
        *parts, tail = data.split(b"\n")
        for number, part in enumerate(parts, start=1):
            line = self._completed(part, frames)
            if line and line[-1] not in b"}]":
                header = _LENGTH_AT_END.search(line, max(0, len(line) - _LONGEST_LENGTH_HEADER))
                if header is not None:
                    frames += filter(None, [line[: header.start()].strip(_BLANK)])
                    return _Headers(self._limit, header), b"\n".join([*parts[number:], tail])
            if line:
                frames.append(line)
        self._hold(tail, frames)
        return None

    def end(self) -> list[Frame]:
        frames: list[Frame] = []
        line = self._completed(b"", frames)
        return [*frames, line] if line else frames

    def _completed(self, part: bytes, frames: list[Frame]) -> bytes:
        """The line that `part` completes, blanks around it left out; empty where it was too long."""
        if self._held or self._is_skipping or len(part) > self._limit:
            self._hold(part, frames)
            part = bytes(self._held)
            self._held.clear()
            self._is_skipping = False
        return part.strip(_BLANK)

    def _hold(self, part: bytes, frames: list[Frame]) -> None:
        if self._is_skipping:
            return
        if len(self._held) + len(part) > self._limit:
            frames.append(_too_large(self._limit, bytes(self._held[:HEAD_BYTES]) + part[:HEAD_BYTES]))
            self._held.clear()
            self._is_skipping = True
        else:
            self._held += part


class _Headers:
    """`Content-Length` headers, an empty line, then as many bytes.

    After a bad header everything is dropped until a line that ends in a `Content-Length` header, which also finds the
    next message behind a body that was longer than announced. A line that opens a JSON value shows a peer that speaks
    in lines after all, unless it has named a `Content-Length` already.
    """

    def __init__(self, limit: int, found: "re.Match[bytes] | None" = None) -> None:
        """`found` is a `Content-Length` header that was read already."""
        self._limit = limit
        self._line = b""
        self._block_size = 0
        self._length: int | None = None
        self._charset_fault: FramingFault | None = None
        self._is_lost = False
        self._names_length = False
        self._held = bytearray()
        self._missing = 0
        self._is_skipping = False
        self._is_too_large = False
        """Whether the message that is skipped is still to be reported, with its head."""
        if found is not None:
            self._begin_again(found)

    def feed(self, data: bytes, frames: list[Frame]) -> "tuple[_Lines, bytes] | None":
        """Who takes the rest of `data`, and that rest, where the peer turns out to speak in lines."""
        position = 0
        while position < len(data):
            if self._missing:
                position = self._take_body(data, position, frames)
                continue
            position = self._take_line(data, position, frames)
            if self._speaks_in_lines():
                return _Lines(self._limit), self._line + data[position:]
        return None

    def end(self) -> list[Frame]:
        if self._is_too_large:
            return [_too_large(self._limit, bytes(self._held))]
        if self._missing and not self._is_skipping:
            return [FramingFault(FaultKind.CUT_SHORT, f"The input ended {self._missing} bytes before its message did.")]
        if self._length is not None or (self._line.strip(_BLANK) and not self._is_lost):
            return [FramingFault(FaultKind.CUT_SHORT, "The input ended within the headers of a message.")]
        return []

    def _take_body(self, data: bytes, position: int, frames: list[Frame]) -> int:
        part = data[position : position + self._missing]
        self._missing -= len(part)
        if self._is_too_large:
            self._take_head(part, frames)
        elif self._is_skipping:
            pass
        elif self._missing:
            self._held += part
        else:
            frames.append(bytes(self._held) + part if self._held else part)
            self._held.clear()
        return position + len(part)

    def _take_head(self, part: bytes, frames: list[Frame]) -> None:
        """Report the message that is too large once its head is there."""
        size = min(HEAD_BYTES, self._limit)
        self._held += part[: size - len(self._held)]
        if len(self._held) == size or not self._missing:
            frames.append(_too_large(self._limit, bytes(self._held)))
            self._held.clear()
            self._is_too_large = False

    def _take_line(self, data: bytes, position: int, frames: list[Frame]) -> int:
        """Read to the end of the line or of `data`; a line that is not over, or that opens JSON, stays in `_line`."""
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line = (self._line + data[position:stop]).lstrip(_BLANK if self._is_lost else b"")
        if self._speaks_in_lines():
            return stop
        if end < 0:
            self._bound_line(frames)
            return stop
        line, self._line = self._line, b""
        self._take_header(line, frames)
        return stop

    def _speaks_in_lines(self) -> bool:
        return self._is_lost and not self._names_length and self._line[:1] in (b"{", b"[")

    def _bound_line(self, frames: list[Frame]) -> None:
        if len(self._line) > _MAX_HEADER_BYTES:
            self._lose("A header line is too long.", frames)
            self._line = self._line[-_MAX_HEADER_BYTES // 2 :]

    def _take_header(self, line: bytes, frames: list[Frame]) -> None:
        text = line.strip(_BLANK)
        if self._is_lost:
            self._find_again(text)
        elif text:
            self._read_header(text, frames)
        elif self._block_size:
            self._begin_body(frames)

    def _read_header(self, text: bytes, frames: list[Frame]) -> None:
        name, colon, value = text.partition(b":")
        value = value.strip()
        self._block_size += len(text)
        if not colon or not _HEADER_NAME.fullmatch(name.rstrip()):
            self._lose("A header line is not `Name: value`.", frames)
            self._find_again(text)
        elif self._block_size > _MAX_HEADER_BYTES:
            self._lose("The headers of a message are too long.", frames)
        elif name.rstrip().lower() == b"content-length":
            self._read_length(value, frames)
        elif name.rstrip().lower() == b"content-type":
            self._read_charset(value)

    def _read_length(self, value: bytes, frames: list[Frame]) -> None:
        self._names_length = True
        if not value.isdigit() or len(value) > 15:
            self._lose("`Content-Length` is not a number of bytes.", frames)
        elif self._length not in (None, int(value)):
            self._lose("A message has two different `Content-Length` headers.", frames)
        else:
            self._length = int(value)

    def _read_charset(self, value: bytes) -> None:
        charset = _CHARSET.search(value)
        if charset and charset[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
            self._charset_fault = FramingFault(FaultKind.BAD_HEADER, "Messages must be UTF-8.")

    def _begin_body(self, frames: list[Frame]) -> None:
        length, fault = self._length, self._charset_fault
        if length is None:
            self._lose("A message has no `Content-Length` header.", frames)
            return
        self._forget_headers()
        self._missing = length
        self._is_too_large = length > self._limit
        self._is_skipping = self._is_too_large or fault is not None
        if fault is not None and not self._is_too_large:
            frames.append(fault)
        elif length == 0:
            frames.append(b"")

    def _lose(self, detail: str, frames: list[Frame]) -> None:
        if not self._is_lost:
            frames.append(FramingFault(FaultKind.BAD_HEADER, detail))
        self._is_lost = True
        self._forget_headers()

    def _find_again(self, text: bytes) -> None:
        found = _LENGTH_AT_END.search(text)
        if found:
            self._begin_again(found)

    def _begin_again(self, found: "re.Match[bytes]") -> None:
        self._is_lost = False
        self._names_length = True
        self._length = int(found[1])
        self._block_size = len(found[0])

    def _forget_headers(self) -> None:
        self._length = None
        self._charset_fault = None
        self._block_size = 0


def _too_large(limit: int, head: bytes) -> FramingFault:
    detail = f"A message is larger than {limit} bytes; it was skipped."
    return FramingFault(FaultKind.TOO_LARGE, detail, head[: min(HEAD_BYTES, limit)])
