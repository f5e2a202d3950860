"""The memo of a run, which Temporal sends with every description of it. Its members are on the wire.

A foreign program or a newer release may have written anything here. Members that cannot be read are left out.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError
from temporalio.api.common.v1 import Memo

from orchestrators.temporal.names import ASKED, ENDED
from schemas.base import Open
from schemas.canonical import request_digest
from schemas.problem import Problem
from schemas.runs import RunRequest, RunState

M = TypeVar("M", bound=Open)

# The last second of the year 9998, so that any time zone can write it.
_LAST_MOMENT = 253_370_764_799
Moment = Annotated[float, Field(ge=0, le=_LAST_MOMENT, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Asked(Open):
    """What was asked for. Times are seconds since the epoch."""

    digest: str
    method: str | None = None
    pipe: str | None = None
    created_at: Moment
    deadline: Moment | None = None

    @classmethod
    def of(cls, run: RunRequest) -> "Asked":
        """Of a request."""
        return cls(
            digest=request_digest(run),
            method=run.method.name,
            pipe=run.pipe_code,
            created_at=run.created_at,
            deadline=run.deadline,
        )


class Figures(Open):
    """How far a run is, by its event log."""

    attempt: Count = 0
    started_at: Moment | None = None
    event_count: Count = 0
    started: Count = 0
    ended: Count = 0


class Ended(Figures):
    """How a run ended. Times are seconds since the epoch; counts are those of its event log."""

    state: RunState
    finished_at: Moment
    problem: Problem | None = None


def members(memo: Memo) -> Mapping[str, Any]:
    """The memo's members as JSON values, unchecked."""
    found: dict[str, Any] = {}
    for name, payload in memo.fields.items():
        if payload.metadata.get("encoding") == b"json/plain":
            with suppress(ValueError, RecursionError):
                found[name] = json.loads(payload.data)
    return found


def asked_of(found: Mapping[str, Any], taken_at: float) -> tuple[Asked, bool]:
    """What was asked for, and whether all of it could be read. `taken_at` is when Temporal took the run."""
    try:
        return Asked.model_validate(found.get(ASKED)), True
    except ValidationError:
        return _readable(Asked, found.get(ASKED), digest="", created_at=min(max(taken_at, 0.0), _LAST_MOMENT)), False


def ended_of(found: Mapping[str, Any], closed_at: float) -> Ended | None:
    """How the run ended, where its workflow said so in a state that is known; `closed_at` is when Temporal ended it."""
    if ENDED not in found:
        return None
    try:
        ended = _readable(Ended, found[ENDED], finished_at=closed_at)
    except ValidationError:
        return None
    if ended.problem is not None and not can_be_sent(ended.problem):
        ended.problem = None
    return ended if ended.state.is_final else None


def figures_of(event_log: Any) -> dict[str, Any]:
    """The figures of an event log as JSON, as members of `Ended`; only those that it has."""
    figures = _readable(Figures, event_log)
    return figures.model_dump(exclude_unset=True, exclude_none=True, include=set(Figures.model_fields))


def can_be_sent(value: Open) -> bool:
    """Whether it can be written as JSON: pydantic refuses what is nested too deeply."""
    try:
        value.model_dump(mode="json")
    except (ValueError, RecursionError):
        return False
    return True


def _readable(model: type[M], value: Any, **instead: Any) -> M:
    """A model of the members that can be read; `instead` has defaults for the required ones.

    Raises `ValidationError` if a required member is missing nonetheless.
    """
    known = value if isinstance(value, dict) else {}
    try:
        return model.model_validate(instead | known)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        faulty = {fault["loc"][0] for fault in faults if fault["loc"]}
    return model.model_validate(instead | {name: of for name, of in known.items() if name not in faulty})
