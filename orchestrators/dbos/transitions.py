"""Every step in the life of a run, each one a change of its row and its events in one transaction.

Invariant: nothing else changes a stored run, and its events are numbered from 1 without a gap, `run_ended` last.

A worker's steps count only while the worker still has the run: `Claim` names the attempt and the executor, and a step
with another claim raises `ClaimLost`. So a run ends once, even if two workers believe that they have it.

Any step raises `DamagedRow` and changes nothing if the stored run cannot be used; call `end_damaged` then.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError

from orchestrators import run_events
from orchestrators.dbos.rows import MOST, DamagedRow, RunRow, key
from orchestrators.dbos.tables import events as events_table
from orchestrators.dbos.tables import results, runs, writable
from schemas.problem import Problem
from schemas.run_problems import run_cancelled, run_damaged, run_given_up, run_handed_back, run_timed_out
from schemas.runs import RunEvent, RunRequest, RunState

GOING = (RunState.QUEUED, RunState.RUNNING)
"""The states of a run that has not ended. One in a state of a later release is left to the workers of that release."""
MOST_HAND_BACKS = 50
"""How often a run may be handed back; each time it begins anew, and what it does may be paid for anew."""


class ClaimLost(Exception):
    """The worker does not have the run any more: it ended, or another worker has it."""


@dataclass(frozen=True)
class Claim:
    """One attempt at a run by one executor."""

    run_id: str
    attempt: int
    executor: str
    event_count: int
    """How many events the run had when this attempt had begun."""


class Pipes(NamedTuple):
    """How many pipes an attempt has started and ended."""

    started: int = 0
    ended: int = 0


def keep(connection: sa.Connection, run: RunRequest, digest: str) -> bool:
    """Write down a new run; false where its id is there already."""
    values = {
        "run_id": run.run_id,
        "digest": digest,
        "state": RunState.QUEUED,
        "method": None if run.method.name is None else writable(run.method.name),
        "pipe": None if run.pipe_code is None else writable(run.pipe_code),
        "created_at": run.created_at,
        "deadline": run.deadline,
    }
    insert = _insert(connection, runs).values(values).on_conflict_do_nothing().returning(runs.c.run_id)
    return connection.execute(insert).scalar_one_or_none() is not None


def begin(
    connection: sa.Connection,
    run_id: str,
    digest: str,
    executor: str,
    max_attempts: int,
    now: float,
    set_forward_s: float = 0.0,
) -> Claim | None:
    """Begin the next attempt; None if the run has ended or ends here.

    `digest` is that of the request which is about to run. `set_forward_s` is by how much the clock was set forward
    since the run was started, as far as is known: it costs the run no time.
    """
    row = connection.execute(_one(run_id).with_for_update()).one_or_none()
    if row is None:
        return None
    run = _sound(row)
    if run.state not in GOING:
        return None
    if run.digest != digest:
        end_unclaimed(connection, run_id, run_damaged(run_id, "its request is another run's"), now)
    elif run.cancel_asked_at is not None:
        end_unclaimed(connection, run_id, run_cancelled(run_id), now)
    elif run.deadline is not None and run.deadline + set_forward_s <= now:
        time_out(connection, run_id, run.limit_s, now)
    elif run.attempt >= max_attempts:
        end_unclaimed(connection, run_id, run_given_up(run_id, run.attempt), now)
    elif run.hand_backs >= MOST_HAND_BACKS:
        end_unclaimed(connection, run_id, run_handed_back(run_id, run.hand_backs), now)
    else:
        return _begin(connection, run, executor, now)
    return None


def _begin(connection: sa.Connection, run: RunRow, executor: str, now: float) -> Claim:
    claim = Claim(run.run_id, run.attempt + 1, executor, run.event_count + 1)
    values = {
        "state": RunState.RUNNING,
        "executor": executor,
        "attempt": claim.attempt,
        "started_at": run.started_at or now,
    }
    _change(connection, claim.run_id, values, [run_events.started(claim.run_id, now, claim.attempt)])
    return claim


def append_events(connection: sa.Connection, claim: Claim, written: int, events: Sequence[RunEvent]) -> None:
    """Add the events of an attempt after the first `written` ones. Raises `ClaimLost`.

    A second call with the same events does nothing: the answer to a commit may be lost.
    """
    if connection.scalar(sa.select(runs.c.event_count).where(*_held(claim))) != written + len(events):
        _change(connection, claim.run_id, {}, events, claim, written)


def end(
    connection: sa.Connection,
    claim: Claim,
    written: int,
    events: Sequence[RunEvent],
    pipes: Pipes,
    problem: Problem | None,
    result: dict[str, Any] | None,
    now: float,
) -> None:
    """End a run with its last events, after `written` ones, and its result or problem. Raises `ClaimLost`."""
    state = run_events.final_state(problem)
    ended = run_events.ended(claim.run_id, now, state, problem, attempt=claim.attempt, **pipes._asdict())
    _change(connection, claim.run_id, _end_values(problem, now), [*events, ended], claim, written)
    if result is not None:
        insert = _insert(connection, results).values(run_id=claim.run_id, result=json.dumps(result))
        # A result that is there already cannot be this run's.
        replace = insert.on_conflict_do_update(index_elements=["run_id"], set_={"result": insert.excluded.result})
        connection.execute(replace)


def end_unclaimed(connection: sa.Connection, run_id: str, problem: Problem, now: float) -> bool:
    """End a run whichever worker has it; false if it has ended."""
    row = connection.execute(_one(run_id).with_for_update()).one_or_none()
    if row is None:
        return False
    ended = run_events.ended(run_id, now, run_events.final_state(problem), problem, attempt=_sound(row).attempt)
    try:
        _change(connection, run_id, _end_values(problem, now), [ended])
    except ClaimLost:
        return False
    return True


def end_damaged(connection: sa.Connection, run_id: str, what: str, now: float) -> bool:
    """End a run whose row or events cannot be used, and repair the row; false if there is nothing to end."""
    row = connection.execute(_one(run_id).with_for_update()).one_or_none()
    if row is None:
        return False
    run = RunRow.of(row)
    if not run.state.is_known or (run.is_over and not run.damage):
        return False
    problem = run_damaged(run.run_id, what)
    numbers = connection.scalars(sa.select(events_table.c.seq).where(events_table.c.run_id == key(run_id)))
    last = max((seq for seq in numbers if type(seq) is int and 0 < seq < MOST), default=0)
    kept = {name: getattr(run, name) for name in _KEPT_OF_DAMAGED}
    values = kept | _end_values(problem, now) | {"executor": None, "cancel_asked_at": None}
    update = runs.update().where(runs.c.run_id == key(run_id))
    connection.execute(update.values(**values, event_count=last + 1))
    event = run_events.ended(run.run_id, now, run_events.final_state(problem), problem, attempt=run.attempt)
    connection.execute(events_table.insert().values(run_id=key(run_id), seq=last + 1, event=_text(event)))
    return True


_KEPT_OF_DAMAGED = ("digest", "method", "pipe", "created_at", "deadline", "started_at", "attempt", "hand_backs")


def time_out(connection: sa.Connection, run_id: str, limit_s: float, now: float) -> bool:
    """End a run that is past its deadline, whichever worker has it."""
    return end_unclaimed(connection, run_id, run_timed_out(run_id, limit_s), now)


def times_of(connection: sa.Connection, run_id: str) -> tuple[float, float] | None:
    """When a run was asked for and its deadline; None where it has no deadline, or has ended."""
    select = sa.select(runs.c.created_at, runs.c.deadline).where(runs.c.run_id == run_id, runs.c.state.in_(GOING))
    row = connection.execute(select).one_or_none()
    # SQLite stores values of any type in any column.
    if row is None or not all(isinstance(value, int | float) for value in row):
        return None
    return row.created_at, row.deadline


def hand_back(connection: sa.Connection, claim: Claim, now: float) -> None:
    """Requeue a run for another worker, as if this attempt had not been. Raises `ClaimLost`."""
    values = {
        "state": RunState.QUEUED,
        "executor": None,
        "attempt": claim.attempt - 1,
        "hand_backs": runs.c.hand_backs + 1,
    }
    event = run_events.requeued(claim.run_id, now, claim.attempt, run_events.WORKER_STOPS)
    _change(connection, claim.run_id, values, [event], claim)


def lose_engine(connection: sa.Connection, claim: Claim, written: int, events: Sequence[RunEvent], now: float) -> None:
    """Requeue a run whose engine was lost. Raises `ClaimLost`."""
    values = {"state": RunState.QUEUED, "executor": None}
    event = run_events.requeued(claim.run_id, now, claim.attempt, run_events.ENGINE_LOST)
    _change(connection, claim.run_id, values, [*events, event], claim, written)


def take_away(connection: sa.Connection, run_id: str, executor: str, now: float) -> bool:
    """Requeue a run of a dead executor; false if the run is not that executor's."""
    row = connection.execute(_one(run_id).with_for_update()).one_or_none()
    if row is None:
        return False
    run = _sound(row)
    if run.state is not RunState.RUNNING or run.executor != executor:
        return False
    values = {"state": RunState.QUEUED, "executor": None}
    _change(connection, run_id, values, [run_events.requeued(run_id, now, run.attempt, run_events.WORKER_LOST)])
    return True


