"""The events of a run's life and the rule for its final state, the same in every mode."""

from schemas.problem import Problem
from schemas.runs import RunEvent, RunState

UNREADABLE_REQUEST = "The stored request cannot be read by this release of the worker."
"""Why a run is lost whose request no release of this age can run."""

WORKER_STOPS = "the worker stops"
WORKER_LOST = "the worker was lost"
ENGINE_LOST = "the engine was lost"

_STATES = {"run.timed_out": RunState.TIMED_OUT, "run.cancelled": RunState.CANCELLED}


def final_state(problem: Problem | None) -> RunState:
    """The state of a run that ended with this problem; without one it has completed."""
    return RunState.COMPLETED if problem is None else _STATES.get(problem.code, RunState.FAILED)


def started(run_id: str, at: float, attempt: int = 1) -> RunEvent:
    """An attempt begins. `at` is in seconds since the epoch, here and below."""
    again = "" if attempt == 1 else f", attempt {attempt}"
    return RunEvent(run_id=run_id, seq=0, kind="run_started", at=at, message=f"the run started{again}", attempt=attempt)


def requeued(run_id: str, at: float, attempt: int, why: str) -> RunEvent:
    """An attempt is over and the run is not; `why` is one of the reasons above."""
    message = f"{why}; the run waits for another"
    return RunEvent(run_id=run_id, seq=0, kind="run_requeued", at=at, message=message, attempt=attempt)


def ended(
    run_id: str,
    at: float,
    state: RunState,
    problem: Problem | None,
    *,
    attempt: int = 1,
    started: int = 0,
    ended: int = 0,
    seq: int = 0,
) -> RunEvent:
    """The last event of a run; `started` and `ended` count its pipes."""
    return RunEvent(
        run_id=run_id,
        seq=seq,
        kind="run_ended",
        at=at,
        started=started,
        ended=ended,
        attempt=attempt,
        message=f"the run ended: {state.lower()}",
        problem=problem,
    )
