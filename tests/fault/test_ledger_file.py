"""The file of runs is moved, removed or replaced while in use: nothing is acknowledged that is not found there."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrators.dbos import reading, transitions
from orchestrators.dbos.database import Database
from orchestrators.dbos.failures import LedgerUnusable
from schemas.problem import ProblemError
from schemas.runs import RunRequest
from tests.support.client import RpcClient
from tests.support.durable import (
    code_of,
    database_of,
    durable,
    greeting,
    new_id,
    output_of,
    start,
    without_workers,
    workers_of,
)
from tests.support.ledgers import Order, until

MODE = {"orchestration_mode": "dbos"}
SIDE = ("-wal", "-shm")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite3"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{file}")
    yield opened
    opened.close()


def request(run_id: str) -> RunRequest:
    values = {"method": {"mthds_contents": ["x"]}, "orchestration_mode": "dbos", "created_at": 1.0}
    return RunRequest.model_validate({"run_id": run_id, **values})


def keep(database: Database, run_id: str) -> None:
    assert database.write_now(transitions.keep, request(run_id), "digest")


def kept_in(file: Path) -> list[str]:
    """The runs of a file, read from outside."""
    with closing(sqlite3.connect(file)) as connection:
        return sorted(run_id for (run_id,) in connection.execute("SELECT run_id FROM mthds_runs"))


def move(file: Path, to: Path, *, with_side_files: bool) -> None:
    for ending in ("", *(SIDE if with_side_files else ())):
        beside = file.with_name(file.name + ending)
        if beside.exists():
            beside.rename(to.with_name(to.name + ending))


def another(folder: Path) -> Path:
    """A ledger of another name, closed, with one run."""
    file = folder / "another.sqlite3"
    with closing(Database.open(f"sqlite:///{file}")) as database:
        keep(database, "of-another")
    return file


def test_a_file_that_is_moved_away_refuses_what_comes_until_it_is_back_and_lost_nothing(
    file: Path, database: Database
) -> None:
    keep(database, "before")
    move(file, file.with_name("elsewhere"), with_side_files=False)

    with pytest.raises(ProblemError) as raised:
        keep(database, "meanwhile")
    with pytest.raises(ProblemError):
        database.read_now(reading.record, "before", "dbos")
    with pytest.raises(ProblemError):
        Database.open(f"sqlite:///{file}")
    was_made_anew = file.exists()
    move(file.with_name("elsewhere"), file, with_side_files=False)
    keep(database, "after")

    assert raised.value.problem.code == "runtime.unavailable"
    assert not was_made_anew
    assert kept_in(file) == ["after", "before"]


def test_a_file_that_is_removed_with_what_lies_beside_it_is_begun_anew(file: Path, database: Database) -> None:
    keep(database, "before")
    move(file, file.with_name("elsewhere"), with_side_files=True)

    keep(database, "after")

    assert kept_in(file) == ["after"]
    assert kept_in(file.with_name("elsewhere")) == ["before"]


def test_a_file_that_is_replaced_is_not_mixed_with_what_is_left_of_the_old_one(
    file: Path, tmp_path: Path, database: Database
) -> None:
    other = another(tmp_path)
    keep(database, "before")
    other.replace(file)

    with pytest.raises(ProblemError) as raised:
        keep(database, "meanwhile")
    for ending in SIDE:
        file.with_name(file.name + ending).unlink()
    keep(database, "after")

    assert raised.value.problem.code == "runtime.unavailable"
    assert kept_in(file) == ["after", "of-another"]


def test_a_file_that_moves_during_a_write_is_not_acknowledged(file: Path, database: Database) -> None:
    def write(connection: Any) -> None:
        transitions.keep(connection, request("meanwhile"), "digest")
        move(file, file.with_name("elsewhere"), with_side_files=True)

    with pytest.raises(ProblemError) as raised:
        database.write_now(write)

    assert raised.value.problem.code == "runtime.unavailable"


@pytest.mark.anyio
async def test_of_writes_that_share_a_transaction_none_is_acknowledged_where_the_file_is_gone(
    file: Path, database: Database
) -> None:
    let_go, refused = threading.Event(), []

    async def write(work: Callable[[Any], Any]) -> None:
        try:
            await database.write(work)
        except ProblemError as error:
            refused.append(error.problem.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, lambda _: let_go.wait(10))
        await anyio.wait_all_tasks_blocked()
        for number in range(5):
            tasks.start_soon(write, partial(transitions.keep, run=request(f"run-{number}"), digest="digest"))
        tasks.start_soon(write, lambda _: file.unlink())
        await anyio.wait_all_tasks_blocked()
        let_go.set()

    assert refused == ["runtime.unavailable"] * 6


def test_a_process_that_holds_runs_of_the_old_file_cannot_use_the_new_one(file: Path) -> None:
    with closing(Database.open(f"sqlite:///{file}", follows=False)) as database:
        keep(database, "before")
        move(file, file.with_name("elsewhere"), with_side_files=True)
        Database.open(f"sqlite:///{file}").close()

        with pytest.raises(LedgerUnusable):
            keep(database, "after")

    assert kept_in(file) == []


def test_no_connection_makes_a_file(file: Path, database: Database) -> None:
    keep(database, "before")
    database.engine.dispose()
    move(file, file.with_name("elsewhere"), with_side_files=True)

    with pytest.raises(Exception, match="moved or replaced|unable to open"):
        database.engine.connect()

    assert not file.exists()


def test_a_server_and_its_worker_go_on_with_the_file_that_was_put_in_place(tmp_path: Path) -> None:
    order = Order("until", tmp_path / "old")
    with durable(tmp_path) as client:
        before = greeting()
        output_of(client, start(client, before))
        start(client, order.params(run_id=new_id()))
        until(lambda: order.has_begun, "the run to begin")
        (first,) = workers_of(client)

        folder = database_of(tmp_path).parent
        move(database_of(tmp_path), folder / "elsewhere", with_side_files=True)
        output = output_of(client, start_again_and_again(client))
        until(lambda: workers_of(client) != [first], "another worker")
        unknown = client.error("runs/get", {"run_id": before["run_id"]})

    assert output == {"text": "Hello Bob"}
    assert code_of(unknown) == (-31050, "run.not_found")
    assert before["run_id"] in kept_in(folder / "elsewhere")


def start_again_and_again(client: RpcClient) -> str:
    """Start a run as a caller does that retries."""
    params = greeting("Bob")
    until(lambda: "result" in client.call("start", params), "the run to be acknowledged")
    return str(params["run_id"])


def test_a_start_is_refused_while_the_file_is_away_and_taken_once_it_is_back(tmp_path: Path) -> None:
    with without_workers(tmp_path) as client:
        first = start(client, greeting(**MODE))
        move(database_of(tmp_path), tmp_path / "elsewhere", with_side_files=False)
        refused = client.error("start", greeting(**MODE))
        move(tmp_path / "elsewhere", database_of(tmp_path), with_side_files=False)
        second = start(client, greeting(**MODE))

    assert code_of(refused) == (-31084, "runtime.unavailable")
    assert kept_in(database_of(tmp_path)) == sorted([first, second])
