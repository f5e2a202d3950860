"""Durable runs whose server, worker or engine ends, hangs, or is told to stop."""

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.bundles import GREETING
from tests.support.cli import run_cli
from tests.support.client import RpcClient
from tests.support.durable import (
    WAIT,
    code_of,
    database_of,
    durable,
    events_of,
    greeting,
    new_id,
    output_of,
    start,
    without_workers,
    workers_of,
)
from tests.support.ledgers import PATIENCE_S, Order, until, worker_process, write_settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    """One durable server for the tests that leave it as it was."""
    with durable(tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order("until", tmp_path / "run")


def test_a_client_that_goes_away_leaves_its_run_to_the_next_server(tmp_path: Path, order: Order) -> None:
    settings = str(write_settings(tmp_path, drain_s=0))
    params, done = order.params(run_id=new_id()), greeting()
    with durable(tmp_path, "--config", settings) as first:
        before = first.result("execute", done)
        call = first.request("execute", params)
        until(lambda: order.has_begun, "the run to begin")
        first.close_stdin()
        first.process.send_signal(signal.SIGTERM)
        answer = first.answer(call)
        first.wait()

    order.let_go()

    with durable(tmp_path, "--config", settings) as second:
        after = second.result("runs/result", {"run_id": done["run_id"]})
        listed = second.result("runs/list")["runs"]
        output = output_of(second, params["run_id"])
        kinds = [event["kind"] for event in events_of(second, params["run_id"])]

    assert answer["error"]["data"]["retry"] == "yes"
    assert after == before
    assert [run["pipeline_run_id"] for run in listed] == [params["run_id"], done["run_id"]]
    assert output == {"text": "until"}
    assert kinds.count("run_ended") == 1


def test_a_server_that_is_killed_leaves_no_process_and_its_run_to_the_next_one(tmp_path: Path, order: Order) -> None:
    params = order.params(run_id=new_id())
    with durable(tmp_path, allow_unanswered=True) as first:
        first.request("execute", params)
        until(lambda: order.has_begun, "the run to begin")
        processes = psutil.Process(first.pid).children(recursive=True)
        first.process.kill()
        first.wait()
        _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)

    with durable(tmp_path) as second:
        order.let_go()
        output = output_of(second, params["run_id"])

    assert len(processes) >= 3
    assert alive == []
    assert output == {"text": "until"}


