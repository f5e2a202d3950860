"""From a failure to a JSON-RPC error: the one table of integers."""

from typing import Protocol

from schemas.problem import ProblemError


class ErrorMapping(Protocol):
    """What the plugins' error mappers are asked through."""

    def __call__(self, error: BaseException) -> ProblemError | None:
        """The problem behind `error`, or None if no mapper knows its type. Never raises."""
        ...
