"""When those who wait for a run hold that it is late, whatever the clocks do."""

import math

import pytest

from orchestrators.durable import deadlines
from orchestrators.durable.deadlines import patience_s

BEGAN = 1_700_000_000.0
GRACE = deadlines._GRACE_S


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A process that began at `BEGAN`: its wall clock, and the one that only goes forward."""
    now = {"wall": BEGAN, "steady": 50.0}
    monkeypatch.setattr(deadlines, "_WALL", BEGAN)
    monkeypatch.setattr(deadlines, "_STEADY", 50.0)
    monkeypatch.setattr(deadlines.time, "monotonic", lambda: now["steady"])
    monkeypatch.setattr(deadlines.time, "time", lambda: now["wall"])
    return now


def test_a_run_is_late_a_little_after_its_deadline(clock: dict[str, float]) -> None:
    clock["steady"] += 2
    assert patience_s(BEGAN + 1, BEGAN + 4) == pytest.approx(2 + GRACE)

    clock["steady"] += 10
    assert patience_s(BEGAN + 1, BEGAN + 4) < 0


@pytest.mark.parametrize("jump", [-4_000_000, 4_000_000])
def test_a_clock_that_jumps_makes_no_run_late(clock: dict[str, float], jump: float) -> None:
    clock["wall"] += jump

    assert patience_s(BEGAN, BEGAN + 3) == pytest.approx(3 + GRACE)
    assert patience_s(BEGAN + jump, BEGAN + jump + 3) == pytest.approx(3 + GRACE)


def test_a_run_older_than_this_process_gets_its_whole_time(clock: dict[str, float]) -> None:
    clock["steady"] += 100

    assert patience_s(BEGAN - 1000, BEGAN - 990) == pytest.approx(10 + GRACE)


@pytest.mark.parametrize("deadline", [None, math.inf, math.nan])
def test_a_run_without_a_deadline_is_never_late(deadline: float | None) -> None:
    assert patience_s(BEGAN, deadline) == math.inf
