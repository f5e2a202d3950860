"""The short form of the crash campaign; `make soak` is the long one."""

from pathlib import Path

from tests.fault.campaign import Plan, campaign

KILLS = 12


def test_acknowledged_runs_each_end_once_whatever_is_killed(tmp_path: Path) -> None:
    with campaign(tmp_path, Plan(seed=1, kills=KILLS, runs=150)) as opened:
        report = opened.run()

    assert report.faults == []
    assert report.kills == KILLS
    assert report.ended.total() == report.acknowledged + report.unanswered


def test_a_run_is_given_up_after_its_last_attempt_and_never_before(tmp_path: Path) -> None:
    plan = Plan(seed=2, kills=8, runs=60, max_attempts=2, kinds_of_kills=("worker", "engine"))

    with campaign(tmp_path, plan) as opened:
        report = opened.run()

    assert report.faults == []
    assert report.highest_attempt <= 2
