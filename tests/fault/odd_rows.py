"""Rows that no release of mthds-rpc writes: every column of the ledger's tables with values that it must never hold.

Another program, a later release, a half-done repair or a bad disk may have put them there. Each odd row
belongs to a run of its own, so that one database holds many of them beside good runs.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import sqlalchemy as sa

from orchestrators.dbos import transitions
from orchestrators.dbos.database import Database
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.tables import events, results, runs
from orchestrators.dbos.transitions import Pipes
from schemas.canonical import request_digest
from schemas.method_source import MethodSource
from schemas.runs import RunRequest
from tests.support.bundles import GREETING

_DEEP = "[" * 3000 + "]" * 3000
_TEXTS = (
    "''",
    "'abc'",
    "'QUEUED'",
    "'RUNNING'",
    "'PAUSED'",
    "'queued'",
    "'12'",
    "'2026-01-01T00:00:00Z'",
    "'{\"a\":'",
    "'null'",
    "'[]'",
    '\'{"at": NaN, "kind": "x"}\'',
    '\'{"at": 1e999, "kind": "run_ended"}\'',
    '\'{"code": "\\ud800"}\'',
    f"'{_DEEP}'",
    "'" + "x" * 100_000 + "'",
)
_VALUES = {
    "sqlite": (
        "NULL",
        *_TEXTS,
        "0",
        "-5",
        "7",
        "3.5",
        "9223372036854775807",
        "-9223372036854775808",
        "1e300",
        "-1e300",
        "9e999",
        "-9e999",
        "x''",
        "x'00ff'",
        "CAST(x'ff80' AS TEXT)",
        "CAST(x'eda080' AS TEXT)",
        "'a' || char(0) || 'b'",
    ),
    "text": ("NULL", *_TEXTS),
    "number": ("NULL", "0", "-5", "7", "2147483647", "-2147483648"),
    "time": ("NULL", "0", "-5", "1e300", "-1e300", "'NaN'", "'Infinity'", "'-Infinity'"),
}
_DEAD = "dead-1-0123456789ab"
STATES = ("queued", "running", "completed", "failed")
"""What a run was before one of its columns became odd."""


@dataclass(frozen=True)
class Oddity:
    """One value in one column of one run."""

    table: str
    column: str
    state: str
    value: str

    def __str__(self) -> str:
        return f"{self.state} run, {self.table}.{self.column} = {self.value:.40}"


def oddities(dialect: str) -> list[Oddity]:
    """Every one there is, in a fixed order."""
    return list(_every(dialect))


def some_oddities(dialect: str, seed: int, most: int) -> list[Oddity]:
    """A part of them that holds every column of every table."""
    everything = oddities(dialect)
    chance = random.Random(seed)
    chance.shuffle(everything)
    first: dict[tuple[str, str], Oddity] = {}
    for oddity in everything:
        first.setdefault((oddity.table, oddity.column), oddity)
    others = [oddity for oddity in everything if oddity not in first.values()]
    return [*first.values(), *others][:most]


def _every(dialect: str) -> Iterator[Oddity]:
    for table in (runs, events, results):
        for column in table.columns:
            for state in STATES:
                if table is results and state != "completed":
                    continue
                for value in _values(dialect, column):
                    yield Oddity(table.name, column.name, state, value)
    for state in STATES:
        yield from (Oddity("mthds_runs", "event_count", state, str(count)) for count in (0, 1, 2, 3, 50))


def _values(dialect: str, column: "sa.Column[object]") -> Sequence[str]:
    if dialect == "sqlite":
        return _VALUES["sqlite"]
    kind = "text" if isinstance(column.type, sa.Text) else "number" if isinstance(column.type, sa.Integer) else "time"
    return _VALUES[kind]


class OddLedger:
    """A ledger that real transitions fill, and plain SQL makes odd."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.planted: dict[str, Oddity] = {}
        """The id that each odd run had before."""
        self.refused: list[Oddity] = []
        """What the database itself does not take."""

    def plant(self, chosen: Sequence[Oddity]) -> None:
        """Put a run for each of them into the database."""
        with closing(Database.open(self._url)) as database:
            queue = RunQueue(database)
            for number, oddity in enumerate(chosen):
                run_id = f"odd-{number}"
                _keep(database, queue, run_id, oddity.state)
                self._make_odd(database, run_id, oddity)

    def _make_odd(self, database: Database, run_id: str, oddity: Oddity) -> None:
        schema = "" if database.file is not None else "mthds_rpc."
        last = f" AND seq = (SELECT max(seq) FROM {schema}mthds_events WHERE run_id = '{run_id}')"
        update = f"UPDATE {schema}{oddity.table} SET {oddity.column} = {oddity.value} WHERE run_id = '{run_id}'"
        try:
            with database.engine.begin() as connection:
                connection.exec_driver_sql(update + (last if oddity.table == events.name else ""))
        except sa.exc.DBAPIError:
            self.refused.append(oddity)
        else:
            self.planted[run_id] = oddity


def _keep(database: Database, queue: RunQueue, run_id: str, state: str) -> None:
    method = MethodSource(mthds_contents=[GREETING], name="greet.mthds")
    run = RunRequest(
        run_id=run_id, method=method, orchestration_mode="dbos", inputs={"name": "Odd"}, created_at=time.time()
    )
    digest = request_digest(run)

    def keep(connection: sa.Connection) -> None:
        transitions.keep(connection, run, digest)
        queue.add(connection, run)
        if state == "queued":
            return
        claim = transitions.begin(connection, run_id, digest, _DEAD, 3, time.time())
        assert claim is not None
        over = state != "running"
        _given_out(connection, run_id, "SUCCESS" if over else "PENDING")
        if state == "completed":
            result = {"pipeline_run_id": run_id, "orchestration_mode": "dbos", "created_at": "now", "output": 1}
            transitions.end(connection, claim, 1, [], Pipes(1, 1), None, result, time.time())
        elif state == "failed":
            problem = transitions.run_given_up(run_id, 1)
            transitions.end(connection, claim, 1, [], Pipes(1, 0), problem, None, time.time())

    database.write_now(keep)


def _given_out(connection: sa.Connection, run_id: str, status: str) -> None:
    schema = "" if connection.dialect.name == "sqlite" else "dbos."
    connection.exec_driver_sql(
        f"UPDATE {schema}workflow_status SET status = '{status}', executor_id = '{_DEAD}' "
        f"WHERE workflow_uuid = '{run_id}'"
    )