def ask_to_cancel(connection: sa.Connection, run_id: str, now: float) -> RunState | None:
    """Cancel a queued run at once, or ask its worker to stop a running one. The state now; None for an unknown id."""
    row = connection.execute(_one(run_id).with_for_update()).one_or_none()
    if row is None:
        return None
    run = _sound(row)
    if run.state is RunState.QUEUED:
        end_unclaimed(connection, run_id, run_cancelled(run_id), now)
        return RunState.CANCELLED
    if not run.is_over and run.cancel_asked_at is None:
        connection.execute(runs.update().where(runs.c.run_id == run_id).values(cancel_asked_at=now))
    return run.state


def _one(run_id: str) -> sa.Select[Any]:
    return sa.select(runs).where(runs.c.run_id == key(run_id))


def _sound(row: Any) -> RunRow:
    """The row of a run. Raises `DamagedRow`."""
    run = RunRow.of(row)
    if run.damage:
        raise DamagedRow(run.run_id, ", ".join(run.damage))
    return run


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _change(
    connection: sa.Connection,
    run_id: str,
    values: dict[str, Any],
    events: Sequence[RunEvent],
    claim: Claim | None = None,
    written: int | None = None,
) -> None:
    """Change a run that has not ended, and number its new events. Raises `ClaimLost`, `DamagedRow`."""
    if claim is None:
        update = runs.update().where(runs.c.run_id == run_id, runs.c.state.in_(GOING))
    else:
        update = runs.update().where(*_held(claim))
    if written is not None:
        update = update.where(runs.c.event_count == written)
    update = update.values(**values, event_count=runs.c.event_count + len(events)).returning(runs.c.event_count)
    count = connection.execute(update).scalar_one_or_none()
    if count is None:
        raise ClaimLost(run_id)
    if events:
        first = count - len(events) + 1
        rows = [{"run_id": run_id, "seq": seq, "event": _text(event)} for seq, event in enumerate(events, first)]
        try:
            connection.execute(events_table.insert(), rows)
        except (IntegrityError, DataError) as error:
            raise DamagedRow(run_id, "its events are not those it counts") from error


def _held(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        runs.c.run_id == claim.run_id,
        runs.c.state == RunState.RUNNING,
        runs.c.attempt == claim.attempt,
        runs.c.executor == claim.executor,
    )


def _text(event: RunEvent) -> str:
    return json.dumps(event.model_dump(mode="json", exclude_none=True, exclude={"run_id", "seq"}))


def _end_values(problem: Problem | None, now: float) -> dict[str, Any]:
    text = None if problem is None else json.dumps(problem.to_wire())
    return {"state": run_events.final_state(problem), "finished_at": now, "problem": text}
