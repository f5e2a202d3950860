"""The events of a run's life and the rule for its final state."""

import pytest

from orchestrators import run_events
from schemas.problem import Problem
from schemas.run_problems import run_cancelled, run_lost, run_timed_out
from schemas.runs import RunState


@pytest.mark.parametrize(
    ("problem", "state"),
    [
        (None, RunState.COMPLETED),
        (run_timed_out("run-1", 1.0), RunState.TIMED_OUT),
        (run_cancelled("run-1"), RunState.CANCELLED),
        (run_lost("run-1", "Its engine ended."), RunState.FAILED),
    ],
)
def test_the_problem_decides_the_final_state(problem: Problem | None, state: RunState) -> None:
    assert run_events.final_state(problem) is state


@pytest.mark.parametrize(("attempt", "message"), [(1, "the run started"), (2, "the run started, attempt 2")])
def test_a_later_attempt_says_its_number(attempt: int, message: str) -> None:
    assert run_events.started("run-1", 1.0, attempt).message == message


@pytest.mark.parametrize(
    ("why", "message"),
    [
        (run_events.WORKER_STOPS, "the worker stops; the run waits for another"),
        (run_events.WORKER_LOST, "the worker was lost; the run waits for another"),
        (run_events.ENGINE_LOST, "the engine was lost; the run waits for another"),
    ],
)
def test_a_requeued_run_says_why(why: str, message: str) -> None:
    assert run_events.requeued("run-1", 1.0, 1, why).message == message


def test_the_last_event_names_the_final_state() -> None:
    assert run_events.ended("run-1", 1.0, RunState.TIMED_OUT, None).message == "the run ended: timed_out"
