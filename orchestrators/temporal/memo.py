"""What Temporal keeps of a run beside its history, and answers with every look at it. The members are on the wire."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Memo

from orchestrators.temporal.names import ASKED, ENDED
from schemas.base import Open
from schemas.canonical import request_digest
from schemas.problem import Problem
from schemas.runs import RunRequest, RunState


class Asked(Open):
    """What was asked for. Times are seconds since the epoch."""

    digest: str
    method: str | None = None
    pipe: str | None = None
    created_at: float
    deadline: float | None = None

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


class Ended(Open):
    """How a run ended. Times are seconds since the epoch; counts are those of its story."""

    state: RunState
    finished_at: float
    started_at: float | None = None
    attempt: int = 0
    event_count: int = 0
    started: int = 0
    ended: int = 0
    problem: Problem | None = None


def members(memo: Memo) -> Mapping[str, Any]:
    """The memo's members as JSON values; what is none of ours may be anything."""
    found: dict[str, Any] = {}
    for name, payload in memo.fields.items():
        if payload.metadata.get("encoding") == b"json/plain":
            with suppress(ValueError):
                found[name] = json.loads(payload.data)
    return found


def asked_of(found: Mapping[str, Any]) -> Asked | None:
    """What was asked for; None in the memo of somebody else's workflow."""
    try:
        return Asked.model_validate(found.get(ASKED))
    except ValidationError:
        return None


def ended_of(found: Mapping[str, Any]) -> Ended | None:
    """How the run ended, where its workflow said so."""
    try:
        return Ended.model_validate(found.get(ENDED))
    except ValidationError:
        return None
