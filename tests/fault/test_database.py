"""The database of runs in hostile hands, full, locked, damaged, away: nothing is acknowledged that is not kept."""

import base64
import os
import pickle
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.cli import run_cli
from tests.support.client import RpcClient
from tests.support.durable import code_of, database_of, greeting, new_id, without_workers
from tests.support.ledgers import PATIENCE_S, Order, until, worker_process, write_settings
from tests.support.mthds_server import isolated_env, serve
from tests.support.postgres import postgres_server

UNREACHABLE = (-31084, "runtime.unavailable")


def folder_of(home: Path) -> Path:
    return home / "state" / "mthds-rpc" / "dbos"


def outcome(client: RpcClient, run_id: str) -> dict[str, Any]:
    return client.call("runs/result", {"run_id": run_id, "wait_s": PATIENCE_S, "orchestration_mode": "dbos"})


class Touch:
    """Its pickle creates a file in whoever reads it."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self._marker),)


def bite(home: Path, run_id: str, marker: Path) -> None:
    """Put a pickle in the place of what DBOS keeps of a queued run."""
    text = base64.b64encode(pickle.dumps(Touch(marker))).decode()
    with closing(sqlite3.connect(database_of(home), timeout=30)) as connection, connection:
        connection.execute(
            "update workflow_status set serialization = 'py_pickle', inputs = ? where workflow_uuid = ?", (text, run_id)
        )
        connection.execute("delete from workflow_input where workflow_uuid = ?", (run_id,))
        connection.execute("insert into workflow_input values (?, ?, ?)", (run_id, text, 2**50))
        connection.execute("delete from workflow_output where workflow_uuid = ?", (run_id,))
        connection.execute("insert into workflow_output values (?, ?, ?, ?)", (run_id, text, text, 2**50))


def test_a_pickle_in_the_database_is_read_by_nobody_and_its_run_ends_with_a_problem(tmp_path: Path) -> None:
    marker, neighbour = tmp_path / "bitten", greeting(orchestration_mode="dbos")
    hostile = greeting(orchestration_mode="dbos")
    with without_workers(tmp_path) as client:
        client.result("start", hostile)
        bite(tmp_path, hostile["run_id"], marker)
        client.result("start", neighbour)
        client.result("runs/list", {"orchestration_mode": "dbos"})
        client.result("runs/get", {"run_id": hostile["run_id"]})
        shown = run_cli(tmp_path, "runs", "show", hostile["run_id"])
        with worker_process(tmp_path) as worker:
            fine = outcome(client, neighbour["run_id"])
            answer = outcome(client, hostile["run_id"])
        pruned = run_cli(tmp_path, "runs", "prune", "--keep", "1")

    assert not marker.exists()
    assert shown.returncode == pruned.returncode == 0
    assert fine["result"]["output"] == {"text": "Hello Ann"}
    assert code_of(answer["error"]) == (-31050, "run.lost")
    assert worker.process.returncode == 0


def test_a_run_whose_stored_request_is_that_of_another_run_ends_and_reads_nothing_of_it(tmp_path: Path) -> None:
    secret, renamed = Order("say", tmp_path / "secret"), Order("say", tmp_path / "renamed")
    victim = secret.params(run_id=new_id(), orchestration_mode="dbos")
    thief, forger = (greeting(orchestration_mode="dbos") for _ in range(2))
    forged = renamed.params(run_id=new_id(), orchestration_mode="dbos")
    take = (
        "update workflow_input set inputs = (select inputs from workflow_input where workflow_uuid = :of) "
        "where workflow_uuid = :run"
    )
    rename = "update workflow_input set inputs = replace(inputs, :of, :run) where workflow_uuid = :run"
    with without_workers(tmp_path) as client:
        for params in (victim, thief, forged, forger):
            client.result("start", params)
        with closing(sqlite3.connect(database_of(tmp_path), timeout=30)) as connection, connection:
            connection.execute(take, {"of": victim["run_id"], "run": thief["run_id"]})
            connection.execute(take, {"of": forged["run_id"], "run": forger["run_id"]})
            connection.execute(rename, {"of": forged["run_id"], "run": forger["run_id"]})
            connection.execute(
                "delete from workflow_status where workflow_uuid in (?, ?)", (victim["run_id"], forged["run_id"])
            )
        with worker_process(tmp_path):
            answers = [outcome(client, params["run_id"]) for params in (thief, forger)]

    assert [code_of(answer["error"]) for answer in answers] == [(-31050, "run.lost")] * 2
    assert {answer["error"]["message"] for answer in answers} == {
        "What is stored of the run is damaged: its request is another run's."
    }
    assert secret.times_begun == renamed.times_begun == 0


def test_the_pickle_of_these_tests_would_bite(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Touch(tmp_path / "bitten")))

    assert (tmp_path / "bitten").is_dir()


def test_what_is_kept_can_be_read_by_its_user_alone(tmp_path: Path) -> None:
    previous = os.umask(0o000)
    try:
        with serve(tmp_path, "--orchestration-mode", "dbos") as client:
            run = greeting()
            client.result("start", run)
            outcome(client, run["run_id"])
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").rglob("*")}
    finally:
        os.umask(previous)

    assert {"runs.sqlite3", "runs.sqlite3-wal", "runs.sqlite3-shm"} <= {path.name for path in modes}
    assert {path.name: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def can_mount() -> bool:
    """Whether this user may mount a small disk for a process of its own."""
    try:
        return subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="a disk that is full needs `unshare -rm`, which this machine refuses")
def test_without_room_nothing_is_acknowledged_and_with_room_everything_goes_on(tmp_path: Path) -> None:
    state, order = tmp_path / "state", Order("until", tmp_path / "going")
    state.mkdir()
    mount = 'mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@"'
    command = [sys.executable, "-P", "-m", "rpc_server.cli", "serve", "--orchestration-mode", "dbos", "--allow-python"]
    big = greeting("x" * 6_000_000)
    with RpcClient(
        ["unshare", "-rm", "sh", "-c", mount, str(state), *command], cwd=tmp_path, env=isolated_env(tmp_path)
    ) as client:
        going = client.result("start", order.params(run_id=new_id()))["pipeline_run_id"]
        until(lambda: order.has_begun, "the run to begin")
        filler = Path(f"/proc/{client.pid}/root{state}/filler")
        fill(filler)

        refused = client.error("start", big)
        unknown = client.error("runs/get", {"run_id": big["run_id"]})
        order.let_go()
        filler.unlink()

        client.result("start", big)
        answers = [outcome(client, run_id) for run_id in (going, big["run_id"])]

    assert code_of(refused) == UNREACHABLE
    assert "room" in refused["message"]
    assert code_of(unknown) == (-31050, "run.not_found")
    assert answers[0]["result"]["output"] == {"text": "until"}
    assert answers[1]["result"]["output"]["text"].endswith("xxx")


def fill(filler: Path) -> None:
    """Take all the room there is."""
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4096):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process's transaction, for the block."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as connection:
        connection.execute("begin immediate")
        yield
        connection.execute("rollback")


def test_a_locked_database_is_waited_for_then_refused_and_never_acknowledged(tmp_path: Path) -> None:
    first, patient, late = (greeting(orchestration_mode="dbos") for _ in range(3))
    with without_workers(tmp_path) as client:
        client.result("start", first)

        with locked(database_of(tmp_path)):
            call = client.request("start", patient)
            read = client.result("runs/get", {"run_id": first["run_id"]})
        acknowledged = client.answer(call)["result"]

        with locked(database_of(tmp_path)):
            refused = client.error("start", late)
            unknown = client.error("runs/get", {"run_id": late["run_id"]})
        again = client.result("start", late)

    assert acknowledged["state"] == read["state"] == again["state"] == "QUEUED"
    assert code_of(refused) == UNREACHABLE
    assert refused["data"]["retry"] == "yes"
    assert code_of(unknown) == (-31050, "run.not_found")


@pytest.mark.parametrize("damage", ["no database", "cut short"])
def test_a_damaged_database_is_refused_clearly_and_a_good_one_in_its_place_is_used(tmp_path: Path, damage: str) -> None:
    run = greeting(orchestration_mode="dbos")
    with without_workers(tmp_path) as client:
        client.result("start", run)
    good = database_of(tmp_path).read_bytes()
    database_of(tmp_path).write_bytes(b"this is no database\n" * 500 if damage == "no database" else good[:9000])
    ref = {"run_id": run["run_id"], "orchestration_mode": "dbos"}
    calls = [
        ("start", greeting(orchestration_mode="dbos")),
        ("execute", greeting(orchestration_mode="dbos")),
        ("runs/list", {"orchestration_mode": "dbos"}),
        *((f"runs/{name}", ref) for name in ("get", "result", "cancel", "watch")),
    ]
    with without_workers(tmp_path) as client:
        errors = {method: client.error(method, params) for method, params in calls}
        shown = run_cli(tmp_path, "runs", "list")
        direct = client.result("execute", greeting())
        for ending in ("-wal", "-shm"):
            database_of(tmp_path).with_name(f"runs.sqlite3{ending}").unlink(missing_ok=True)
        database_of(tmp_path).write_bytes(good)
        record = client.result("runs/get", ref)

    assert {code_of(error) for error in errors.values()} == {(-32603, "runtime.misconfigured")}
    assert {error["message"] for error in errors.values()} == {"The database of runs is damaged."}
    assert shown.returncode == 1
    assert "Traceback" not in shown.stderr
    assert direct["output"] == {"text": "Hello Ann"}
    assert record["state"] == "QUEUED"


def test_a_run_ends_once_though_postgres_goes_away_and_comes_back(tmp_path: Path) -> None:
    order = Order("until", tmp_path / "run")
    run = order.params(run_id=new_id(), orchestration_mode="dbos")
    with postgres_server(tmp_path) as postgres:
        settings = str(write_settings(tmp_path, database_url=postgres.url, poll_s=0.05))
        with (
            without_workers(tmp_path, "--config", settings) as client,
            worker_process(tmp_path, "--config", settings) as worker,
        ):
            client.result("start", run)
            until(lambda: order.has_begun, "the run to begin")

            postgres.stop()
            order.let_go()
            refused = client.error("start", greeting(orchestration_mode="dbos"))
            reading = client.error("runs/get", {"run_id": run["run_id"], "orchestration_mode": "dbos"})
            postgres.start()

            answer = outcome(client, run["run_id"])
            watch = {"run_id": run["run_id"], "orchestration_mode": "dbos", "_meta": {"progressToken": "story"}}
            client.result("runs/watch", watch)
            events = [note["params"]["data"] for note in client.notifications]
            next_run = greeting(orchestration_mode="dbos")
            client.result("start", next_run)
            next_answer = outcome(client, next_run["run_id"])
        assert worker.process.returncode == 0

    assert code_of(refused) == code_of(reading) == UNREACHABLE
    assert answer["result"]["output"] == {"text": "until"}
    assert order.times_begun == 1
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["kind"] for event in events].count("run_ended") == 1
    assert next_answer["result"]["output"] == {"text": "Hello Ann"}


@pytest.fixture(params=["nobody listens", "somebody listens and never speaks"])
def dead_address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A URL of a Postgres that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if request.param == "nobody listens":
            listener.close()
        yield f"postgresql://nobody@127.0.0.1:{port}/nothing"


def test_a_server_answers_though_its_postgres_cannot_be_reached(tmp_path: Path, dead_address: str) -> None:
    settings = write_settings(tmp_path, database_url=dead_address)
    with serve(tmp_path, "--orchestration-mode", "dbos", "--config", str(settings)) as client:
        version = client.result("version")
        client.result("validate", {"mthds_contents": [GREETING]})
        error = client.error("start", greeting())

    assert version["orchestration_mode"] == "dbos"
    assert code_of(error) == UNREACHABLE
