"""What a worker looks after, on a real SQLite file: each row by itself, and each run within its own time."""

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from tomllib import loads
from typing import Any

import anyio
import pytest

from orchestrators.dbos import maintenance as module
from orchestrators.dbos import reading, transitions
from orchestrators.dbos.clock import Clock
from orchestrators.dbos.database import Database
from orchestrators.dbos.executors import LockedExecutors
from orchestrators.dbos.maintenance import Maintenance
from orchestrators.dbos.queue import RunQueue
from orchestrators.dbos.retention import Pruner
from orchestrators.dbos.settings import DbosSettings
from schemas.canonical import request_digest
from schemas.problem import ProblemError
from schemas.runs import RunRecord, RunRequest, RunState

pytestmark = pytest.mark.anyio

DAY = 86_400.0
LIMIT_S = 60.0


class Hands:
    """The clocks of one process, in a test's hands."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._wall = time.time() + ahead_s
        self.steady_s = 100.0

    def wall(self) -> float:
        return self._wall

    def steady(self) -> float:
        return self.steady_s

    def go_on(self, seconds: float) -> None:
        self._wall += seconds
        self.steady_s += seconds

    def set_forward(self, seconds: float) -> None:
        self._wall += seconds


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.open(f"sqlite:///{tmp_path / 'runs.sqlite3'}")) as opened:
        yield opened


def maintenance(
    database: Database, tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> Maintenance:
    """That of a worker `w2`, which begins now by its clocks."""
    monkeypatch.setattr(module, "steady", hands.steady)
    settings = DbosSettings.of(loads(files("orchestrators.dbos").joinpath("rpc_dbos.toml").read_text()) | more)
    queue, executors = RunQueue(database), LockedExecutors(database)
    pruner = Pruner(database, queue, tmp_path / "artifacts")
    clock = Clock(hands.wall, hands.steady)
    return Maintenance(database, queue, executors, pruner, settings, "w2", set(), clock)


def kept(database: Database, run_id: str = "run-1", executor: str | None = "w1", **members: Any) -> RunRequest:
    """A run that `w1` has in hand, or that waits."""
    now = time.time()
    values = {"method": {"mthds_contents": ["x"]}, "orchestration_mode": "dbos", "created_at": now}
    run = RunRequest.model_validate({"run_id": run_id, **values, "deadline": now + LIMIT_S, **members})
    queue = RunQueue(database)

    def keep(connection: Any) -> None:
        assert transitions.keep(connection, run, request_digest(run))
        queue.add(connection, run)
        if executor is not None:
            assert transitions.begin(connection, run_id, request_digest(run), executor, 3, now)

    database.write_now(keep)
    return run


def record(database: Database, run_id: str = "run-1") -> RunRecord:
    found = database.read_now(reading.record, run_id, "dbos")
    assert found is not None
    return found


def set_columns(database: Database, run_id: str, values: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE mthds_runs SET {values} WHERE run_id = '{run_id}'")


async def test_a_clock_that_is_set_forward_ends_no_run_before_its_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands()
    worker = maintenance(database, tmp_path, hands, monkeypatch)
    kept(database, "held")
    kept(database, "waiting", executor=None)
    hands.go_on(2)

    hands.set_forward(40 * DAY)
    await worker.end_overdue()
    at_the_jump = [record(database, run_id).state for run_id in ("held", "waiting")]
    hands.go_on(LIMIT_S + 10)
    await worker.end_overdue()

    assert at_the_jump == [RunState.RUNNING, RunState.QUEUED]
    assert [record(database, run_id).state for run_id in ("held", "waiting")] == [RunState.TIMED_OUT] * 2


async def test_a_worker_that_begins_with_a_clock_ahead_gives_a_run_of_another_its_whole_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(ahead_s=40 * DAY)
    worker = maintenance(database, tmp_path, hands, monkeypatch)
    kept(database)

    states = []
    for _ in range(3):
        await worker.end_overdue()
        states.append(record(database).state)
        hands.go_on(LIMIT_S / 2 + 1)

    assert states == [RunState.RUNNING, RunState.RUNNING, RunState.TIMED_OUT]


async def test_a_run_whose_worker_hangs_ends_after_its_deadline(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands()
    worker = maintenance(database, tmp_path, hands, monkeypatch)
    kept(database)

    hands.go_on(LIMIT_S + 10)
    await worker.end_overdue()

    assert record(database).state is RunState.TIMED_OUT


async def test_a_clock_forty_days_ahead_prunes_nothing_and_one_that_is_right_does(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(database, "young", executor=None)
    kept(database, "old", executor=None)
    for run_id in ("young", "old"):
        database.write_now(transitions.ask_to_cancel, run_id, time.time())
    set_columns(database, "old", "finished_at = finished_at - 31 * 86400, created_at = created_at - 31 * 86400")

    await maintenance(database, tmp_path, Hands(ahead_s=40 * DAY), monkeypatch).prune()
    by_a_wrong_clock = database.read_now(reading.standings, ["young", "old"]).keys()
    await maintenance(database, tmp_path, Hands(), monkeypatch).prune()

    assert "young" in by_a_wrong_clock
    assert database.read_now(reading.standings, ["young", "old"]).keys() == {"young"}


async def test_one_row_that_nothing_can_be_done_about_keeps_no_other_from_being_looked_after(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hands = Hands()
    worker = maintenance(database, tmp_path, hands, monkeypatch)
    for number in range(3):
        kept(database, f"run-{number}")
    ended = transitions.time_out

    def time_out(connection: Any, run_id: str, *arguments: Any) -> bool:
        if run_id == "run-1":
            raise RuntimeError("this one never works")
        return ended(connection, run_id, *arguments)

    monkeypatch.setattr(transitions, "time_out", time_out)
    hands.go_on(LIMIT_S + 10)
    for _ in range(3):
        await worker.end_overdue()

    states = [record(database, f"run-{number}").state for number in range(3)]
    assert states == [RunState.TIMED_OUT, RunState.RUNNING, RunState.TIMED_OUT]
    assert caplog.text.count("this one never works'") == 1


async def test_a_step_that_fails_ends_neither_the_others_nor_the_worker_and_is_logged_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = maintenance(database, tmp_path, Hands(), monkeypatch)
    done = anyio.Event()
    rounds = 0

    async def recover() -> None:
        raise OSError("no such folder")

    async def collect_strays() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            done.set()

    monkeypatch.setattr(worker, "recover", recover)
    monkeypatch.setattr(worker, "collect_strays", collect_strays)
    for name in ("_RECOVER_S", "_STRAYS_S"):
        monkeypatch.setattr(module, name, 0.0)
    with caplog.at_level(logging.ERROR), anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await done.wait()
            tasks.cancel_scope.cancel()

    assert caplog.text.count("a step of maintenance failed") == 1


async def test_a_worker_that_cannot_use_its_ledger_any_more_ends(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = maintenance(database, tmp_path, Hands(), monkeypatch)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mthds_ledger SET needs = 9, release = '9.9.9'")

    with anyio.fail_after(30), pytest.raises(ProblemError, match=r"9\.9\.9"):
        await worker.run()
