"""How many pipes the runs of a method's pipes start, counted on its text alone.

Pipelex follows each path through a method while it loads it. Pipes that call others several times over, level upon
level, make a few lines so large that this never ends, in a thread that nothing can stop.
"""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

from orchestrators.engine.pacing import too_many_steps
from schemas.foreign_toml import BadToml, parse_toml
from schemas.method_source import Base64File, MethodSource
from schemas.problem import ProblemError

_BUNDLE = ".mthds"
_READ_AT_ONCE = 65_536
_SUB_PIPE_KEYS = frozenset({"pipe", "branch_pipe_code", "default_outcome"})
_SUB_PIPES_KEY = "outcomes"

Calls = dict[str, list[str]]
"""Pipe -> the pipes that one run of it calls, each as often as it does. A pipe goes by its code, without a domain."""


async def refuse_endless(method: MethodSource, limit: int, run_id: str | None = None) -> None:
    """Raise `ProblemError` where one run of each pipe of `method` would start more than `limit` pipes in all.

    A batch counts one item, and a condition each of its branches. What cannot be read counts nothing.
    """
    bundles = list(_bundles(method))
    is_small = sum(map(len, bundles)) <= _READ_AT_ONCE
    is_endless = _starts_more(bundles, limit) if is_small else await asyncio.to_thread(_starts_more, bundles, limit)
    if is_endless:
        raise ProblemError(too_many_steps(limit, run_id))


def _starts_more(bundles: list[str], limit: int) -> bool:
    calls: Calls = {}
    for text in bundles:
        try:
            _add_calls(calls, parse_toml(text).get("pipe"))
        except BadToml:
            continue
    counted = _Counted(calls, limit)
    return sum(counted.of(pipe) for pipe in calls) > limit


def _bundles(method: MethodSource) -> Iterator[str]:
    yield from method.mthds_contents or ()
    for files in (method.files or {}, *method.dependencies.values()):
        for path, entry in files.items():
            if path.endswith(_BUNDLE):
                yield entry if isinstance(entry, str) else _text(entry)


def _text(entry: Base64File) -> str:
    try:
        return base64.b64decode(entry.base64).decode("utf-8", "replace")
    except ValueError:
        return ""


def _add_calls(calls: Calls, pipes: Any) -> None:
    if isinstance(pipes, dict):
        for code, pipe in pipes.items():
            # Where several domains have a pipe of this code, the one that calls most counts.
            called = [name.rpartition(".")[2] for name in _called(pipe)]
            if len(called) >= len(calls.get(code, [])):
                calls[code] = called


def _called(pipe: Any) -> Iterator[str]:
    pending = [pipe]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key in _SUB_PIPE_KEYS and isinstance(value, str):
                    yield value
                elif key == _SUB_PIPES_KEY and isinstance(value, dict):
                    yield from (name for name in value.values() if isinstance(name, str))
                else:
                    pending.append(value)


class _Counted:
    """Counts each pipe once, however often it is called, and no further than to `limit`."""

    def __init__(self, calls: Calls, limit: int) -> None:
        self._calls = calls
        self._most = limit + 1
        self._counted: dict[str, int] = {}

    def of(self, pipe: str) -> int:
        """The pipes that one run of `pipe` starts, itself included. A pipe that calls itself is not followed again."""
        pending = [pipe]
        while pending:
            code = pending[-1]
            if code in self._counted:
                if self._counted[code] < 0:
                    below = (max(self._counted.get(name, 1), 0) for name in self._calls.get(code, ()))
                    self._counted[code] = min(self._most, 1 + sum(below))
                pending.pop()
                continue
            # Negative while what it calls is counted.
            self._counted[code] = -1
            pending.extend(name for name in self._calls.get(code, ()) if name not in self._counted)
        return self._counted[pipe]
