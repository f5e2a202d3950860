"""Clocks that may be wrong: what a run's time, and its age, are counted by."""

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from orchestrators.dbos.rows import moment
from orchestrators.dbos.tables import ledger, runs

_JUMP_S = 5.0
_MOST_JUMPS = 100
# How much of an age that nothing witnessed is believed for each second that a worker runs: a day for an hour.
_CATCH_UP = 24.0


def steady() -> float:
    """Seconds by a clock that cannot be set, and that keeps running while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """The clock of the machine, and how far it was set forward between two looks of this process."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady) -> None:
        self._wall = wall
        self._steady = steady
        self.began_at = wall()
        self._seen = (self.began_at, steady())
        self._jumps: list[tuple[float, float]] = []

    def look(self) -> float:
        """The time, in seconds since the epoch; a jump since the last look is remembered."""
        wall, now = self._wall(), self._steady()
        seen, at = self._seen
        self._seen = (wall, now)
        jump = (wall - seen) - (now - at)
        if jump > _JUMP_S:
            self._jumps = [*self._jumps[1 - _MOST_JUMPS :], (seen + now - at, jump)]
        return wall

    def set_forward_since(self, moment: float) -> float:
        """By how many seconds the clock was set forward after it had shown `moment`."""
        self.look()
        return sum(jump for before, jump in self._jumps if moment <= before)


def move_age_clock(connection: sa.Connection, now: float, elapsed_s: float, leap_s: float) -> float:
    """The time that ages are counted by, brought forward.

    It follows the machine's clock, but for leaps of more than `leap_s`: a clock that was set wrong looks the same as a
    machine that was off. It then moves on by no more than a day for each hour that workers run. `elapsed_s` is how long
    the caller has run since it last did this.
    """
    row = connection.execute(sa.select(ledger.c.age_clock, ledger.c.age_clock_moved_at)).first()
    age_clock: Any = None if row is None else row.age_clock
    moved_at: Any = None if row is None else row.age_clock_moved_at
    if not _is_moment(age_clock):
        newest = sa.select(runs.c.created_at).where(runs.c.created_at <= now).order_by(runs.c.created_at.desc())
        age_clock = connection.scalar(newest.limit(1)) or now
    since = now - moved_at if _is_moment(moved_at) else 0.0
    if now <= age_clock + leap_s:
        age_clock = now
    else:
        age_clock += _CATCH_UP * max(0.0, min(elapsed_s, since))
    connection.execute(ledger.update().values(age_clock=age_clock, age_clock_moved_at=now))
    return float(age_clock)


def _is_moment(value: object) -> bool:
    try:
        moment(value)
    except ValueError:
        return False
    return True
