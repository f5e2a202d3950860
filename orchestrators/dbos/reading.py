"""Reads runs, and changes nothing. A damaged row never keeps the others from being read."""

import base64
import json
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from orchestrators.dbos.rows import MOST, RunRow, column, literal, stored_json
from orchestrators.dbos.tables import events as events_table
from orchestrators.dbos.tables import results, runs, writable
from schemas.params import RUN_ID_PATTERN
from schemas.problem import Problem, ProblemError
from schemas.run_problems import run_damaged
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunResult, RunState
from schemas.times import iso_time

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE = 500


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    state: RunState
    event_count: int
    is_over: bool


def record(connection: sa.Connection, run_id: str, mode: str) -> RunRecord | None:
    """The record of one run."""
    row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one_or_none()
    return None if row is None else _record(row, mode)


def kept(connection: sa.Connection, run_id: str) -> RunRow:
    """What was kept under an id that is there."""
    return RunRow.of(connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one())


def page(connection: sa.Connection, query: RunQuery, mode: str) -> RunPage:
    """Newest first; the cursor is where the page before ended."""
    select = sa.select(runs).order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).limit(query.limit + 1)
    if query.state is not None:
        select = select.where(runs.c.state == query.state)
    if query.method is not None:
        select = select.where(runs.c.method == writable(query.method))
    if query.since is not None:
        select = select.where(runs.c.created_at >= query.since)
    before = _place(query.cursor, is_typed=connection.dialect.name != "sqlite")
    if before is not None:
        at, run_id = before
        select = select.where(sa.tuple_(runs.c.created_at, runs.c.run_id) < sa.tuple_(literal(at), literal(run_id)))
    rows = connection.execute(select).all()
    shown = rows[: query.limit]
    return RunPage(
        runs=[_record(row, mode) for row in shown],
        next_cursor=_cursor(shown[-1]) if len(rows) > len(shown) else None,
    )


def outcome(connection: sa.Connection, run_id: str) -> RunResult | None:
    """The result of a completed run; None for any other. Raises `ProblemError` for one that cannot be read."""
    select = sa.select(results.c.result).join(runs, runs.c.run_id == results.c.run_id)
    select = select.where(results.c.run_id == run_id, runs.c.state == RunState.COMPLETED)
    row = connection.execute(select).one_or_none()
    if row is None:
        return None
    try:
        result = RunResult.model_validate(stored_json(row.result))
    except ValueError as error:
        logger.warning("the result of the run %s cannot be read: %s", run_id, error)
        raise ProblemError(run_damaged(run_id, "its result cannot be read")) from error
    if result.pipeline_run_id != run_id:
        raise ProblemError(run_damaged(run_id, "its result is that of another run"))
    return result


def events(connection: sa.Connection, run_id: str, after: int) -> list[RunEvent]:
    """Events with `seq` greater than `after`, at most `EVENTS_AT_ONCE`."""
    select = sa.select(events_table.c.seq, events_table.c.event).where(events_table.c.run_id == run_id)
    select = select.where(events_table.c.seq > after).order_by(events_table.c.seq).limit(EVENTS_AT_ONCE)
    return list(_events(run_id, connection.execute(select)))


def _events(run_id: str, rows: Any) -> Iterator[RunEvent]:
    at = 0.0
    for row in rows:
        if type(row.seq) is not int or row.seq > MOST:
            continue
        try:
            event = RunEvent.model_validate({**stored_json(row.event), "run_id": run_id, "seq": row.seq})
        except (ValueError, TypeError):
            # It keeps its number, so that the numbers have no gap.
            text = "what is stored of this event is damaged"
            event = RunEvent(run_id=run_id, seq=row.seq, kind="unreadable", at=at, message=text)
        at = event.at
        yield event


def standings(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, Standing]:
    """How far each of some runs is; an unknown id is left out."""
    columns = (runs.c.run_id, runs.c.state, runs.c.event_count, runs.c.finished_at)
    select = sa.select(*columns).where(runs.c.run_id.in_(run_ids))
    return {row.run_id: _standing(row) for row in connection.execute(select)}


def _standing(row: Any) -> Standing:
    state, _ = column(row, "state")
    event_count, _ = column(row, "event_count")
    is_over = state.is_final or (not state.is_known and row.finished_at is not None)
    return Standing(state, event_count, is_over)


def _record(row: Any, mode: str) -> RunRecord:
    run = RunRow.of(row)
    return RunRecord(
        pipeline_run_id=run.run_id,
        orchestration_mode=mode,
        state=run.state,
        created_at=iso_time(run.created_at),
        started_at=_iso(run.started_at),
        finished_at=_iso(run.finished_at),
        pipe=run.pipe,
        method=run.method,
        attempt=run.attempt,
        problem=_problem(run),
        event_count=run.event_count,
    )


def _problem(run: RunRow) -> Problem | None:
    if run.damage:
        return run_damaged(run.run_id, ", ".join(run.damage))
    try:
        return None if run.problem is None else Problem.model_validate(stored_json(run.problem))
    except ValidationError:
        return run_damaged(run.run_id, "its problem cannot be read")
    except ValueError:
        return run_damaged(run.run_id, "its problem is no JSON")


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)


def _cursor(row: Any) -> str:
    """Where a page ended. Values that no release of mthds-rpc wrote stay as they are, so that paging can pass them."""
    if isinstance(row.created_at, float) and re.fullmatch(RUN_ID_PATTERN, str(row.run_id)):
        return f"{row.created_at!r}:{row.run_id}"
    place = json.dumps([_packed(row.created_at), _packed(row.run_id)])
    return "~" + base64.urlsafe_b64encode(place.encode()).decode()


def _place(cursor: str | None, *, is_typed: bool) -> tuple[Any, Any] | None:
    """Where a page begins; an unknown cursor begins at the newest. `is_typed`: a column has one type."""
    if cursor is not None and cursor.startswith("~"):
        try:
            at, run_id = map(_unpacked, json.loads(base64.urlsafe_b64decode(cursor[1:])))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None
        is_of_its_type = isinstance(at, float) and isinstance(run_id, str) and writable(run_id) == run_id
        return (at, run_id) if is_of_its_type or not is_typed else None
    text, _, run_id = (cursor or "").partition(":")
    try:
        return (float(text), run_id) if re.fullmatch(RUN_ID_PATTERN, run_id) else None
    except ValueError:
        return None


def _packed(value: object) -> list[Any]:
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, str):
        return ["text", value.encode("utf-8", "surrogateescape").hex()]
    return ["number", value]


def _unpacked(packed: Any) -> Any:
    kind, value = packed
    if kind == "number" and type(value) in (int, float):
        return float(value)
    raw = bytes.fromhex(value)
    return raw if kind == "bytes" else raw.decode("utf-8", "surrogateescape")
