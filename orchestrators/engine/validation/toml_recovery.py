"""Every independent syntax error of a TOML text, and the text without the statements that hold them."""

import re
import time
from dataclasses import dataclass

from schemas.foreign_toml import BadToml, parse_toml
from schemas.toml_positions import Span, TomlText

_HEADER_LINE = re.compile(r"^[ \t]*\[{1,2}[^\[\]\n]+\]{1,2}[ \t]*(?:#.*)?$", re.MULTILINE)
_NOT_A_LINE_BREAK = re.compile(r"[^\r\n]|\r(?!\n)")
_MAX_ERRORS = 50
_MAX_S = 5.0


@dataclass(frozen=True)
class SyntaxFault:
    """One error: what to underline, and what is wrong there."""

    span: Span
    finding: str


@dataclass(frozen=True)
class Recovery:
    """What is left of a text that may be broken."""

    text: str
    """The text with each broken statement blanked, every position kept; unusable where `is_whole` is false."""
    faults: list[SyntaxFault]
    blanked: list[Span]
    is_whole: bool
    """Whether what is left parses, so that only the blanked statements are missing from it."""


def recover(text: str) -> Recovery:
    """Blank one broken statement after the other. An error right after a blanked one is its consequence, and untold.

    Each costs a look at the whole text. So no more are looked for after some errors, and after some seconds.
    """
    end = time.monotonic() + _MAX_S
    faults: list[SyntaxFault] = []
    blanked: list[Span] = []
    rest = TomlText(text)
    while len(blanked) < _MAX_ERRORS and (not blanked or time.monotonic() < end):
        try:
            parse_toml(rest.text)
        except BadToml as error:
            if error.line is None or error.column is None:
                unread = _unread(rest)
                faults.append(SyntaxFault(_to_underline(rest, unread.start, unread), error.reason))
                break
            offset = rest.offset_of(error.line, error.column)
            statement = _statement_at(rest, offset)
            line_start, _ = rest.line_span(rest.line_and_column(statement.start)[0] - 1)
            if not any(line_start == known.end for known in blanked):
                finding = f"TOML syntax error at line {error.line}, column {error.column}: {error.reason}"
                faults.append(SyntaxFault(_to_underline(rest, offset, statement), finding))
            blank = TomlText(_blank(rest.text, statement))
            if blank.text == rest.text or not _may_be_blanked(rest.text, statement):
                break
            blanked.append(statement)
            rest = blank
        else:
            return Recovery(rest.text, faults, blanked, is_whole=True)
    return Recovery(rest.text, faults, blanked, is_whole=False)


def _unread(toml: TomlText) -> Span:
    """The statement with a fault that has no place."""
    for statement in toml.statements:
        try:
            parse_toml(toml.text[statement.start : statement.end])
        except BadToml as error:
            if error.line is None:
                return statement
    return Span(0, len(toml.text))


def _statement_at(toml: TomlText, offset: int) -> Span:
    """The statement an error is in; one that is found only at its end is the last before it."""
    before = [statement for statement in toml.statements if statement.start <= offset]
    return before[-1] if before else Span(0, len(toml.text))


def _to_underline(toml: TomlText, offset: int, statement: Span) -> Span:
    """From the error to the end of its line; the statement's first line where the error is only that it never ends."""
    line, _ = toml.line_and_column(offset)
    line_start, line_end = toml.line_span(line - 1)
    swallowed_header = statement.start < line_start and _HEADER_LINE.match(toml.text, line_start)
    if offset < line_end and not swallowed_header:
        return Span(offset, line_end)
    first_line, _ = toml.line_and_column(statement.start)
    return Span(statement.start, toml.line_span(first_line - 1)[1])


def _may_be_blanked(text: str, statement: Span) -> bool:
    """Not a table's header, nor what has swallowed one: the statements after it would change tables."""
    is_header = text.startswith("[", statement.start)
    is_empty = statement.start == statement.end
    return not is_header and not is_empty and _HEADER_LINE.search(text, statement.start, statement.end) is None


def _blank(text: str, span: Span) -> str:
    return text[: span.start] + _NOT_A_LINE_BREAK.sub(" ", text[span.start : span.end]) + text[span.end :]
