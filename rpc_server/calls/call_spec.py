"""What one wire method is: its name, params, handler, result and errors."""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rpc_server.calls.binding import bind
from rpc_server.wire.dispatch import Handler

if TYPE_CHECKING:
    from pydantic import BaseModel

RAW = "raw"
"""For a method whose handler reads the params itself: it is given the object that was sent, `{}` where none was."""


@dataclass(frozen=True, slots=True)
class CallSpec:
    """One wire method."""

    name: str
    params: "type[BaseModel] | str | None"
    """The params model; its fields give the order of positional params, `_meta` left out. As `"package.module:Name"`
    it is imported when it is first needed, so that start-up does not pay for it. None for a method without params,
    whose handler is given None; `RAW` for one that is given what was sent."""
    handler: Handler
    summary: str
    result: "type[BaseModel] | str | dict[str, Any]"
    """A model, likewise, or a JSON Schema."""
    errors: tuple[str, ...] = ()
    """The problem codes it may answer with, beside those that every method may."""
    answers_cancelled: bool = True
    """Whether a call that `notifications/cancelled` ends is answered, with the error of a cancelled call."""

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The params as the handler takes them. Raises ProblemError coded `request.invalid`."""
        if self.params is RAW and not args:
            return kwargs
        return bind(None if self.params is RAW else self.params_model, args, kwargs)

    @property
    def params_model(self) -> "type[BaseModel] | None":
        """The params model, imported."""
        return _model(self.params)

    @property
    def result_model(self) -> "type[BaseModel] | None":
        """The result's model, imported; None where the result is a JSON Schema."""
        return None if isinstance(self.result, dict) else _model(self.result)


CallTable = Mapping[str, CallSpec]


def method_table(*families: list[CallSpec]) -> CallTable:
    """One table of all `families`. Raises ValueError where two specs share a name."""
    table: dict[str, CallSpec] = {}
    for spec in (spec for family in families for spec in family):
        if spec.name in table:
            raise ValueError(f"two specs are named {spec.name}")
        table[spec.name] = spec
    return table


@cache
def _imported(reference: str) -> Any:
    return pkgutil.resolve_name(reference)


def _model(reference: "type[BaseModel] | str | None") -> "type[BaseModel] | None":
    return _imported(reference) if isinstance(reference, str) else reference
