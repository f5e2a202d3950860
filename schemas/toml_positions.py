"""The position of each table, key and value of a TOML text. Reads broken files too, and skips what it cannot read."""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import tomli

from schemas.foreign_toml import MAX_KEY_PARTS
from schemas.problem import Position, Range

Path = tuple[str | int, ...]
"""A key path from the root of the file; an integer is an index of an array."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*+)*+")
_BARE_KEY = re.compile(r"[^\s.=\[\]{}\"'#,]+")
_BASIC_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"?')
_LITERAL_STRING = re.compile(r"'[^'\n]*'?")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_MULTI_LINE = {
    '"""': re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*(?:"{3,5}|\Z|\\\Z)', re.DOTALL),
    "'''": re.compile(r"'''(?:[^']|'{1,2}(?!'))*(?:'{3,5}|\Z)", re.DOTALL),
}
# Deeper values are taken as one: no method nests like that, and recursion must end.
_MAX_DEPTH = 40


@dataclass(frozen=True)
class Span:
    """A half-open stretch of a text, in characters from its start."""

    start: int
    end: int


@dataclass
class Place:
    """Where one path is written."""

    key: Span
    """The name: in a table's header, or left of an equals sign; for an array's element, the element."""
    value: Span | None = None
    """What is right of the equals sign; None for a table with a header of its own."""
    is_string: bool = False
    body: Span | None = None
    """For a table with a header: from its header to the next one."""


