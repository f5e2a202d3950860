"""How two things are measured against each other."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One row: what we and the peer took (or did per second), their ratio, and what must come out, if anything.

    Where a difference is judged, that stands in the ratio's place. Without a peer there is neither, and the target is
    one for what we took.
    """

    name: str
    peer: str
    unit: str
    ours: float
    theirs: float | None
    ratio: float | None
    target: float | None
    higher_is_better: bool
    pairs: int
    difference: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        told = (self.ratio, self.difference, self.ours)
        judged = next(value for value in told if value is not None)
        return judged >= self.target if self.higher_is_better else judged <= self.target

    def as_json(self) -> dict[str, Any]:
        """All fields and whether the target was reached."""
        return asdict(self) | {"reached": self.reached}


@dataclass(frozen=True)
class Goal:
    """What a measurement is called, whom it compares with, if anybody, and what must come out, if anything."""

    name: str
    peer: str
    unit: str
    target: float | None = None
    higher_is_better: bool = False
    by_difference: bool = False
    """Judged by what we take more than the peer, in the unit, and not by the ratio."""


Measure = Callable[[], float]
Pick = Callable[[Sequence[float]], float]


def compare(goal: Goal, ours: Measure, theirs: Measure, pairs: int, *, is_warm: bool = False) -> Figure:
    """Measure in pairs, in turns who goes first, after a round that does not count unless `is_warm`."""
    if not is_warm:
        _pair(ours, theirs, ours_first=True)
    taken = [_pair(ours, theirs, ours_first=turn % 2 == 0) for turn in range(pairs)]
    return Figure(
        name=goal.name,
        peer=goal.peer,
        unit=goal.unit,
        ours=statistics.median(mine for mine, _ in taken),
        theirs=statistics.median(other for _, other in taken),
        ratio=None if goal.by_difference else statistics.median(mine / other for mine, other in taken),
        target=goal.target,
        higher_is_better=goal.higher_is_better,
        pairs=pairs,
        difference=statistics.median(mine - other for mine, other in taken) if goal.by_difference else None,
    )


def measure(goal: Goal, ours: Measure, times: int, *, is_warm: bool = False) -> Figure:
    """Measure what has no peer, after a time that does not count unless `is_warm`."""
    if not is_warm:
        ours()
    return of_times(goal, [ours() for _ in range(times)])


def of_times(goal: Goal, taken: Sequence[float], pick: Pick = statistics.median) -> Figure:
    """What has been measured and has no peer; `pick` says which time counts."""
    return Figure(
        name=goal.name,
        peer=goal.peer,
        unit=goal.unit,
        ours=pick(taken),
        theirs=None,
        ratio=None,
        target=goal.target,
        higher_is_better=goal.higher_is_better,
        pairs=len(taken),
    )


def _pair(ours: Measure, theirs: Measure, *, ours_first: bool) -> tuple[float, float]:
    if ours_first:
        mine = ours()
        return mine, theirs()
    other = theirs()
    return ours(), other


def milliseconds(action: Callable[[], object]) -> float:
    """How long the action takes."""
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000


def per_second(times: int, action: Callable[[], object]) -> float:
    """The rate of an action that does `times` things."""
    return times * 1000 / milliseconds(action)


def median_of(times: int, action: Callable[[], object]) -> float:
    """The median of `times` actions, in milliseconds."""
    return statistics.median(milliseconds(action) for _ in range(times))
