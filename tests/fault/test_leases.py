"""Who lives, by leases in Postgres: slow clocks, machines that slept, and workers that were given up too early."""

from collections.abc import Iterator

import pytest

from orchestrators.dbos import executors as module
from orchestrators.dbos.database import Database
from orchestrators.dbos.executors import LeasedExecutors
from tests.support.postgres import postgres_server

LEASE_S = 10.0


class Clock:
    """The clock of the process that looks; it stands still while its machine sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        opened = Database.open(server.url)
        yield opened
        opened.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def looker(database: Database, clock: Clock) -> LeasedExecutors:
    """Another process, that knows nothing yet."""
    return LeasedExecutors(database, LEASE_S)


def dead(looker: LeasedExecutors, *owners: str) -> list[str]:
    with looker.burying(owners) as found:
        return found


def test_a_worker_is_dead_once_it_was_seen_to_stand_still_for_a_lease(looker: LeasedExecutors, clock: Clock) -> None:
    looker.enter("silent")

    at_first = dead(looker, "silent")
    clock.now += LEASE_S - 1
    within_the_lease = dead(looker, "silent")
    clock.now += 2
    after_it = dead(looker, "silent")

    assert (at_first, within_the_lease, after_it) == ([], [], ["silent"])


def test_a_worker_that_is_heard_of_is_alive_however_long_it_runs(looker: LeasedExecutors, clock: Clock) -> None:
    looker.enter("busy")
    found = []

    for _ in range(10):
        found += dead(looker, "busy")
        clock.now += LEASE_S - 1
        looker.beat("busy")

    assert found == []
    assert looker.any_alive()


def test_a_process_that_has_just_begun_to_look_declares_nobody_dead(
    database: Database, looker: LeasedExecutors, clock: Clock
) -> None:
    looker.enter("asleep")
    clock.now += 100 * LEASE_S

    assert dead(looker, "asleep") == []
    assert dead(LeasedExecutors(database, LEASE_S), "asleep") == []


def test_an_owner_that_has_no_row_is_dead_after_a_lease_too(looker: LeasedExecutors, clock: Clock) -> None:
    assert dead(looker, "vanished") == []
    clock.now += LEASE_S + 1

    assert dead(looker, "vanished") == ["vanished"]


def test_a_worker_that_was_given_up_too_early_counts_again(looker: LeasedExecutors, clock: Clock) -> None:
    looker.enter("slow")
    dead(looker, "slow")
    clock.now += LEASE_S + 1
    assert dead(looker, "slow") == ["slow"]

    looker.beat("slow")

    assert dead(looker, "slow") == []


def test_one_process_at_a_time_looks_for_the_dead(database: Database, clock: Clock) -> None:
    first, second = LeasedExecutors(database, LEASE_S), LeasedExecutors(database, LEASE_S)
    for looker in (first, second):
        dead(looker, "gone")
    clock.now += LEASE_S + 1

    with first.burying({"gone"}) as found_first, second.burying({"gone"}) as found_second:
        assert (found_first, found_second) == (["gone"], [])
