"""A worker's runner, on a real SQLite file, told to stop while it has runs in hand."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from orchestrators.dbos import reading, transitions
from orchestrators.dbos.clock import Clock
from orchestrators.dbos.database import Database
from orchestrators.dbos.running import Runner
from orchestrators.engines.pool import EnginePool
from schemas.canonical import request_digest
from schemas.method_source import MethodSource
from schemas.runs import RunRequest, RunState
from tests.support.defaults import pool_settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[EnginePool]:
    async with EnginePool.open(pool_settings(tmp_path)) as opened:
        yield opened


def kept(database: Database) -> RunRequest:
    """A run that waits in the database."""
    method = MethodSource(mthds_contents=["domain = 'd'"], name="d.mthds")
    run = RunRequest(run_id="run-1", method=method, orchestration_mode="dbos", created_at=time.time())
    assert database.write_now(transitions.keep, run, request_digest(run))
    return run


async def test_a_run_that_is_being_taken_up_when_the_worker_stops_waits_for_another_uncounted(
    tmp_path: Path, pool: EnginePool
) -> None:
    file = tmp_path / "kept" / "runs.sqlite3"
    database = Database.open(f"sqlite:///{file}")
    run = kept(database)
    runner = Runner(database, pool, "w1", 3, lambda value: value, Clock())
    finished: list[bool] = []

    async def take_up() -> None:
        finished.append(await runner.run(run))

    with closing(database), closing(sqlite3.connect(file, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_up)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(runner.hand_back, 60.0)
            await anyio.wait_all_tasks_blocked()
            somebody.execute("COMMIT")
        record = database.read_now(reading.record, "run-1", "dbos")

    assert finished == [False]
    assert record is not None
    assert (record.state, record.attempt) == (RunState.QUEUED, 0)


async def test_a_runner_that_stops_begins_nothing_more(tmp_path: Path, pool: EnginePool) -> None:
    with closing(Database.open(f"sqlite:///{tmp_path / 'runs.sqlite3'}")) as database:
        run = kept(database)
        runner = Runner(database, pool, "w1", 3, lambda value: value, Clock())

        await runner.hand_back(0)
        finished = await runner.run(run)
        record = database.read_now(reading.record, "run-1", "dbos")

    assert not finished
    assert record is not None
    assert record.started_at is None
