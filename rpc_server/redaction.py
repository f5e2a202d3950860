"""Keeps the secrets of the environment and of the settings out of errors, events and logs, by their value.

A name alone does not tell where a value turns up: a provider may echo a key in any text.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "[redacted]"

_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH(?!OR)|PRIVATE|SIGNATURE|DSN|COOKIE", re.IGNORECASE
)
_NAMES_A_FILE = re.compile(r"_(?:file|path|dir)s?$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{\w+\}")
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_USER = re.compile(r"(?<=://)[^/?#:@\s]*:")
_HTTP_USER = re.compile(r"(?<=http://|ttps://)([^/?#:@\s]+)@")
_PASSWORD_MEMBER = re.compile(
    r"((?:password|passwd|passphrase|pwd|secret|token|api_?key|credentials?|signature|sig)\s*=\s*)('[^']*'|[^&;\s]+)",
    re.IGNORECASE,
)
# Written the same way everywhere.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_MIN_LENGTH = 8


class Redactor:
    """Masks each secret value of `environ`, and of what it learns later, wherever it stands in a text."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._secrets: list[str] = []
        self._pattern: re.Pattern[str] | None = None
        self.learn(environ)

    def learn(self, named: Mapping[str, Any]) -> None:
        """Mask the secrets of these settings too: names -> values, or tables of them."""
        # The longest first: a secret may begin with another.
        self._secrets = sorted({*self._secrets, *_secrets(named)}, key=len, reverse=True)
        if self._secrets:
            self._pattern = re.compile("|".join(map(re.escape, self._secrets)))

    def text(self, text: str) -> str:
        """`text` with every secret masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def line(self, text: str) -> str:
        """`text` as a terminal may show it: with every secret masked, and without what it would obey."""
        from schemas.shown_text import fit_text

        return fit_text(self.text(text), None)

    def safe_cut(self, text: str) -> int:
        """How much of the beginning of a text can be shown before the rest has come, without a secret in two halves."""
        if self._pattern is None:
            return len(text)
        # Whatever begins before this is here as a whole.
        edge = max(0, len(text) - len(self._secrets[0]) + 1)
        for found in self._pattern.finditer(text):
            if found.start() >= edge:
                break
            if found.end() > edge:
                return found.end()
        return edge

    def json(self, value: Any) -> Any:
        """A copy of a JSON value with every secret masked, in member names too."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.json(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value


def masked_setting(name: str, value: Any) -> Any:
    """A setting as it may be shown: the value of a secret name is masked, in any other the passwords of addresses.

    A `${VARIABLE}` stays: it says where the secret is.
    """
    if isinstance(value, dict):
        return {inner: masked_setting(inner, item) for inner, item in value.items()}
    if isinstance(value, list):
        return [masked_setting(name, item) for item in value]
    if not isinstance(value, str) or not value or _VARIABLE.fullmatch(value):
        return value
    return MASK if _is_secret(name) else _without_passwords(value)


def _without_passwords(text: str) -> str:
    for start, end in reversed(list(_written_passwords(text))):
        text = text[:start] + _masked(text[start:end]) + text[end:]
    text = _HTTP_USER.sub(lambda found: f"{_masked(found[1])}@", text)
    return _PASSWORD_MEMBER.sub(lambda found: found[1] + _masked(found[2]), text)


def _written_passwords(text: str) -> Iterator[tuple[int, int]]:
    """Where the password of a line's address begins and ends.

    It ends at the last `@`, since a password that was written by hand is not always encoded.
    """
    begin = 0
    for line in text.split("\n"):
        end = line.rfind("@")
        user = _USER.search(line, 0, max(end, 0))
        if user is not None and user.end() < end:
            yield begin + user.end(), begin + end
        begin += len(line) + 1


def _masked(secret: str) -> str:
    return secret if _VARIABLE.fullmatch(secret) else MASK


class RedactingFormatter(logging.Formatter):
    """Formats as `inner` does, traceback included, and masks the result, fit to be shown on a terminal."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.line(self._inner.format(record))


def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None and _NAMES_A_FILE.search(name) is None


def _secrets(named: Mapping[str, Any]) -> Iterator[str]:
    for name, value in named.items():
        if isinstance(value, dict):
            yield from _secrets(value)
        elif isinstance(value, str):
            for candidate in _candidates(name, value):
                if len(candidate) >= _MIN_LENGTH and not _VARIABLE.fullmatch(candidate):
                    yield from _forms(candidate)


def _candidates(name: str, value: str) -> Iterator[str]:
    yield from _URL_PASSWORD.findall(value)
    yield from (value[start:end] for start, end in _written_passwords(value))
    if "=" in value and ("://" in value or "host" in value):
        yield from (found[2].strip("'") for found in _PASSWORD_MEMBER.finditer(value))
    if _SECRET_NAME.search(name):
        # A key in PEM form is printed line by line as often as whole.
        yield from (value.strip(), *(line.strip() for line in value.splitlines()))


def _forms(secret: str) -> set[str]:
    """A secret as it stands in texts: plain, in JSON, in Python, in a URL."""
    if _PLAIN.fullmatch(secret):
        return {secret}
    from urllib.parse import quote, unquote

    quoted = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    encoded = {quote(secret, safe="", errors="replace"), quote(secret, errors="replace"), unquote(secret)}
    return {secret, *quoted, *(form for form in encoded if len(form) >= _MIN_LENGTH)}
