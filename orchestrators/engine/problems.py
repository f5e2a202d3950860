"""Exceptions raised around Pipelex, as problems in the caller's view."""

import logging

from mthds.package.exceptions import ManifestError
from pipelex.base_exceptions import PipelexError
from pipelex.errors.failure_problem import failure_problem
from pipelex.errors.problem import PipelexProblem, ProblemView, caller_view_of

from schemas.problem import Problem, ProblemError, problem
from schemas.system_problems import causes_of, system_problem

logger = logging.getLogger(__name__)

TOO_DEEP = (RecursionError, MemoryError, SyntaxError)
"""What Python raises for templates, concepts or arrays that nest too deep."""
UNFORESEEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, *TOO_DEEP)
"""What Pipelex raises, unintentionally, for documents of an unexpected shape."""

TOO_DEEP_DETAIL = "its templates, concepts or values nest deeper than the runtime can follow."
_VAGUE = ("runtime.unexpected", "runtime.misconfigured")
"""The codes of Pipelex's problems that do not say whose fault it is or what to do."""


def caller_problem(problem: PipelexProblem) -> Problem:
    """Pipelex's own document without what only an operator may see."""
    return Problem.model_validate(caller_view_of(problem=problem).as_wire())


def problem_of(error: Exception, run_id: str | None = None) -> Problem:
    """The problem of anything an operation raises. An unexpected failure is logged here and hidden from the caller."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, PipelexError):
        document = error.to_problem(view=ProblemView.CALLER, pipeline_run_id=run_id)
        if document.code not in _VAGUE:
            return Problem.model_validate(document.as_wire())
    else:
        document = caller_view_of(problem=failure_problem(error=error))
    known = _known(error)
    if known is None:
        if document.code == "runtime.unexpected":
            logger.error("an engine operation failed unexpectedly", exc_info=error)
        return Problem.model_validate(document.as_wire())
    logger.warning("an engine operation failed: %s", error)
    return known if run_id is None else known.model_copy(update={"pipeline_run_id": run_id})


def _known(error: BaseException) -> Problem | None:
    """What the method, or this machine, is at fault for, though Pipelex does not say so."""
    for cause in causes_of(error):
        if isinstance(cause, TOO_DEEP):
            return _too_deep()
        if isinstance(cause, ManifestError):
            return package_invalid("The METHODS.toml of a package that the method calls is not valid.")
    return system_problem(error)


def _too_deep() -> Problem:
    """The refusal of a method that Python itself cannot follow."""
    return problem(
        "method.invalid",
        f"The method does not validate: {TOO_DEEP_DETAIL}",
        next_step=("change_method", "Make it flatter: fewer levels inside one another."),
    )


def package_invalid(detail: str, path: str | None = None) -> Problem:
    """The refusal of a method, or of a package it calls, for its METHODS.toml."""
    return problem(
        "method.package_invalid",
        detail,
        next_step=("change_method", "Correct that METHODS.toml, then send the request again."),
        params={"reason": "manifest_invalid", **({"path": path} if path is not None else {})},
    )
