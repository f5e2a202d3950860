"""Git's ignore patterns, matched in time that grows with their length alone.

`mthds` reads and matches patterns exactly as git does, and like git it tries every way in which a pattern may match: a
few dozen `**/` take it for ever. Here a pattern is a set of positions, all followed at once, one bit each.
"""

import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from mthds.method_tree.gitignore import UTF8_BOM, GitPattern, parse_pattern_lines
from mthds.method_tree.tree_path import nfc

MAX_LINE_BYTES = 1024
"""Of one pattern, as of a tree path. Python's normalization takes the square of the length of what it puts in order."""

_STAR, _SLASH, _BACKSLASH, _QUESTION, _OPEN, _CLOSE, _DASH = b"*/\\?[]-"
_ALL = frozenset(range(256))
_CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, [*range(32), 127])),
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": " \t\r\n",
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


class BadPattern(ValueError):
    """A list of patterns that is not read; the message completes "it …"."""


class IgnoreList:
    """The patterns of one file, with the folder they apply from."""

    def __init__(self, patterns: list[GitPattern], base: str, check_time: Callable[[], None]) -> None:
        """`base` is a tree path, empty for the root. `check_time` is called now and then, and may raise."""
        self._patterns = [_Matcher(pattern) for pattern in reversed(patterns)]
        self._below = len(base.encode("utf-8", "surrogateescape")) + 1 if base else 0
        self._check_time = check_time

    @classmethod
    def of_file(cls, data: bytes, base: str, check_time: Callable[[], None]) -> "IgnoreList":
        """A `.gitignore`. Raises `UnicodeDecodeError` and `BadPattern`."""
        lines = data.removeprefix(UTF8_BOM).decode("utf-8").split("\n")
        return cls(_parsed(lines, check_time), base, check_time)

    @classmethod
    def of_entries(cls, entries: Iterable[str], check_time: Callable[[], None]) -> "IgnoreList":
        """`[package] exclude`, each entry a line. Raises `BadPattern`."""
        return cls(_parsed(entries, check_time), "", check_time)

    def verdict(self, tree_path: str, *, is_folder: bool) -> bool | None:
        """Whether the path is left out, by the last pattern that matches it; None where none does."""
        encoded = tree_path.encode("utf-8", "surrogateescape")
        relative, name = encoded[self._below :], encoded.rsplit(b"/", 1)[-1]
        for number, matcher in enumerate(self._patterns):
            if number % 16 == 0:
                self._check_time()
            if (is_folder or not matcher.pattern.must_be_dir) and matcher.matches(relative, name):
                return not matcher.pattern.negative
        return None


def _parsed(lines: Iterable[str], check_time: Callable[[], None]) -> list[GitPattern]:
    patterns = []
    for number, line in enumerate(lines):
        if number % 256 == 0:
            check_time()
        if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES:
            raise BadPattern(f"holds a pattern of more than {MAX_LINE_BYTES} bytes")
        patterns += parse_pattern_lines(nfc(line).encode("utf-8", "surrogateescape"))
    return patterns


@dataclass(frozen=True)
class _Matcher:
    """One pattern, compiled when it is first needed."""

    pattern: GitPattern

    def matches(self, relative: bytes, name: bytes) -> bool:
        """Git's `match_basename` and `match_pathname`."""
        if not self.pattern.no_dir:
            return self._matches_path(relative)
        if self._has_no_wildcard:
            return name == self.pattern.pattern
        if self.pattern.ends_with:
            return name.endswith(self.pattern.pattern[1:])
        return self._glob.matches(name)

    def _matches_path(self, relative: bytes) -> bool:
        prefix, body = self._prefix_and_body
        if not relative.startswith(prefix):
            return False
        rest = relative[len(prefix) :]
        return not rest if not body else self._glob.matches(rest)

    @property
    def _has_no_wildcard(self) -> bool:
        return self.pattern.no_wildcard_length == len(self.pattern.pattern)

    @cached_property
    def _prefix_and_body(self) -> tuple[bytes, bytes]:
        """Git compares what stands before the first wildcard by itself, so that a `**` after it is at the start."""
        whole, length = self.pattern.pattern, self.pattern.no_wildcard_length
        if whole.startswith(b"/"):
            whole, length = whole[1:], length - 1
        return whole[:length], whole[length:]

    @cached_property
    def _glob(self) -> "Glob":
        if self.pattern.no_dir:
            return Glob(self.pattern.pattern, is_path=False)
        return Glob(self._prefix_and_body[1], is_path=True)