def test_a_run_whose_file_is_edited_before_it_begins_runs_what_was_started(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    method = workspace / "hello.mthds"
    method.write_text(GREETING)
    params = {"method": "hello.mthds", "inputs": {"name": "Ann"}, "run_id": new_id(), "orchestration_mode": "dbos"}
    with without_workers(tmp_path) as client:
        ack = client.result("start", params)
        method.write_text(GREETING.replace("Hello", "Goodbye"))
        waiting = client.result("runs/get", {"run_id": params["run_id"]})
        with worker_process(tmp_path):
            output = output_of(client, str(params["run_id"]))

    assert (ack["worker_alive"], waiting["worker_alive"], waiting["state"]) == (False, False, "QUEUED")
    assert waiting["waiting_since"] == waiting["created_at"]
    assert waiting["method"] == "hello.mthds"
    assert output == {"text": "Hello Ann"}


def test_a_queued_run_is_cancelled_at_once_and_no_worker_takes_it_up(tmp_path: Path) -> None:
    cancelled = Order("say", tmp_path / "cancelled")
    with without_workers(tmp_path) as client:
        run_ids = [
            start(client, cancelled.params(orchestration_mode="dbos")),
            start(client, greeting(orchestration_mode="dbos")),
        ]
        before = time.monotonic()
        record = client.result("runs/cancel", {"run_id": run_ids[0]})
        took = time.monotonic() - before
        with worker_process(tmp_path):
            output_of(client, run_ids[1])
        again = client.result("runs/get", {"run_id": run_ids[0]})

    assert record["state"] == again["state"] == "CANCELLED"
    assert took < 5
    assert cancelled.times_begun == 0


def test_a_run_past_its_deadline_ends_as_timed_out_also_where_it_never_began(tmp_path: Path) -> None:
    late = Order("say", tmp_path / "late")
    with without_workers(tmp_path) as client:
        run_ids = [
            start(client, late.params(orchestration_mode="dbos", timeout_s=0.001)),
            start(client, greeting(orchestration_mode="dbos")),
        ]
        with worker_process(tmp_path):
            error = client.error("runs/result", {"run_id": run_ids[0], **WAIT})
            output_of(client, run_ids[1])
        record = client.result("runs/get", {"run_id": run_ids[0]})

    assert code_of(error) == (-31050, "run.timed_out")
    assert (record["state"], record["attempt"], late.times_begun) == ("TIMED_OUT", 0, 0)


def test_a_run_stuck_in_synchronous_code_ends_at_its_deadline_and_others_go_on(
    server: RpcClient, tmp_path: Path
) -> None:
    stuck, neighbour = Order("spin", tmp_path / "stuck"), Order("until", tmp_path / "neighbour")
    neighbour_id = start(server, neighbour.params())
    until(lambda: neighbour.has_begun, "the neighbour to begin")

    stuck_id = start(server, stuck.params(timeout_s=3))

    assert code_of(server.error("runs/result", {"run_id": stuck_id, **WAIT})) == (-31050, "run.timed_out")
    assert server.result("runs/get", {"run_id": stuck_id})["state"] == "TIMED_OUT"
    assert output_of(server, start(server, greeting())) == {"text": "Hello Ann"}
    neighbour.let_go()
    assert output_of(server, neighbour_id) == {"text": "until"}


def test_a_run_that_kills_its_engine_is_lost_after_its_attempts_and_its_neighbour_completes(
    server: RpcClient, tmp_path: Path
) -> None:
    deadly, neighbour = Order("die", tmp_path / "deadly"), Order("until", tmp_path / "neighbour")
    neighbour_id = start(server, neighbour.params())
    until(lambda: neighbour.has_begun, "the neighbour to begin")

    deadly_id = start(server, deadly.params())
    error = server.error("runs/result", {"run_id": deadly_id, **WAIT})
    neighbour.let_go()

    events = events_of(server, deadly_id)
    record = server.result("runs/get", {"run_id": deadly_id})
    assert code_of(error) == (-31050, "run.lost")
    assert error["data"]["retry"] == "outcome_unknown"
    assert (record["state"], record["attempt"], deadly.times_begun) == ("FAILED", 3, 3)
    assert [event["attempt"] for event in events if event["kind"] == "run_started"] == [1, 2, 3]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "run_ended"
    assert output_of(server, neighbour_id) == {"text": "until"}


@pytest.mark.parametrize(("how", "attempts"), [(signal.SIGKILL, 2), (signal.SIGTERM, 1)])
def test_a_worker_that_ends_is_started_again_and_its_run_is_finished(
    tmp_path: Path, order: Order, how: signal.Signals, attempts: int
) -> None:
    with durable(tmp_path) as client:
        run_id = start(client, order.params())
        until(lambda: order.has_begun, "the run to begin")
        (worker,) = workers_of(client)

        worker.send_signal(how)

        until(lambda: order.times_begun == 2, "the run to begin again")
        order.let_go()
        output = output_of(client, run_id)
        record = client.result("runs/get", {"run_id": run_id})
        kinds = [event["kind"] for event in events_of(client, run_id)]

    assert output == {"text": "until"}
    assert record["attempt"] == attempts
    assert kinds.count("run_started") == 2
    assert kinds.count("run_requeued") == kinds.count("run_ended") == 1


def test_a_worker_of_its_own_finishes_runs_after_the_server_has_ended(tmp_path: Path, order: Order) -> None:
    with worker_process(tmp_path) as worker:
        with without_workers(tmp_path) as client:
            run_id = start(client, order.params(orchestration_mode="dbos"))
            until(lambda: order.has_begun, "the run to begin")
        order.let_go()
        shown = run_cli(tmp_path, "runs", "result", run_id, "--wait", "60")

        assert worker.process.poll() is None
    assert json.loads(shown.stdout)["output"] == {"text": "until"}
    assert worker.process.returncode == 0


def test_a_worker_that_is_told_to_stop_hands_its_run_to_the_next_one(tmp_path: Path, order: Order) -> None:
    settings = write_settings(tmp_path, drain_s=0)
    with without_workers(tmp_path) as client:
        with worker_process(tmp_path, "--config", str(settings)):
            run_id = start(client, order.params(orchestration_mode="dbos"))
            until(lambda: order.has_begun, "the run to begin")
        handed_back = client.result("runs/get", {"run_id": run_id})
        order.let_go()
        with worker_process(tmp_path, "--config", str(settings)):
            output = output_of(client, run_id)
        record = client.result("runs/get", {"run_id": run_id})
        kinds = [event["kind"] for event in events_of(client, run_id)]

    assert (handed_back["state"], handed_back["attempt"]) == ("QUEUED", 0)
    assert output == {"text": "until"}
    assert record["attempt"] == 1
    assert kinds.count("run_requeued") == 1


def test_runs_that_are_pruned_are_gone_with_their_rows_and_artifacts(tmp_path: Path) -> None:
    artifacts = tmp_path / "state" / "mthds-rpc" / "artifacts"
    bundle = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "paper.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    order = Order("until", tmp_path / "going")
    with durable(tmp_path) as client:
        going = start(client, order.params())
        with_file = start(client, {"mthds_contents": [bundle], "inputs": {"name": {"path": "paper.pdf"}}})
        output_of(client, with_file)
        newest = start(client, greeting())
        output_of(client, newest)
        had_artifacts = (artifacts / with_file).is_dir()

        kept_all = run_cli(tmp_path, "runs", "prune", "--older-than", "1h")
        kept_one = run_cli(tmp_path, "runs", "prune", "--keep", "1")

        error = client.error("runs/get", {"run_id": with_file})
        left = [run["pipeline_run_id"] for run in client.result("runs/list")["runs"]]
        order.let_go()
        output_of(client, going)

    rows = rows_of(database_of(tmp_path), with_file)
    assert had_artifacts
    assert kept_all.stdout.startswith("0 ")
    assert kept_one.stdout.startswith("1 ")
    assert code_of(error) == (-31050, "run.not_found")
    assert left == [newest, going]
    assert rows == []
    assert not (artifacts / with_file).exists()


def rows_of(database: Path, run_id: str) -> list[str]:
    """The tables that hold the id of a run, whoever made them."""
    found = []
    with sqlite3.connect(database) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):
                if run_id in row:
                    found.append(table)
    connection.close()
    return found


def test_what_is_too_much_is_forgotten_by_the_worker_itself(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text("[rpc_dbos.retention]\nmax_runs = 1\n")
    with without_workers(tmp_path) as client:
        run_ids = [start(client, greeting(orchestration_mode="dbos")) for _ in range(3)]
        for run_id in run_ids:
            client.result("runs/cancel", {"run_id": run_id})

        with worker_process(tmp_path, "--config", str(config)):
            until(
                lambda: len(client.result("runs/list", {"orchestration_mode": "dbos"})["runs"]) == 1, "the end of two"
            )

        (left,) = client.result("runs/list", {"orchestration_mode": "dbos"})["runs"]

    assert left["pipeline_run_id"] == run_ids[-1]
