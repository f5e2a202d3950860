"""Keeps the secrets of the environment out of errors, events and logs, by their value.

A name alone does not tell where a value turns up: a provider may echo a key in any text.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "[redacted]"

_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH(?!OR)|PRIVATE|SIGNATURE|DSN|COOKIE", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_MIN_LENGTH = 8


class Redactor:
    """Masks each secret value of `environ` wherever it stands in a text."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # The longest first: a secret may begin with another.
        secrets = sorted(set(_secrets(environ)), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def text(self, text: str) -> str:
        """`text` with every secret masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

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


class RedactingFormatter(logging.Formatter):
    """Formats as `inner` does, traceback included, and masks the result."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(self._inner.format(record))


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        candidates = _URL_PASSWORD.findall(value)
        if _SECRET_NAME.search(name):
            # A key in PEM form is printed line by line as often as whole.
            candidates += [value.strip(), *(line.strip() for line in value.splitlines())]
        yield from (candidate for candidate in candidates if len(candidate) >= _MIN_LENGTH)
