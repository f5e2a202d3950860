"""Ledgers of other releases: an older one is brought up to date, a newer one shared or refused, as it says itself."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrators.dbos import reading
from orchestrators.dbos.database import Database
from orchestrators.dbos.migration import VERSION
from orchestrators.dbos.transitions import keep
from schemas.canonical import request_digest
from schemas.problem import ProblemError
from schemas.runs import RunQuery, RunRequest, RunState
from tests.support.cli import run_cli
from tests.support.durable import code_of, database_of, events_of, greeting, output_of, start, without_workers
from tests.support.ledgers import PATIENCE_S, until, worker_process
from tests.support.old_ledgers import FOLDER, write_ledger
from tests.support.postgres import postgres_server

OLD = "0.1.0"
MODE = {"orchestration_mode": "dbos"}
STATES = {
    "completed": "COMPLETED",
    "failed": "FAILED",
    "timed-out": "TIMED_OUT",
    "cancelled": "CANCELLED",
    "cancelled-early": "CANCELLED",
    "handed-back": "QUEUED",
    "queued": "QUEUED",
    "running": "RUNNING",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite3"


def opened(file: Path) -> Database:
    return Database.open(f"sqlite:///{file}")


def sql(file: Path, *statements: str) -> list[Any]:
    """Run statements from outside; the rows of the last."""
    rows: list[Any] = []
    with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def refused(file: Path) -> dict[str, Any]:
    """The problem that opening the file meets."""
    with pytest.raises(ProblemError) as raised:
        opened(file)
    return raised.value.problem.to_wire()


def request_of(run_id: str) -> RunRequest:
    values = {"method": {"mthds_contents": ["x"]}, "orchestration_mode": "dbos", "created_at": 1.0}
    return RunRequest.model_validate({"run_id": run_id, **values})


def test_runs_of_an_older_release_are_all_there_after_its_ledger_was_brought_up_to_date(file: Path) -> None:
    write_ledger(OLD, file)

    with closing(opened(file)) as database:
        page = database.read_now(reading.page, RunQuery(), "dbos")
        result = database.read_now(reading.outcome, "completed")

    assert {record.pipeline_run_id: record.state.value for record in page.runs} == STATES
    assert result is not None
    assert result.output == {"text": "Hello Ann"}
    assert sql(file, "SELECT version, needs FROM mthds_ledger") == [(VERSION, 1)]
    assert sql(file, "SELECT DISTINCT hand_backs FROM mthds_runs") == [(0,)]


def test_runs_that_an_older_release_left_unfinished_are_finished(tmp_path: Path) -> None:
    write_ledger(OLD, database_of(tmp_path))
    with without_workers(tmp_path) as client:
        with worker_process(tmp_path):
            output = output_of(client, "queued", **MODE)
            going = ("running", "handed-back")
            until(lambda: all(state_of(client, run_id) == "RUNNING" for run_id in going), "the runs to begin again")
            attempts = [client.result("runs/get", {"run_id": run_id})["attempt"] for run_id in going]
            cancelled = [client.result("runs/cancel", {"run_id": run_id})["state"] for run_id in going]
        kinds = [event["kind"] for event in events_of(client, "running")]

    assert output == {"text": "Hello Ann"}
    assert attempts == [2, 1]
    assert cancelled == ["CANCELLED", "CANCELLED"]
    assert [kind for kind in kinds if kind.startswith("run_")] == [
        "run_started",
        "run_requeued",
        "run_started",
        "run_ended",
    ]


def state_of(client: Any, run_id: str) -> str:
    return str(client.result("runs/get", {"run_id": run_id, **MODE})["state"])


def test_the_requests_of_an_older_release_have_the_digests_that_it_kept(file: Path) -> None:
    write_ledger(OLD, file)
    stored = sql(file, "SELECT inputs, digest FROM workflow_input JOIN mthds_runs ON mthds_runs.run_id = workflow_uuid")

    digests = [
        (request_digest(RunRequest.model_validate(json.loads(text)["positionalArgs"][0])), kept)
        for text, kept in stored
    ]

    assert len(digests) == len(STATES)
    assert [mine for mine, _ in digests] == [kept for _, kept in digests]


def test_a_process_of_the_older_release_can_go_on_with_the_file(file: Path) -> None:
    """It names its columns, looks for its own table alone, and writes that anew."""
    write_ledger(OLD, file)
    opened(file).close()

    sql(
        file,
        "DELETE FROM mthds_schema",
        "INSERT INTO mthds_schema (dbos) VALUES ('3.4.0')",
        "INSERT INTO mthds_runs (run_id, digest, state, created_at, attempt, event_count)"
        " VALUES ('of-old', 'd', 'QUEUED', 1.0, 0, 0)",
    )
    with closing(opened(file)) as database:
        record = database.read_now(reading.record, "of-old", "dbos")

    assert record is not None
    assert (record.state, record.problem) == (RunState.QUEUED, None)


def test_opening_by_many_at_once_brings_it_up_to_date_once(file: Path) -> None:
    write_ledger(OLD, file)
    with ThreadPoolExecutor(8) as threads:
        for database in threads.map(opened, [file] * 8):
            database.close()

    assert sql(file, "SELECT count(*) FROM mthds_ledger") == [(1,)]


NEWER = "UPDATE mthds_ledger SET version = 9, release = '9.9.9', needs = "


def test_a_later_release_that_only_added_shares_its_ledger(file: Path) -> None:
    opened(file).close()
    sql(
        file,
        NEWER + str(VERSION),
        "CREATE TABLE mthds_new (x)",
        "ALTER TABLE mthds_runs ADD COLUMN new TEXT",
        "UPDATE mthds_schema SET dbos = '99.0.0'",
    )

    with closing(opened(file)) as database:
        assert database.write_now(keep, request_of("run-1"), "digest")

    assert sql(file, "SELECT version, release FROM mthds_ledger") == [(9, "9.9.9")]
    assert sql(file, "SELECT dbos FROM mthds_schema") == [("99.0.0",)]


def test_a_ledger_that_only_a_later_release_can_use_is_refused_with_its_name(file: Path) -> None:
    opened(file).close()
    sql(file, NEWER + "9")

    problem = refused(file)

    assert problem["code"] == "runtime.misconfigured"
    assert "made by release 9.9.9" in problem["detail"]
    assert problem["next_step"]["kind"] == "upgrade"


def test_a_ledger_that_a_later_release_takes_over_is_written_no_more(file: Path) -> None:
    with closing(opened(file)) as database:
        database.write_now(keep, request_of("run-1"), "digest")
        sql(file, NEWER + "9")

        with pytest.raises(ProblemError) as raised:
            database.write_now(keep, request_of("run-2"), "digest")

    assert "made by release 9.9.9" in raised.value.problem.detail
    assert sql(file, "SELECT run_id FROM mthds_runs") == [("run-1",)]


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE mthds_events",
        "ALTER TABLE mthds_runs DROP COLUMN executor",
        "ALTER TABLE mthds_runs RENAME COLUMN digest TO digst",
        "DROP TABLE mthds_executors",
    ],
)
@pytest.mark.parametrize("release", [OLD, None])
def test_a_missing_table_or_column_is_a_fault_of_this_machine_and_not_waited_for(
    file: Path, release: str | None, damage: str
) -> None:
    if release is not None:
        write_ledger(release, file)
    else:
        opened(file).close()
    sql(file, damage)

    problem = refused(file)

    assert problem["code"] == "runtime.misconfigured"
    assert "made by release 0.1.0" in problem["detail"]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM mthds_ledger",
        "UPDATE mthds_ledger SET needs = 'abc'",
        "UPDATE mthds_ledger SET release = x'ff00', age_clock = 'abc', age_clock_moved_at = 9e999",
        "UPDATE mthds_schema SET dbos = x'ff'",
        "DELETE FROM mthds_schema",
        "INSERT INTO mthds_executors VALUES ('abc', 'abc', 'abc')",
    ],
)
def test_a_damaged_version_is_written_anew(file: Path, damage: str) -> None:
    opened(file).close()
    sql(file, damage)

    with closing(opened(file)) as database:
        assert database.write_now(keep, request_of("run-1"), "digest")
        assert database.read_now(reading.record, "run-1", "dbos") is not None


@pytest.fixture(scope="module")
def newer_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose ledger only a later release can use."""
    home = tmp_path_factory.mktemp("home")
    database_of(home).parent.mkdir(parents=True)
    opened(database_of(home)).close()
    sql(database_of(home), NEWER + "9")
    return home


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("runs", "list", "--orchestration-mode", "dbos"), 1),
        (("worker", "--orchestration-mode", "dbos"), 1),
        (("doctor",), 1),
    ],
)
def test_each_command_says_who_made_a_ledger_that_it_cannot_use(
    newer_home: Path, arguments: tuple[str, ...], status: int
) -> None:
    ended = run_cli(newer_home, *arguments)

    assert ended.returncode == status
    assert "made by release 9.9.9" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_refuses_runs_where_a_later_release_made_the_ledger_and_runs_others(newer_home: Path) -> None:
    with without_workers(newer_home) as client:
        error = client.error("start", greeting(**MODE))
        direct = client.result("execute", greeting())

    assert code_of(error) == (-32603, "runtime.misconfigured")
    assert "made by release 9.9.9" in error["message"]
    assert direct["output"] == {"text": "Hello Ann"}