class Glob:
    """Git's `wildmatch`, letter case included: with `is_path` only `**` matches a slash."""

    def __init__(self, pattern: bytes, *, is_path: bool) -> None:
        self._is_path = is_path
        self._consume: dict[int, int] = {}
        """Byte -> the positions that it leads on from, besides those of `?`."""
        self._questions = 0
        self._stars = 0
        """The positions that stay where they are, with any byte but a slash."""
        self._crossing_stars = 0
        """Those that stay with a slash, too."""
        self._folders = 0
        """Those of `**/`, which may match nothing."""
        self._end = 1 << self._read(pattern)

    def matches(self, text: bytes) -> bool:
        """Whether the whole text matches."""
        at = self._entered(1)
        for byte in text:
            is_barred = byte == _SLASH and self._is_path
            consume = self._consume.get(byte, 0) | (0 if is_barred else self._questions)
            stay = self._crossing_stars if is_barred else self._crossing_stars | self._stars
            at = self._entered((at & consume) << 1) | (at & stay)
            at |= (at & (self._crossing_stars | self._stars)) << 1
            if not at:
                return False
        return bool(at & self._end)

    def _entered(self, at: int) -> int:
        """The positions that these lead to without a byte."""
        at |= (at & self._folders) << 2
        return at | ((at & (self._crossing_stars | self._stars)) << 1)

    def _read(self, pattern: bytes) -> int:
        """Take the pattern in; its number of positions."""
        position = index = 0
        while index < len(pattern):
            byte = pattern[index]
            if byte == _STAR:
                position, index = self._read_stars(pattern, index, position)
                continue
            if byte == _QUESTION:
                self._questions |= 1 << position
                index += 1
            else:
                index, members = self._one(pattern, index)
                self._add(members, position)
            position += 1
        return position

    def _read_stars(self, pattern: bytes, start: int, position: int) -> tuple[int, int]:
        """The position and the index after a star, or several in a row."""
        end = start
        while pattern[end : end + 1] == b"*":
            end += 1
        following = pattern[end : end + 2]
        begins_name = start == 0 or pattern[start - 1] == _SLASH
        ends_name = following[:1] in (b"", b"/") or following == b"\\/"
        if self._is_path and not (end - start > 1 and begins_name and ends_name):
            self._stars |= 1 << position
            return position + 1, end
        if not self._is_path or following[:1] != b"/":
            self._crossing_stars |= 1 << position
            return position + 1, end
        is_again = position >= 2 and (self._folders >> (position - 2)) & 1
        if is_again:
            # `**/**/` says no more than one of them.
            return position, end + 1
        self._folders |= 1 << position
        self._crossing_stars |= 1 << position
        self._add((_SLASH,), position + 1)
        return position + 2, end + 1

    def _add(self, members: Iterable[int], position: int) -> None:
        for byte in members:
            self._consume[byte] = self._consume.get(byte, 0) | (1 << position)

    def _one(self, pattern: bytes, index: int) -> tuple[int, Iterable[int]]:
        """The index after what matches one byte, and which bytes it matches."""
        if pattern[index] == _BACKSLASH:
            # Nothing after it: then nothing matches.
            return index + 2, pattern[index + 1 : index + 2]
        if pattern[index] == _OPEN:
            index, members = _bracket(pattern, index + 1)
            return index, members - {_SLASH} if self._is_path else members
        return index + 1, (pattern[index],)


def _bracket(pattern: bytes, at: int) -> tuple[int, frozenset[int]]:
    """The index after a bracket expression that begins before `at`, and its bytes: none where it is malformed."""
    is_negated = pattern[at : at + 1] in (b"!", b"^")
    at += is_negated
    members: set[int] = set()
    before: int | None = None
    try:
        while True:
            at, before = _add_member(pattern, at, before, members)
            if pattern[at] == _CLOSE:
                return at + 1, _ALL - members if is_negated else frozenset(members)
    except (IndexError, KeyError):
        return len(pattern), frozenset()


def _add_member(pattern: bytes, at: int, before: int | None, members: set[int]) -> tuple[int, int | None]:
    """Take in what is at `at`; the index after it, and the byte that a range may begin with."""
    byte = pattern[at]
    if byte == _BACKSLASH:
        at += 1
        byte = pattern[at]
    elif byte == _DASH and before is not None and pattern[at + 1 : at + 2] not in (b"", b"]"):
        at += 2 if pattern[at + 1] == _BACKSLASH else 1
        members.update(range(before, pattern[at] + 1))
        return at + 1, None
    elif pattern[at : at + 2] == b"[:":
        end = pattern.find(b"]", at + 2)
        if end < 0:
            raise IndexError
        if end > at + 2 and pattern[end - 1 : end] == b":":
            members.update(_CLASSES[pattern[at + 2 : end - 1]].encode())
            return end + 1, None
    members.add(byte)
    return at + 1, byte
