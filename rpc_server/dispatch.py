"""The method table: a name, a params model and a handler per wire method."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from schemas.runs import RunEvent

JsonId = str | int | float | None


@dataclass(slots=True)
class Call:
    """One request while it is served. Its handler may keep it until the handler returns, no longer."""

    id: JsonId
    """The caller's id; None also for a notification."""
    method: str
    progress: "Callable[[RunEvent], None] | None" = None
    """Sends a run event to the caller, in order; does not block. None unless `params._meta.progressToken` was given."""


Handler = Callable[[Call, Any], Awaitable[Any]]
"""Takes the call and an instance of its params model, returns what JSON can hold. Raises `ProblemError`, or anything
that an error mapper knows; cancelled through anyio when the caller cancels."""


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One wire method. `params` gives the order of positional params: its fields, `_meta` left out."""

    name: str
    params: "type[BaseModel]"
    handler: Handler
    summary: str
    result: "type[BaseModel] | dict[str, Any]"
    """A model, or a JSON Schema."""
    errors: tuple[str, ...] = ()
    """The problem codes it may answer with, beside those every method may."""


MethodTable = Mapping[str, MethodSpec]


def method_table(*families: list[MethodSpec]) -> MethodTable:
    """One table of all `families`. Raises ValueError where two specs share a name."""
    table: dict[str, MethodSpec] = {}
    for spec in (spec for family in families for spec in family):
        if spec.name in table:
            raise ValueError(f"two specs are named {spec.name}")
        table[spec.name] = spec
    return table
