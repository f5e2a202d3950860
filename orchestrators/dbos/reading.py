"""What is read of runs. Nothing here changes any."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from orchestrators.dbos.tables import events as events_table
from orchestrators.dbos.tables import results, runs, writable
from schemas.params import RUN_ID_PATTERN
from schemas.problem import Problem
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunState
from schemas.times import iso_time

EVENTS_AT_ONCE = 500


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    state: RunState
    event_count: int


class Kept(NamedTuple):
    """A run as `start` needs it: what it was asked to be, and how it stands."""

    digest: str
    state: RunState
    created_at: float


def record(connection: sa.Connection, run_id: str, mode: str) -> RunRecord | None:
    """The record of one run."""
    row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one_or_none()
    return None if row is None else _record(row, mode)


def kept(connection: sa.Connection, run_id: str) -> Kept:
    """What was kept under an id that is there."""
    row = connection.execute(sa.select(runs.c.digest, runs.c.state, runs.c.created_at).where(runs.c.run_id == run_id))
    digest, state, created_at = row.one()
    return Kept(digest, RunState(state), created_at)


def page(connection: sa.Connection, query: RunQuery, mode: str) -> RunPage:
    """Newest first; the cursor is where the page before ended."""
    select = sa.select(runs).order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).limit(query.limit + 1)
    if query.state is not None:
        select = select.where(runs.c.state == query.state)
    if query.method is not None:
        select = select.where(runs.c.method == writable(query.method))
    if query.since is not None:
        select = select.where(runs.c.created_at >= query.since)
    before = _place(query.cursor)
    if before is not None:
        select = select.where(sa.tuple_(runs.c.created_at, runs.c.run_id) < sa.tuple_(*map(sa.literal, before)))
    rows = connection.execute(select).all()
    shown = rows[: query.limit]
    return RunPage(
        runs=[_record(row, mode) for row in shown],
        next_cursor=f"{shown[-1].created_at!r}:{shown[-1].run_id}" if len(rows) > len(shown) else None,
    )


def result(connection: sa.Connection, run_id: str) -> dict[str, Any] | None:
    """The result of a completed run."""
    text = connection.scalar(sa.select(results.c.result).where(results.c.run_id == run_id))
    return None if text is None else json.loads(text)


def events(connection: sa.Connection, run_id: str, after: int) -> list[RunEvent]:
    """Events with `seq` greater than `after`, at most `EVENTS_AT_ONCE`."""
    select = sa.select(events_table.c.seq, events_table.c.event).where(events_table.c.run_id == run_id)
    select = select.where(events_table.c.seq > after).order_by(events_table.c.seq).limit(EVENTS_AT_ONCE)
    return [
        RunEvent.model_validate({**json.loads(row.event), "run_id": run_id, "seq": row.seq})
        for row in connection.execute(select)
    ]


def standings(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, Standing]:
    """How far each of some runs is; a stranger is left out."""
    select = sa.select(runs.c.run_id, runs.c.state, runs.c.event_count).where(runs.c.run_id.in_(run_ids))
    return {row.run_id: Standing(RunState(row.state), row.event_count) for row in connection.execute(select)}


def _record(row: Any, mode: str) -> RunRecord:
    return RunRecord(
        pipeline_run_id=row.run_id,
        orchestration_mode=mode,
        state=RunState(row.state),
        created_at=iso_time(row.created_at),
        started_at=_iso(row.started_at),
        finished_at=_iso(row.finished_at),
        pipe=row.pipe,
        method=row.method,
        attempt=row.attempt,
        problem=None if row.problem is None else Problem.model_validate_json(row.problem),
        event_count=row.event_count,
    )


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)


def _place(cursor: str | None) -> tuple[float, str] | None:
    """Where a page begins; a cursor that is none of ours begins at the newest."""
    at, _, run_id = (cursor or "").partition(":")
    try:
        return (float(at), run_id) if re.fullmatch(RUN_ID_PATTERN, run_id) else None
    except ValueError:
        return None
