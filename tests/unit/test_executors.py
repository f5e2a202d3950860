"""Who lives, by locks on one machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrators.dbos.database import Database
from orchestrators.dbos.executors import LockedExecutors, new_executor_id


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path / 'runs.sqlite3'}")
    yield opened
    opened.close()


def dead(executors: LockedExecutors, owners: set[str]) -> list[str]:
    with executors.burying(owners) as found:
        return found


def test_ids_are_never_the_same_twice() -> None:
    assert len({new_executor_id() for _ in range(100)}) == 100


def test_a_worker_is_alive_from_its_entrance_to_its_leave(database: Database) -> None:
    executors = LockedExecutors(database)
    assert not executors.any_alive()

    executors.enter("w1")
    assert executors.any_alive()
    assert dead(executors, {"w1"}) == []

    executors.leave("w1")
    assert not executors.any_alive()


def test_an_owner_without_a_lock_is_dead(database: Database) -> None:
    executors = LockedExecutors(database)
    executors.enter("w1")

    assert dead(executors, {"w1", "w0"}) == ["w0"]


def test_one_process_at_a_time_looks_for_the_dead(database: Database) -> None:
    first, second = LockedExecutors(database), LockedExecutors(database)

    with first.burying({"w0"}) as found_first, second.burying({"w0"}) as found_second:
        assert found_first == ["w0"]
        assert found_second == []


def test_the_lock_file_of_a_dead_worker_is_removed(database: Database, tmp_path: Path) -> None:
    executors = LockedExecutors(database)
    executors.enter("w1")
    (tmp_path / "runs.sqlite3-workers" / "w0").touch()

    dead(executors, set())

    assert sorted(file.name for file in (tmp_path / "runs.sqlite3-workers").iterdir()) == [".recovery", "w1"]


def test_locks_are_for_their_owner_alone(database: Database, tmp_path: Path) -> None:
    LockedExecutors(database).enter("w1")

    folder = tmp_path / "runs.sqlite3-workers"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "w1").stat().st_mode & 0o077 == 0
