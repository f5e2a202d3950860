"""Exceptions raised around Pipelex, as problems in the caller's view."""

import logging

from pipelex.base_exceptions import PipelexError
from pipelex.errors.failure_problem import failure_problem
from pipelex.errors.problem import PipelexProblem, ProblemView, caller_view_of

from schemas.problem import Problem, ProblemError

logger = logging.getLogger(__name__)


def caller_problem(problem: PipelexProblem) -> Problem:
    """Pipelex's own document without what only an operator may see."""
    return Problem.model_validate(caller_view_of(problem=problem).as_wire())


def problem_of(error: Exception, run_id: str | None = None) -> Problem:
    """The problem of anything an operation raises; what nobody foresaw is logged here and hidden from the caller."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, PipelexError):
        document = error.to_problem(view=ProblemView.CALLER, pipeline_run_id=run_id)
    else:
        logger.error("an engine operation failed unexpectedly", exc_info=error)
        document = caller_view_of(problem=failure_problem(error=error))
    return Problem.model_validate(document.as_wire())
