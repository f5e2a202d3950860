"""Text that others wrote, made fit to be shown to people and models: no control, nothing invisible, not too long.

A terminal obeys control characters, a reader is misled by those that turn the direction of text, and a model reads what
a person cannot see (Unicode TR36 and TR39, CVE-2021-42574). What is data, such as the output of a run, is left alone.
"""

import re
from typing import Any

MAX_TITLE = 200
MAX_DESCRIPTION = 4000
"""In characters, as all lengths here."""

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls but tab and line feed, and what Unicode calls default-ignorable, joiners and two variation selectors apart.
_UNFIT = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
_DROPPED = re.compile(f"[{_UNFIT}]")
# Emoji and the scripts that need joiners put one after a letter of their own, never several in a row.
_LOOSE = re.compile(
    "(?<![^\x00-\x7f\u200c\u200d\ufe0e])[\u200c\u200d]|(?<![^\\s\u200c\u200d\ufe0e\ufe0f])[\ufe0e\ufe0f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SUSPECT = re.compile(f"[{_UNFIT}{_JOINERS}\ud800-\udfff]")


def fit_text(text: str, most: int | None = MAX_DESCRIPTION) -> str:
    """The text with its lines, without what cannot be seen, cut at `most` characters."""
    if most is not None and len(text) > 4 * most:
        # What is dropped is rarely more than that, and what is left is cut anyway.
        text = text[: 4 * most]
    if _SUSPECT.search(text):
        text = _SURROGATE.sub("\ufffd", _DROPPED.sub("", _LINE_END.sub("\n", text)))
        text = _LOOSE.sub("", text)
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def fit_line(text: str, most: int | None = MAX_TITLE) -> str:
    """The text on one line."""
    return fit_text(" ".join(fit_text(text, None if most is None else 4 * most).split()), most)


def is_fit(text: str, most: int = MAX_DESCRIPTION) -> bool:
    """Whether a text that cannot be changed, such as a name to be sent back, may be shown as it is."""
    return fit_line(text, most) == text


def fit(value: Any, most: int | None = MAX_DESCRIPTION) -> Any:
    """A copy of a JSON value whose texts, and the names of whose members, are fit to be shown."""
    if isinstance(value, str):
        return fit_text(value, most)
    if isinstance(value, dict):
        return {fit_text(name, most): fit(member, most) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [fit(item, most) for item in value]
    return value


def escaped(json_text: str) -> str:
    """A JSON text that means the same, in which nothing is left that a terminal obeys or that cannot be seen."""
    return _SUSPECT.sub(_escape, json_text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
