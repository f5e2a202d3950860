"""Validation: the request after inlining, and its verdict."""

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.base import Closed, Open
from schemas.method_source import MethodSource
from schemas.problem import ProblemItem


class ValidateRequest(Closed):
    """A method to validate, complete: everything that was a path has been read and inlined."""

    method: MethodSource
    orchestration_mode: str
    allow_signatures: bool = False
    include: Annotated[list[Literal["graph"]], Field(default_factory=list)]
    graph_pipe_code: str | None = None


class ValidationVerdict(Open):
    """`is_valid: true` with Pipelex's report as further members, or `is_valid: false` with `errors`."""

    is_valid: bool
    errors: list[ProblemItem] | None = None
    warnings: Annotated[list[ProblemItem], Field(default_factory=list)]
    is_runnable: bool = False
    pending_signatures: Annotated[list[str], Field(default_factory=list)]
    message: str | None = None
    method_root: str | None = None
    """The folder, relative to the workspace, that each `location.file` is relative to; for a method given by path."""

    def to_wire(self) -> dict[str, Any]:
        """The verdict as JSON members; `errors` only where it is invalid."""
        wire = self.model_dump(mode="json")
        for name in ("errors", "message", "method_root"):
            if wire[name] is None:
                del wire[name]
        for item in [*wire.get("errors", []), *wire["warnings"]]:
            _drop_none(item)
        return wire


def _drop_none(item: dict[str, Any]) -> None:
    for name in [name for name, value in item.items() if value is None]:
        del item[name]
    location = item.get("location")
    if location:
        item["location"] = {name: value for name, value in location.items() if value is not None}