def test_a_worker_ends_once_a_later_release_has_taken_its_ledger_over(tmp_path: Path) -> None:
    with without_workers(tmp_path) as client, worker_process(tmp_path) as worker:
        output_of(client, start(client, greeting(**MODE)), **MODE)

        sql(database_of(tmp_path), NEWER + "9")

        assert worker.process.wait(PATIENCE_S) == 1
    assert "made by release 9.9.9" in worker.stderr


def test_a_postgres_ledger_of_the_older_release_is_brought_up_to_date(tmp_path: Path) -> None:
    with postgres_server(tmp_path) as server:
        with closing(Database.open(server.url)) as database, database.engine.begin() as connection:
            for statement in ("ALTER TABLE mthds_rpc.mthds_runs DROP COLUMN hand_backs", "DROP TABLE mthds_ledger"):
                connection.exec_driver_sql(statement.replace("TABLE mthds_ledger", "TABLE mthds_rpc.mthds_ledger"))

        with closing(Database.open(server.url)) as database:
            assert database.write_now(keep, request_of("run-1"), "digest")
            assert database.read_now(reading.kept, "run-1").hand_backs == 0
            with database.engine.begin() as connection:
                connection.exec_driver_sql("DROP TABLE mthds_rpc.mthds_events")
        with pytest.raises(ProblemError) as raised:
            Database.open(server.url)

    assert raised.value.problem.code == "runtime.misconfigured"


def test_every_release_so_far_has_its_ledger_here() -> None:
    assert [path.stem for path in FOLDER.glob("*.sql")] == [OLD]
