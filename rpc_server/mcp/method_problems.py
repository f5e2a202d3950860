"""Why a method is not a tool of its own."""

from schemas.problem import NextStep, Problem
from schemas.validation import ValidationVerdict


def invalid(verdict: ValidationVerdict) -> Problem:
    faults = verdict.errors or []
    first = f": {faults[0].detail}" if faults else "."
    return Problem(
        code="method.invalid",
        title="The method does not validate",
        detail=f"The method does not validate{first}",
        domain="method",
        next_step=NextStep(kind="change_method", detail="Fix each fault that `errors` lists."),
        errors=faults,
    )


def inexpressible(path: str, reason: str) -> Problem:
    return _left_out(
        "request.unsupported",
        f"The method '{path}' cannot be a tool of its own: {reason}.",
        ("change_input", "Run it with the tool `execute`, or give its main pipe simpler inputs."),
    )


def clash(path: str, name: str) -> Problem:
    return _left_out(
        "method.name_conflict",
        f"The method '{path}' cannot be a tool of its own: another tool has its name, '{name}'.",
        ("change_input", "Run it with the tool `execute`, or move it to a folder of another name."),
    )


def too_slow(path: str, limit: float) -> Problem:
    return _left_out(
        "runtime.unavailable",
        f"No engine told within {limit:g} seconds what the method '{path}' takes.",
        ("retry", "It is tried again by itself; run the method with the tool `execute` until then."),
    )


def unexpected(path: str) -> Problem:
    return _left_out(
        "runtime.unexpected",
        f"The method '{path}' cannot be a tool of its own: looking at it failed.",
        ("retry", "It is tried again by itself; the log of the server says what failed."),
    )


def _left_out(code: str, detail: str, next_step: tuple[str, str]) -> Problem:
    kind, what = next_step
    return Problem(
        code=code,
        title="The method is not a tool of its own",
        detail=detail,
        domain="method",
        next_step=NextStep(kind=kind, detail=what),
    )
