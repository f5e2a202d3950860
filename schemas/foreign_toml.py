"""Reading TOML that a stranger wrote: whatever is wrong with it is one fault, found in linear time."""

import re
from typing import Any

import tomli

MAX_KEY_PARTS = 20
"""Of one dotted key. tomli takes the square of their number for each line, and holds the interpreter meanwhile."""

# At the start of a line: other keys stand in inline tables, whose parts are few where these are. The possessive
# quantifiers keep it linear.
_LONG_KEY = re.compile(
    r"""^[ \t\[]*+(?:(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"""
    f"{{{MAX_KEY_PARTS}}}",
    re.MULTILINE,
)


class BadToml(ValueError):
    """A text that is no TOML we read. `line` and `column` are one-based, and None where the fault has no place."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        place = "" if line is None else f" (at line {line}, column {column})"
        super().__init__(f"{reason}{place}")
        self.reason = reason
        self.line = line
        self.column = column


def parse_toml(text: str) -> dict[str, Any]:
    """The document. Raises `BadToml`, also for what is legal but too deep or too large to hold."""
    check_keys(text)
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise BadToml(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise BadToml("arrays and tables nest too deeply") from error
    except MemoryError as error:
        raise BadToml("it is too large to be read") from error
    except ValueError as error:
        # Python limits the digits of an integer.
        raise BadToml("a number has too many digits" if "digits" in str(error) else str(error)) from error


def check_keys(text: str) -> None:
    """Raises `BadToml` for a key that would hold the interpreter for long, before anything else reads the text."""
    if (long_key := _LONG_KEY.search(text)) is not None:
        line = text.count("\n", 0, long_key.start()) + 1
        raise BadToml(f"a key has more than {MAX_KEY_PARTS} parts", line, 1)


def parse_toml_bytes(data: bytes) -> dict[str, Any]:
    """The document of a file's bytes. Raises `BadToml`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadToml("it is not UTF-8 text") from error
    return parse_toml(text)
