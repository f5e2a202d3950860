"""Stored values, made safe to use: any column may hold anything, since other programs can write the database too."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrators.dbos.tables import is_clean, writable
from schemas.runs import RunState

MOST = 10**9
"""No run has more attempts or events: a higher number was not written by a worker."""
# The years 1970 to 9999.
_LAST_TIME = 253_402_300_799.0
# What pydantic still turns into JSON is a little deeper.
_DEPTH = 200


class DamagedRow(Exception):
    """What is stored of a run cannot be used; `what` says which part, for people."""

    def __init__(self, run_id: str, what: str) -> None:
        super().__init__(f"what is stored of the run {run_id} is damaged: {what}")
        self.what = what


@dataclass(frozen=True)
class RunRow:
    """The row of a run. A column that cannot be read has a default value."""

    run_id: str
    digest: str
    state: RunState
    method: str | None
    pipe: str | None
    created_at: float
    deadline: float | None
    started_at: float | None
    finished_at: float | None
    cancel_asked_at: float | None
    attempt: int
    executor: str | None
    event_count: int
    problem: str | None
    hand_backs: int
    damage: tuple[str, ...] = ()
    """The columns that cannot be read."""

    @classmethod
    def of(cls, row: Any) -> "RunRow":
        """From a row with every column of the table. Raises nothing."""
        values: dict[str, Any] = {}
        damage = []
        for name in _COLUMNS:
            values[name], is_sound = column(row, name)
            if not is_sound:
                damage.append(name)
        return cls(**values, damage=tuple(damage))

    @property
    def is_over(self) -> bool:
        """Whether it has ended; in a state of a later release, whether it has the time of its end."""
        return self.state.is_final or (not self.state.is_known and self.finished_at is not None)

    @property
    def limit_s(self) -> float:
        """How long it may take, from its start to its deadline."""
        return (self.deadline or self.created_at) - self.created_at


def column(row: Any, name: str) -> tuple[Any, bool]:
    """The value of a column of a run's row, and whether it could be read; else the value is a default."""
    read, otherwise = _COLUMNS[name]
    try:
        return read(getattr(row, name)), True
    except (ValueError, TypeError):
        return otherwise, False


def key(value: object) -> Any:
    """A value that was read, such as an id, in the form that a query finds again. SQLite may hold any bytes."""
    if isinstance(value, str) and not value.isascii():
        raw = value.encode("utf-8", "surrogateescape")
        try:
            raw.decode()
        except UnicodeDecodeError:
            return sa.cast(sa.literal(raw, sa.LargeBinary), sa.Text)
    return value


def literal(value: object) -> Any:
    """`key` as an expression."""
    found = key(value)
    return found if isinstance(found, sa.ColumnElement) else sa.literal(found)


def stored_json(text: object) -> Any:
    """The JSON that is stored. Raises `ValueError` for other text, and for JSON that is nested too deep to be sent."""
    if not isinstance(text, str):
        raise ValueError("this is not text")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("this is nested too deep") from None
    if text.count("[") + text.count("{") > _DEPTH and not _is_flat(value, _DEPTH):
        raise ValueError("this is nested too deep")
    return value


def _is_flat(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    if depth == 0:
        return False
    return all(_is_flat(inner, depth - 1) for inner in (value.values() if isinstance(value, dict) else value))


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def count(value: object) -> int:
    """A count. Raises `ValueError`."""
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError("this is not a count")
    return value


def moment(value: object) -> float:
    """Seconds since the epoch. Raises `ValueError`."""
    if type(value) not in (int, float) or not 0 <= value <= _LAST_TIME:  # type: ignore[operator]
        raise ValueError("this is not a time")
    return float(value)  # type: ignore[arg-type]


def _text(value: object) -> str:
    if not is_clean(value):
        raise ValueError("this is not text")
    return str(value)


def _state(word: object) -> RunState:
    if not isinstance(word, str):
        raise ValueError("this is not a state")
    return RunState.of(word)


def _or_none(read: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else read(value)


def _any_id(value: object) -> str:
    """Any id as text. The caller checks by the pattern of ids whether it can be used."""
    return writable(value if isinstance(value, str) else repr(value))[:200]


_COLUMNS: dict[str, tuple[Callable[[object], Any], Any]] = {
    "run_id": (_any_id, "?"),
    "digest": (_text, ""),
    "state": (_state, RunState.FAILED),
    "method": (_or_none(_text), None),
    "pipe": (_or_none(_text), None),
    "created_at": (moment, 0.0),
    "deadline": (_or_none(moment), None),
    "started_at": (_or_none(moment), None),
    "finished_at": (_or_none(moment), None),
    "cancel_asked_at": (_or_none(moment), None),
    "attempt": (count, 0),
    "executor": (_or_none(_text), None),
    "event_count": (count, 0),
    "problem": (_or_none(_text), None),
    "hand_backs": (count, 0),
}
