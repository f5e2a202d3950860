"""Why a method is not a tool of its own, as problems."""

import logging

from schemas.problem import Problem, faults_summary, problem
from schemas.validation import ValidationVerdict

logger = logging.getLogger(__name__)

_SOLVED_ELSEWHERE = ("runtime.", "run.", "method.dependency_")


def may_pass(problem: Problem) -> bool:
    """Whether the problem may go without a change of the method: an engine's, or one of a package."""
    codes = [problem.code, *(item.code for item in problem.errors or ())]
    return problem.retry == "yes" or any(code.startswith(_SOLVED_ELSEWHERE) for code in codes)


def invalid(verdict: ValidationVerdict) -> Problem:
    """It does not validate."""
    faults = verdict.errors or []
    return problem(
        "method.invalid",
        faults_summary(faults) if faults else "The method does not validate.",
        next_step=("change_method", "Fix each fault that `errors` lists."),
        errors=faults,
    )


def inexpressible(path: str, reason: str) -> Problem:
    """Its inputs have no portable schema, for `reason`."""
    return _left_out(
        "request.unsupported",
        f"The method '{path}' cannot be a tool of its own: {reason}.",
        ("change_input", "Run it with the tool `execute`, or give its main pipe simpler inputs."),
    )


def clash(path: str, name: str) -> Problem:
    """Another tool has its name."""
    return _left_out(
        "method.name_conflict",
        f"The method '{path}' cannot be a tool of its own: another tool has its name, '{name}'.",
        ("change_input", "Run it with the tool `execute`, or move it to a folder of another name."),
    )


def too_slow(path: str, limit: float) -> Problem:
    """No engine answered in time what it takes."""
    return _left_out(
        "runtime.unavailable",
        f"No engine told within {limit:g} seconds what the method '{path}' takes.",
        ("retry", "It is tried again by itself; run the method with the tool `execute` until then."),
    )


def not_understood(path: str, error: Exception) -> Problem:
    """Something in it raised an unexpected exception; that is logged."""
    logger.error("The method '%s' cannot be a tool.", path, exc_info=error)
    return inexpressible(path, f"something in it is not understood ({type(error).__name__})")


def unexpected(path: str, error: Exception) -> Problem:
    """An engine's answer about it raised an unexpected exception; that is logged, and the engine is asked again."""
    logger.error("What the method '%s' takes cannot be found out.", path, exc_info=error)
    return _left_out(
        "runtime.unexpected",
        f"The method '{path}' cannot be a tool of its own: something unexpected failed.",
        ("report", "Report it with the lines of the server's stderr; run the method with the tool `execute`."),
    )


def _left_out(code: str, detail: str, next_step: tuple[str, str]) -> Problem:
    kind, what = next_step
    return problem(
        code,
        detail,
        next_step=(kind, what),
        domain="method",
    )
