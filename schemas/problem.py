"""The problem document: the one value every failure is (MTHDS Protocol, "Errors"; RFC 9457)."""

from typing import Annotated, Any

from pydantic import Field

from schemas.base import Open
from schemas.problem_codes import Retry, problem_code


class Position(Open):
    """A place in a file as editors count: zero-based `line`, zero-based `character` in UTF-16 code units."""

    line: Annotated[int, Field(ge=0)]
    character: Annotated[int, Field(ge=0)]


class Range(Open):
    """A half-open span, `start` included, `end` excluded."""

    start: Position
    end: Position


class Location(Open):
    """Where it happened. `line` and `column` are one-based, `range` zero-based; every member is optional."""

    file: str | None = None
    pipe: str | None = None
    path: list[str] | None = None
    input: str | None = None
    field: str | None = None
    item: int | None = None
    attempt: int | None = None
    line: Annotated[int, Field(ge=1)] | None = None
    column: Annotated[int, Field(ge=1)] | None = None
    range: Range | None = None


class NextStep(Open):
    """What the reader should do next: a kind from the registry's list, and one sentence."""

    kind: str
    detail: str


class ProblemItem(Open):
    """One fault of a problem with several, and one item of a verdict."""

    code: str
    detail: str
    params: dict[str, Any] | None = None
    location: Location | None = None
    suggestions: list[str] | None = None
    suggested_fix: dict[str, Any] | None = None


class Problem(Open):
    """One failure, as its reader needs it. No traceback, host path, key or provider text is ever in it."""

    code: str
    title: str
    detail: str
    domain: str = "runtime"
    retry: Retry | str = "no"
    next_step: NextStep
    type: str | None = None
    status: int | None = None
    retry_after: float | None = None
    params: dict[str, Any] | None = None
    location: Location | None = None
    errors: list[ProblemItem] | None = None
    pipeline_run_id: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """The document as JSON members; a member with no value is left out, never `null`."""
        return self.model_dump(mode="json", exclude_none=True)


class ProblemError(Exception):
    """Carries a problem through the code. `rpc_code` is set only by an error mapper with an integer of its own."""

    def __init__(self, problem: Problem, *, rpc_code: int | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.rpc_code = rpc_code


def problem(
    code: str,
    detail: str,
    *,
    next_step: tuple[str, str],
    domain: str | None = None,
    retry: Retry | None = None,
    params: dict[str, Any] | None = None,
    location: Location | None = None,
    errors: list[ProblemItem] | None = None,
    run_id: str | None = None,
) -> Problem:
    """The document of a failure. `next_step` is (kind, sentence).

    The title is that of its code; so are `domain`, who has to act, and `retry`, unless they are given.
    """
    known = problem_code(code)
    return Problem(
        code=code,
        title=known.title,
        detail=detail,
        domain=domain or known.domain,
        retry=retry or known.retry,
        next_step=NextStep(kind=next_step[0], detail=next_step[1]),
        params=params,
        location=location,
        errors=errors,
        pipeline_run_id=run_id,
    )


def problem_error(
    code: str,
    detail: str,
    *,
    next_step: tuple[str, str],
    domain: str | None = None,
    retry: Retry | None = None,
    params: dict[str, Any] | None = None,
    location: Location | None = None,
    errors: list[ProblemItem] | None = None,
    run_id: str | None = None,
    rpc_code: int | None = None,
) -> ProblemError:
    """The exception to raise for a failure; see `problem`."""
    document = problem(
        code,
        detail,
        next_step=next_step,
        domain=domain,
        retry=retry,
        params=params,
        location=location,
        errors=errors,
        run_id=run_id,
    )
    return ProblemError(document, rpc_code=rpc_code)


def faults_summary(faults: list[ProblemItem]) -> str:
    """How many there are, and where the first is: each has a sentence of its own in `errors`."""
    place = faults[0].location
    where = "" if place is None or place.file is None else f"{place.file}:{place.line}" if place.line else place.file
    if len(faults) == 1:
        return f"The method has a fault{where and f', at {where}'}."
    return f"The method has {len(faults)} faults{where and f', the first at {where}'}."
