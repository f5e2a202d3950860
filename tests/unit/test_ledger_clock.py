"""Clocks that are set wrong: they cost no run its time, and make no run old."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrators.dbos.clock import Clock, move_age_clock
from orchestrators.dbos.database import Database
from orchestrators.dbos.transitions import keep
from schemas.runs import RunRequest

DAY = 86_400.0
NOW = 1_800_000_000.0
LEAP = 7.5 * DAY


class Hands:
    """A clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall = NOW
        self.steady = 50.0

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)


def test_a_clock_that_goes_right_was_never_set_forward() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.go_on(3 * DAY)

    assert clock.set_forward_since(NOW) == 0


def test_a_clock_that_was_set_forward_is_believed_by_what_began_afterwards_alone() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.go_on(2)
    hands.wall += 40 * DAY
    hands.go_on(1)

    assert clock.set_forward_since(NOW + 1) == pytest.approx(40 * DAY)
    assert clock.set_forward_since(hands.wall) == 0


def test_every_jump_since_counts() -> None:
    hands = Hands()
    clock = hands.clock()
    for _ in range(3):
        hands.wall += DAY
        clock.look()
        hands.go_on(10)

    assert clock.set_forward_since(NOW) == pytest.approx(3 * DAY)


def test_a_clock_that_is_set_back_or_put_right_by_a_little_costs_nothing() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall -= DAY
    clock.look()
    hands.wall += 1.0

    assert clock.set_forward_since(NOW) == 0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.open(f"sqlite:///{tmp_path / 'runs.sqlite3'}")) as opened:
        yield opened


def moved(database: Database, now: float, elapsed_s: float = 0.0) -> float:
    return database.write_now(move_age_clock, now, elapsed_s, LEAP)


def keep_run(database: Database, created_at: float) -> None:
    values = {"method": {"mthds_contents": ["x"]}, "orchestration_mode": "dbos", "created_at": created_at}
    run = RunRequest.model_validate({"run_id": f"run-{created_at:.0f}", **values})
    assert database.write_now(keep, run, "digest")


def test_ages_follow_the_clock_from_day_to_day(database: Database) -> None:
    assert [moved(database, NOW + day * DAY) for day in (0, 1, 3, 9)] == [NOW + day * DAY for day in (0, 1, 3, 9)]


def test_a_clock_that_is_forty_days_ahead_at_boot_makes_no_run_old(database: Database) -> None:
    keep_run(database, NOW)

    assert moved(database, NOW + 40 * DAY) == NOW


def test_a_run_that_is_started_by_the_wrong_clock_does_not_confirm_it(database: Database) -> None:
    moved(database, NOW)
    keep_run(database, NOW + 40 * DAY)

    assert moved(database, NOW + 40 * DAY) == NOW


def test_after_a_long_rest_an_hour_of_work_counts_as_a_day_however_many_workers_there_are(database: Database) -> None:
    moved(database, NOW)
    back = NOW + 40 * DAY
    for step in range(7):
        for _ in range(20):
            moved(database, back + step * 600, elapsed_s=600 if step else 0)

    assert moved(database, back + 3600) == pytest.approx(NOW + DAY)


def test_a_clock_that_is_put_right_is_believed_at_once(database: Database) -> None:
    moved(database, NOW)
    moved(database, NOW + 5 * DAY)

    assert moved(database, NOW) == NOW


def test_workers_that_are_begun_again_and_again_bring_it_no_further(database: Database) -> None:
    moved(database, NOW)

    assert {moved(database, NOW + 40 * DAY + number) for number in range(50)} == {NOW}


def test_the_clock_of_this_process_goes_on() -> None:
    clock = Clock()

    assert abs(clock.look() - time.time()) < 60