@dataclass(frozen=True)
class TomlText:
    """A text and the places in it."""

    text: str

    @property
    def places(self) -> dict[Path, Place]:
        """Every path that could be read -> its first place."""
        return self._scanned.places

    @property
    def statements(self) -> list[Span]:
        """Each header and each key with its value, broken or not, in whole lines."""
        return self._scanned.statements

    @cached_property
    def _scanned(self) -> "_Scanner":
        scanner = _Scanner(self.text)
        scanner.run()
        return scanner

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]

    def range_of(self, span: Span) -> Range:
        """The span as editors count."""
        return Range(start=self._position(span.start), end=self._position(span.end))

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """One-based line, and one-based column in characters."""
        line = self._line_of(offset)
        return line + 1, offset - self._line_starts[line] + 1

    def offset_of(self, line: int, column: int) -> int:
        """The offset of a one-based line and column as a TOML parser counts, kept inside the line."""
        start = 0
        for _ in range(line - 1):
            start = self.text.find("\n", start) + 1 or len(self.text)
        end = self.text.find("\n", start)
        line_end = len(self.text) if end < 0 else end
        return min(start + column - 1, line_end - self.text.endswith("\r", start, line_end))

    def line_span(self, line: int) -> tuple[int, int]:
        """Start and end of a zero-based line, without its line break."""
        start = self._line_starts[line]
        end = self._line_starts[line + 1] if line + 1 < len(self._line_starts) else len(self.text)
        return start, start + len(self.text[start:end].rstrip("\r\n"))

    def string_at(self, path: Path) -> str | None:
        """The plain content of a one-line string, or None."""
        place = self.places.get(path)
        if place is None or place.value is None or not place.is_string:
            return None
        return self.text[place.value.start + 1 : place.value.end - 1]

    def strings_under(self, prefix: Path) -> Iterator[tuple[Path, Span]]:
        """The string values at or below a path, in the order they are written."""
        for path, place in self.places.items():
            if place.is_string and place.value is not None and path[: len(prefix)] == prefix:
                yield path, place.value

    def table_at(self, offset: int) -> Path:
        """The path of the table whose header was the last one before an offset; empty above the first."""
        holding = [(place.body.start, path) for path, place in self.places.items() if place.body is not None]
        return max((pair for pair in holding if pair[0] <= offset), default=(0, ()), key=lambda pair: pair[0])[1]

    def key_at(self, offset: int) -> str:
        """The first name of the statement that starts at an offset; empty if there is none."""
        match = _BARE_KEY.match(self.text, offset)
        return match[0] if match else ""

    def _line_of(self, offset: int) -> int:
        return bisect.bisect_right(self._line_starts, offset) - 1

    def _position(self, offset: int) -> Position:
        line = self._line_of(offset)
        before = self.text[self._line_starts[line] : offset]
        return Position(line=line, character=len(before.encode("utf-16-le", "surrogatepass")) // 2)


@dataclass
class _Scanner:
    text: str
    at: int = 0
    places: dict[Path, Place] = field(default_factory=dict)
    statements: list[Span] = field(default_factory=list)
    _array_lengths: dict[Path, int] = field(default_factory=dict)

    def run(self) -> None:
        table: Path = ()
        header: Place | None = None
        while True:
            self.at = _end(_BLANK, self.text, self.at)
            start = self.at
            if start >= len(self.text):
                break
            if self.text[start] == "[":
                if header is not None:
                    header.body = Span(_start_of(header.body), start)
                table, header = self._header()
            else:
                self._key_value(table, 0)
            self.at = max(self.at, start)
            self._skip_line()
            self.statements.append(Span(start, self.at))
        if header is not None:
            header.body = Span(_start_of(header.body), len(self.text))

    def _header(self) -> tuple[Path, Place | None]:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        names = self._keys()
        if not names:
            return ("",), None
        path: Path = ()
        for name, _ in names[:-1]:
            path = self._enter((*path, name))
        path = (*path, names[-1][0])
        key = Span(names[0][1].start, names[-1][1].end)
        if is_array:
            index = self._array_lengths.get(path, 0)
            self._array_lengths[path] = index + 1
            self.places.setdefault(path, Place(key=key))
            path = (*path, index)
        place = Place(key=key, body=Span(start, start))
        known = self.places.setdefault(path, place)
        return path, place if known is place else None

    def _enter(self, path: Path) -> Path:
        length = self._array_lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _keys(self) -> list[tuple[str, Span]]:
        """The parts of a dotted key; empty if there is none."""
        names: list[tuple[str, Span]] = []
        while True:
            self.at = _end(_SPACE, self.text, self.at)
            pattern = {'"': _BASIC_STRING, "'": _LITERAL_STRING}.get(self.text[self.at : self.at + 1], _BARE_KEY)
            match = pattern.match(self.text, self.at)
            if match is None:
                return names
            # Every part is a place of its own, below those before it; no file with a longer key is ever loaded.
            if len(names) < MAX_KEY_PARTS:
                names.append((_name(match[0]), Span(*match.span())))
            self.at = _end(_SPACE, self.text, match.end())
            if not self.text.startswith(".", self.at):
                return names
            self.at += 1

    def _key_value(self, table: Path, depth: int) -> bool:
        names = self._keys()
        if not names or not self.text.startswith("=", self.at):
            return False
        self.at = _end(_SPACE, self.text, self.at + 1)
        path = table
        for name, span in names:
            path = (*path, name)
            self.places.setdefault(path, Place(key=span))
        place = self.places[path]
        place.value, place.is_string = self._value(path, depth)
        return True

    def _value(self, path: Path, depth: int) -> tuple[Span, bool]:
        start = self.at
        first = self.text[start : start + 1]
        if first in ("[", "{") and depth < _MAX_DEPTH:
            self._collection(path, depth + 1, is_array=first == "[")
            return Span(start, self.at), False
        if first in ('"', "'"):
            pattern = _MULTI_LINE.get(self.text[start : start + 3])
            pattern = pattern or (_BASIC_STRING if first == '"' else _LITERAL_STRING)
            self.at = _end(pattern, self.text, start)
            return Span(start, self.at), True
        self.at = _end(_SCALAR, self.text, start)
        return Span(start, start + len(self.text[start : self.at].rstrip())), False

    def _collection(self, path: Path, depth: int, *, is_array: bool) -> None:
        self.at += 1
        closing = "]" if is_array else "}"
        index = 0
        while True:
            self.at = _end(_BLANK, self.text, self.at)
            if self.at >= len(self.text) or self.text.startswith(closing, self.at):
                self.at = min(self.at + 1, len(self.text))
                return
            start = self.at
            if is_array:
                value, is_string = self._value((*path, index), depth)
                self.places.setdefault((*path, index), Place(key=value, value=value, is_string=is_string))
                index += 1
            elif not self._key_value(path, depth):
                return
            self.at = _end(_BLANK, self.text, self.at)
            if self.text.startswith(",", self.at):
                self.at += 1
            elif self.at == start:
                return

    def _skip_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end + 1


def _name(key: str) -> str:
    """The name that a part of a key stands for."""
    if key.startswith('"') and "\\" in key:
        try:
            return next(iter(tomli.loads(f"{key} = 0")))
        except tomli.TOMLDecodeError:
            pass
    return key.strip(key[0]) if key[0] in "\"'" else key


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _start_of(span: Span | None) -> int:
    return span.start if span is not None else 0
