"""The problems of runs, in the same words for every ledger."""

from schemas.problem import NextStep, Problem, ProblemError, problem, problem_error


def run_id_taken(run_id: str) -> ProblemError:
    """The refusal of a run id that another request has."""
    return problem_error(
        "request.idempotency_conflict",
        f"A run named {run_id!r} was asked for with another method or other inputs.",
        next_step=("change_input", "Choose another `run_id`, or leave it out."),
        params={"run_id": run_id},
        run_id=run_id,
    )


def run_not_found(run_id: str) -> ProblemError:
    """The refusal of a run that the ledger does not know."""
    return problem_error(
        "run.not_found",
        f"No run named {run_id!r} is known here.",
        next_step=("change_input", "Check the id; `runs/list` names the runs that are known."),
        params={"pipeline_run_id": run_id},
    )


def run_not_finished(run_id: str) -> ProblemError:
    """The refusal of a result that is not there yet."""
    return problem_error(
        "run.not_finished",
        f"The run {run_id!r} has not ended yet.",
        next_step=("wait", "Ask again later, with `wait_s` to wait for it, or follow it with `runs/watch`."),
        params={"pipeline_run_id": run_id},
        run_id=run_id,
    )


def no_worker(mode: str, detail: str) -> ProblemError:
    """The refusal of a call that would wait for a worker while none is there."""
    return problem_error(
        "runtime.unavailable",
        detail,
        domain="operator",
        next_step=(
            "retry",
            f"Start `mthds-rpc worker --orchestration-mode {mode}`, then try again; `start` does not wait.",
        ),
        params={"dependency": "orchestrator"},
    )


def result_not_kept(run_id: str) -> ProblemError:
    """The refusal of a result that had to make room for those of newer runs."""
    return problem_error(
        "run.results_not_stored",
        f"The run {run_id!r} completed, and its result is not kept any more: newer runs needed the memory.",
        domain="operator",
        next_step=(
            "change_input",
            "Run it again under another `run_id`, and take the result from the answer; or name an orchestration_mode"
            " that keeps runs.",
        ),
        params={"pipeline_run_id": run_id},
        run_id=run_id,
    )


def run_cancelled(run_id: str | None) -> Problem:
    """The end of a cancelled run."""
    return problem(
        "run.cancelled",
        "The run was cancelled before it ended.",
        next_step=("retry", "Run it again if its result is still wanted."),
        run_id=run_id,
    )


def run_timed_out(run_id: str | None, limit_s: float | None, setting: str = "timeout_s") -> Problem:
    """The end of a run that was still running after `limit_s` seconds; None if that number is not known.

    `setting` is what sets the limit.
    """
    limit = None if limit_s is None else round(limit_s, 3)
    after = "when its time was up" if limit is None else f"after its limit of {limit:g} seconds"
    return problem(
        "run.timed_out",
        f"The run was stopped {after}.",
        next_step=("change_method", f"Raise `{setting}`, or make the method do less, then run it again."),
        params=None if limit is None else {"timeout": limit},
        run_id=run_id,
    )


def run_lost(run_id: str | None, detail: str) -> Problem:
    """The end of a run whose outcome is not known."""
    return problem(
        "run.lost",
        detail,
        next_step=("retry", "Look for what the run may already have done, then run it again."),
        params={"pipeline_run_id": run_id} if run_id is not None else None,
        run_id=run_id,
    )


def run_given_up(run_id: str, attempts: int) -> Problem:
    """The end of a run whose attempts were all lost."""
    return run_lost(
        run_id, f"The run was begun {attempts} times, and each time its engine or its worker ended under it."
    )


def run_handed_back(run_id: str, times: int) -> Problem:
    """The end of a run that no worker had the time for."""
    problem = run_lost(
        run_id, f"The run was handed back {times} times by workers that were told to stop before it had ended."
    )
    step = NextStep(kind="retry", detail="Keep a worker running, such as `mthds-rpc worker`, then run it again.")
    return problem.model_copy(update={"next_step": step})


def run_damaged(run_id: str, what: str) -> Problem:
    """The problem of a run whose stored row cannot be used; `what` names the parts."""
    return run_lost(run_id, f"What is stored of the run is damaged: {what}.")


def run_unexpected(run_id: str, process: str = "worker") -> Problem:
    """The end of a run in a `process` that failed unexpectedly."""
    return problem(
        "runtime.unexpected",
        f"The {process} met an unexpected failure; its stderr holds the details.",
        next_step=("report", f"Report it with what the {process}'s stderr holds."),
        run_id=run_id,
    )
