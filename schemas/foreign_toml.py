"""Reading TOML of unknown origin: any error in it is one fault, found in linear time."""

import re
from typing import Any

import tomli

MAX_KEY_PARTS = 20
"""Of one dotted key. Parsers take the square of their number for each line, and hold the interpreter meanwhile."""
MAX_DIGITS = 1_000
"""Of one integer in any base, its prefix included. One of more may be read, and not be written: Python limits those."""

# A string that is not closed ends with its line. The possessive quantifiers keep all of it linear.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]++|\\.)*+"?|'[^'\n]*+'?)"""
_DOT = r"[ \t]*+\.[ \t]*+"
_TOKEN = re.compile(
    r"""#[^\n]*+"""
    r"""|(?s:"{3}(?:[^"\\]++|\\.|"{1,2}(?!"))*+(?:"{3,5}|\\?\Z))"""
    r"""|'{3}(?:[^']++|'{1,2}(?!'))*+(?:'{3,5}|\Z)"""
    f"|(?P<word>{_PART}(?:{_DOT}{_PART})*+)"
)
_LONG_KEY = re.compile(f"(?:{_PART}{_DOT}){{{MAX_KEY_PARTS}}}")
_INTEGER = re.compile(r"-?[0-9_]+|0[ob][0-9_]+|0x[0-9A-Fa-f_]+")


class BadToml(ValueError):
    """A text that is not TOML, or is refused. `line` and `column` are one-based, None for a fault without a place."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        place = "" if line is None else f" (at line {line}, column {column})"
        super().__init__(f"{reason}{place}")
        self.reason = reason
        self.line = line
        self.column = column


def parse_toml(text: str) -> dict[str, Any]:
    """The document. Raises `BadToml`, also for what is legal but too deep or too large to hold."""
    check_words(text)
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise BadToml(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise BadToml("arrays and tables nest too deeply") from error
    except MemoryError as error:
        raise BadToml("it is too large to be read") from error
    except ValueError as error:
        raise BadToml(str(error)) from error


def check_words(text: str) -> None:
    """Raises `BadToml` for a key or a number that nothing else should read, before anything else reads the text.

    A long key may block the interpreter, and a long number cannot be written again. Comments and strings are skipped.
    """
    for token in _TOKEN.finditer(text):
        word = token["word"]
        if word is None:
            continue
        if word.count(".") >= MAX_KEY_PARTS and _LONG_KEY.match(word):
            raise _bad_word(text, token.start(), f"a key has more than {MAX_KEY_PARTS} parts")
        if len(word) > MAX_DIGITS and _INTEGER.fullmatch(word):
            raise _bad_word(text, token.start(), f"a number has more than {MAX_DIGITS} digits")


def _bad_word(text: str, at: int, reason: str) -> BadToml:
    line_start = text.rfind("\n", 0, at) + 1
    return BadToml(reason, text.count("\n", 0, at) + 1, at - line_start + 1)


def parse_toml_bytes(data: bytes) -> dict[str, Any]:
    """The document of a file's bytes. Raises `BadToml`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadToml("it is not UTF-8 text") from error
    return parse_toml(text)
