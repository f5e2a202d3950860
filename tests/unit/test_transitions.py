"""The steps in the life of a durable run, on a real SQLite file."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
import sqlalchemy as sa

from orchestrators.dbos import reading, transitions
from orchestrators.dbos.database import Database
from orchestrators.dbos.rows import DamagedRow
from orchestrators.dbos.tables import runs
from orchestrators.dbos.transitions import Claim, ClaimLost, Pipes
from schemas.method_source import MethodSource
from schemas.runs import RunEvent, RunRecord, RunRequest, RunState

MAX_ATTEMPTS = 3


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path / 'kept' / 'runs.sqlite3'}")
    yield opened
    opened.close()


def request(run_id: str = "run-1", **members: object) -> RunRequest:
    method = MethodSource(mthds_contents=["domain = 'd'"], name="d.mthds")
    base = {"run_id": run_id, "method": method, "orchestration_mode": "dbos", "created_at": time.time()}
    return RunRequest.model_validate({**base, **members})


def kept(database: Database, **members: object) -> RunRequest:
    run = request(**members)
    assert database.write_now(transitions.keep, run, "digest")
    return run


def begun(database: Database, run: RunRequest, executor: str = "w1") -> Claim:
    claim = database.write_now(transitions.begin, run.run_id, "digest", executor, MAX_ATTEMPTS, time.time())
    assert claim is not None
    return claim


def pipe_started(run_id: str = "run-1") -> RunEvent:
    return RunEvent(run_id=run_id, seq=0, kind="pipe_started", at=1.0, pipe="d.p", started=1)


def record(database: Database, run_id: str = "run-1") -> RunRecord:
    found = database.read_now(reading.record, run_id, "dbos")
    assert found is not None
    return found


def kinds(database: Database, run_id: str = "run-1") -> list[tuple[int, str, int]]:
    return [(event.seq, event.kind, event.attempt) for event in database.read_now(reading.events, run_id, 0)]


def end(database: Database, claim: Claim, told: int | None = None) -> None:
    database.write_now(
        transitions.end,
        claim,
        claim.event_count if told is None else told,
        [],
        Pipes(started=1, ended=1),
        None,
        {"output": 1, "pipeline_run_id": claim.run_id, "orchestration_mode": "dbos", "created_at": "now"},
        time.time(),
    )


def test_the_second_run_of_an_id_is_not_kept(database: Database) -> None:
    kept(database)

    assert not database.write_now(transitions.keep, request(), "another digest")
    assert database.read_now(reading.kept, "run-1").digest == "digest"


def test_a_run_that_completes_leaves_its_result_and_ordered_events(database: Database) -> None:
    claim = begun(database, kept(database))
    database.write_now(transitions.append_events, claim, claim.event_count, [pipe_started()])

    end(database, claim, claim.event_count + 1)

    assert record(database).state is RunState.COMPLETED
    assert kinds(database) == [(1, "run_started", 1), (2, "pipe_started", 1), (3, "run_ended", 1)]
    result = database.read_now(reading.outcome, "run-1")
    assert result is not None
    assert result.output == 1


def test_telling_the_same_twice_keeps_it_once(database: Database) -> None:
    claim = begun(database, kept(database))

    for _ in range(2):
        database.write_now(transitions.append_events, claim, claim.event_count, [pipe_started()])

    assert [kind for _, kind, _ in kinds(database)] == ["run_started", "pipe_started"]


def test_a_worker_whose_run_was_taken_away_can_change_nothing(database: Database) -> None:
    run = kept(database)
    zombie = begun(database, run, "w1")
    assert database.write_now(transitions.take_away, "run-1", "w1", time.time())
    heir = begun(database, run, "w2")

    with pytest.raises(ClaimLost):
        database.write_now(transitions.append_events, zombie, zombie.event_count, [pipe_started()])
    with pytest.raises(ClaimLost):
        end(database, zombie)
    end(database, heir)

    assert kinds(database) == [
        (1, "run_started", 1),
        (2, "run_requeued", 1),
        (3, "run_started", 2),
        (4, "run_ended", 2),
    ]


def test_a_run_that_has_ended_is_never_begun_again(database: Database) -> None:
    run = kept(database)
    end(database, begun(database, run))

    assert database.write_now(transitions.begin, run.run_id, "digest", "w2", MAX_ATTEMPTS, time.time()) is None
    assert record(database).attempt == 1


def test_a_run_that_loses_its_engine_each_time_is_given_up(database: Database) -> None:
    run = kept(database)
    for _ in range(MAX_ATTEMPTS):
        claim = begun(database, run)
        database.write_now(transitions.lose_engine, claim, claim.event_count, [], time.time())

    assert database.write_now(transitions.begin, run.run_id, "digest", "w1", MAX_ATTEMPTS, time.time()) is None

    ended = record(database)
    assert ended.state is RunState.FAILED
    assert ended.problem is not None
    assert ended.problem.code == "run.lost"
    assert f"{MAX_ATTEMPTS} times" in ended.problem.detail


def test_an_attempt_that_was_handed_back_does_not_count(database: Database) -> None:
    run = kept(database)
    for _ in range(2 * MAX_ATTEMPTS):
        database.write_now(transitions.hand_back, begun(database, run), time.time())

    assert record(database).state is RunState.QUEUED
    assert begun(database, run).attempt == 1


def test_a_run_that_is_handed_back_again_and_again_is_given_up(database: Database) -> None:
    run = kept(database)
    for _ in range(transitions.MOST_HAND_BACKS):
        database.write_now(transitions.hand_back, begun(database, run), time.time())

    assert database.write_now(transitions.begin, run.run_id, "digest", "w1", MAX_ATTEMPTS, time.time()) is None

    ended = record(database)
    assert ended.state is RunState.FAILED
    assert ended.problem is not None
    assert ended.problem.code == "run.lost"
    assert f"handed back {transitions.MOST_HAND_BACKS} times" in ended.problem.detail


def test_a_request_that_is_not_the_one_that_was_kept_is_not_begun(database: Database) -> None:
    kept(database)

    assert database.write_now(transitions.begin, "run-1", "another digest", "w1", MAX_ATTEMPTS, time.time()) is None

    ended = record(database)
    assert ended.state is RunState.FAILED
    assert ended.problem is not None
    assert "another run's" in ended.problem.detail


def test_a_run_whose_clock_was_set_forward_is_begun_within_its_own_time(database: Database) -> None:
    kept(database, deadline=time.time() + 60)
    later, forward_s = time.time() + 40 * 86_400, 40 * 86_400.0

    claim = database.write_now(transitions.begin, "run-1", "digest", "w1", MAX_ATTEMPTS, later, forward_s)

    assert claim is not None


def test_a_run_in_a_state_of_a_later_release_is_left_alone(database: Database) -> None:
    kept(database)
    set_column(database, "state", "'PAUSED'")

    assert database.write_now(transitions.begin, "run-1", "digest", "w1", MAX_ATTEMPTS, time.time()) is None
    assert not database.write_now(transitions.end_damaged, "run-1", "something", time.time())
    assert (record(database).state, record(database).problem) == (RunState.of("PAUSED"), None)


def set_column(database: Database, column: str, value: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE mthds_runs SET {column} = {value}")


@pytest.mark.parametrize(
    ("column", "value"), [("created_at", "'abc'"), ("attempt", "-1"), ("event_count", "9e18"), ("deadline", "x'00'")]
)
def test_a_damaged_row_is_not_begun_and_ends_so_that_it_can_be_read(
    database: Database, column: str, value: str
) -> None:
    kept(database)
    set_column(database, column, value)

    with pytest.raises(DamagedRow) as raised:
        database.write_now(transitions.begin, "run-1", "digest", "w1", MAX_ATTEMPTS, time.time())
    assert database.write_now(transitions.end_damaged, "run-1", raised.value.what, time.time())

    ended = record(database)
    assert ended.state is RunState.FAILED
    assert ended.problem is not None
    assert column in ended.problem.detail
    assert kinds(database)[-1][1] == "run_ended"


def test_a_run_that_counts_fewer_events_than_it_has_ends_behind_them(database: Database) -> None:
    claim = begun(database, kept(database))
    database.write_now(transitions.append_events, claim, claim.event_count, [pipe_started()])
    set_column(database, "event_count", "0")

    with pytest.raises(DamagedRow):
        database.write_now(transitions.time_out, "run-1", 1.0, time.time())
    assert database.write_now(transitions.end_damaged, "run-1", "its events", time.time())

    assert [seq for seq, _, _ in kinds(database)] == [1, 2, 3]
    assert record(database).event_count == 3


def test_a_run_past_its_deadline_is_not_begun(database: Database) -> None:
    run = kept(database, deadline=time.time() - 1)

    assert database.write_now(transitions.begin, run.run_id, "digest", "w1", MAX_ATTEMPTS, time.time()) is None
    assert record(database).state is RunState.TIMED_OUT


def test_a_queued_run_is_cancelled_at_once(database: Database) -> None:
    kept(database)

    state = database.write_now(transitions.ask_to_cancel, "run-1", time.time())

    assert state is RunState.CANCELLED
    assert kinds(database) == [(1, "run_ended", 0)]


def test_a_running_run_that_was_asked_to_stop_is_not_begun_by_the_next_worker(database: Database) -> None:
    run = kept(database)
    begun(database, run)
    assert database.write_now(transitions.ask_to_cancel, "run-1", time.time()) is RunState.RUNNING
    database.write_now(transitions.take_away, "run-1", "w1", time.time())

    assert database.write_now(transitions.begin, run.run_id, "digest", "w2", MAX_ATTEMPTS, time.time()) is None
    assert record(database).state is RunState.CANCELLED


def test_an_end_that_comes_late_changes_nothing(database: Database) -> None:
    run = kept(database, deadline=time.time() + 60)
    claim = begun(database, run)
    assert database.write_now(transitions.time_out, "run-1", 60.0, time.time())

    with pytest.raises(ClaimLost):
        end(database, claim)

    assert not database.write_now(transitions.time_out, "run-1", 60.0, time.time())
    assert [kind for _, kind, _ in kinds(database)] == ["run_started", "run_ended"]


def test_names_that_are_no_text_are_kept_readable(database: Database) -> None:
    method = MethodSource(mthds_contents=["x"], name="caf\udce9.mthds")

    kept(database, method=method)

    assert record(database).method == "caf?.mthds"


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fails(connection: sa.Connection) -> None:
        transitions.keep(connection, request(), "digest")
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        database.write_now(fails)

    assert database.read_now(reading.record, "run-1", "dbos") is None


@pytest.mark.anyio
async def test_writes_that_come_together_are_each_kept_or_refused_by_themselves(database: Database) -> None:
    refused: list[str] = []

    async def write(number: int) -> None:
        def work(connection: sa.Connection) -> None:
            transitions.keep(connection, request(f"run-{number}"), "digest")
            if number % 3 == 0:
                raise RuntimeError(f"run-{number}")

        try:
            await database.write(work)
        except RuntimeError as error:
            refused.append(str(error))

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(write, number)

    kept_runs = database.read_now(reading.standings, [f"run-{number}" for number in range(30)])
    assert sorted(refused) == sorted(f"run-{number}" for number in range(0, 30, 3))
    assert set(kept_runs) == {f"run-{number}" for number in range(30) if number % 3}


@pytest.mark.anyio
async def test_a_write_that_is_cancelled_while_it_waits_is_not_done(database: Database) -> None:
    let_go = threading.Event()
    done: list[str] = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, lambda _: let_go.wait(10))
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01):
            await database.write(lambda _: done.append("done"))
        let_go.set()
    await database.write(lambda _: None)

    assert done == []


def test_a_database_opened_by_two_at_once_is_made_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.sqlite3'}"
    first, second = Database.open(url), Database.open(url)
    kept(first)

    assert record(second).state is RunState.QUEUED

    first.close()
    second.close()
    with closing(sqlite3.connect(tmp_path / "runs.sqlite3")) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert runs.name == "mthds_runs"
