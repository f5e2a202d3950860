"""The SQLite file that `dbos` keeps its runs in, read and filled from outside."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

# How far apart the copies of a run are, in seconds, back from now.
_SPREAD_S = 3.0
_METHODS = 10


@dataclass(frozen=True)
class _Table:
    """A table with rows of runs: the column with the run's id, and those with times, so many to the second."""

    name: str
    key: str
    times: tuple[str, ...] = ()
    per_second: int = 1


_RUNS = _Table("mthds_runs", "run_id", ("created_at", "deadline", "started_at", "finished_at"))
_TABLES = (
    _RUNS,
    _Table("mthds_events", "run_id"),
    _Table("mthds_results", "run_id"),
    _Table(
        "workflow_status",
        "workflow_uuid",
        ("created_at", "updated_at", "started_at_epoch_ms", "completed_at"),
        per_second=1000,
    ),
    _Table("workflow_input", "workflow_uuid", ("retention_timestamp",), per_second=1000),
    _Table("workflow_output", "workflow_uuid", ("retention_timestamp",), per_second=1000),
)


def ended(file: Path) -> int:
    """How many runs have ended."""
    with _reading(file) as connection:
        return _number(connection, "SELECT count(*) FROM mthds_runs WHERE state NOT IN ('QUEUED', 'RUNNING')")


def wait_until_ended(file: Path, runs: int) -> None:
    """Wait until so many runs have ended, at next to no cost to whoever runs them."""
    with _reading(file) as connection:
        going = "SELECT count(*) FROM mthds_runs WHERE state IN ('QUEUED', 'RUNNING')"
        whole = "SELECT count(*) FROM mthds_runs"
        while _number(connection, going) > 0 or _number(connection, whole) < runs:
            time.sleep(0.02)


def check_each_ran_once(file: Path) -> None:
    """Raises RuntimeError unless every run was completed in its first attempt and ended once."""
    with _reading(file) as connection:
        unlike = _number(connection, "SELECT count(*) FROM mthds_runs WHERE attempt <> 1 OR state <> 'COMPLETED'")
        ends = "SELECT run_id FROM mthds_events WHERE json_extract(event, '$.kind') = 'run_ended'"
        whole = _number(connection, "SELECT count(*) FROM mthds_runs")
        counts = [_number(connection, f"SELECT count({which} run_id) FROM ({ends})") for which in ("", "DISTINCT")]
    if unlike or counts != [whole, whole]:
        raise RuntimeError(f"of {whole} runs {unlike} did not go as they must; ends, and runs with one: {counts}")


def copy_runs(file: Path, completed: str, failed: str, number: int) -> None:
    """Fill the database with `number` copies of two runs, every tenth of the one that failed. No server is on it.

    The copies have ids, times and a method of their own, so that they are stored as runs of `number` calls would be.
    """
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.create_function("unixepoch", 1, lambda _: time.time())
        connection.execute("CREATE TEMP TABLE copies (id TEXT, source TEXT, method TEXT, back REAL)")
        connection.executemany("INSERT INTO copies VALUES (?, ?, ?, ?)", _copies(completed, failed, number))
        for table in _TABLES:
            _copy(connection, table)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copies(completed: str, failed: str, number: int) -> Iterator[tuple[str, str, str, float]]:
    for at in range(1, number + 1):
        source = failed if at % 10 == 0 else completed
        # Ids are not in the order of time, as those of real runs are not.
        yield f"{at * 2_654_435_761 % 2**32:08x}-{at}", source, f"method-{at // 10 % _METHODS}", at * _SPREAD_S


def _copy(connection: sqlite3.Connection, table: _Table) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")]
    values = {column: f"old.{column}" for column in columns} | {table.key: "copies.id"}
    for column in table.times:
        values[column] = f"old.{column} - copies.back * {table.per_second}"
    if table is _RUNS:
        values["method"] = "copies.method"
    connection.execute(
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(values.values())}"
        f" FROM copies CROSS JOIN {table.name} AS old ON old.{table.key} = copies.source"
    )


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        yield connection


def _number(connection: sqlite3.Connection, select: str) -> int:
    return int(connection.execute(select).fetchone()[0])
