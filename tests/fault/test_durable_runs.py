"""Runs of `dbos` whose server or worker ends; what is forgotten of them. The rest is in `test_kept_runs.py`."""

import signal
import sqlite3
from pathlib import Path

import psutil
import pytest

from tests.support.bundles import GREETING
from tests.support.cli import run_cli
from tests.support.durable import (
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
