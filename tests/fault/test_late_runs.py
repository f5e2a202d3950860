"""Deadlines hold where no worker works: every waiting call is answered, and the ledger agrees from then on."""

from pathlib import Path
from typing import Any

import psutil

from tests.support.client import RpcClient
from tests.support.durable import (
    WAIT,
    code_of,
    durable,
    events_of,
    greeting,
    new_id,
    output_of,
    progress_of,
    start,
    workers_of,
)
from tests.support.ledgers import Order, until
from tests.support.processes import stopped
from tests.support.temporal import Deployment, temporal_server, wait_for_a_worker

TIMED_OUT = (-31050, "run.timed_out")


def hold(client: RpcClient, worker: int, folder: Path, ended: list[str]) -> None:
    """Deadlines hold for a run that the worker has begun, one that it has not, one that no call waited for at first,
    and one whose engine is frozen. `ended` names runs that have timed out before.
    """
    begun, waiting, stuck = (Order(word, folder / word) for word in ("wait", "say", "until"))
    client.result("execute", Order("say", folder / "first").params())
    runs = [
        begun.params(run_id=new_id(), timeout_s=8),
        waiting.params(run_id=new_id(), timeout_s=3),
        stuck.params(run_id=new_id(), timeout_s=8),
    ]
    call = client.request("execute", {**runs[0], "_meta": {"progressToken": runs[0]["run_id"]}})
    until(lambda: begun.has_begun, "the run to begin")
    client.wait_until(lambda: len(progress_of(client, runs[0]["run_id"])) == 2, "its events")

    with stopped(worker):
        errors = [client.error("execute", runs[1])]
        left = start(client, waiting.params(timeout_s=1))
        errors += [client.error("runs/result", {"run_id": left, **WAIT}), client.answer(call)["error"]]
    output = output_of(client, start(client, greeting()))
    call = client.request("execute", runs[2])
    until(lambda: stuck.has_begun, "the run to begin")
    with stopped(*(child.pid for child in psutil.Process(worker).children(recursive=True))):
        errors.append(client.answer(call)["error"])

    assert output == {"text": "Hello Ann"}
    assert [code_of(error) for error in errors] == [TIMED_OUT] * 4
    assert [error["data"]["params"]["timeout"] for error in errors] == [3, 1, 8, 8]
    assert (begun.times_begun, waiting.times_begun, stuck.times_begun) == (1, 0, 1)
    agree(client, [*ended, left, *(run["run_id"] for run in runs)])
    assert progress_of(client, runs[0]["run_id"]) == events_of(client, runs[0]["run_id"])


def agree(client: RpcClient, run_ids: list[str]) -> None:
    """Whatever is asked of these runs says that they timed out, also after the worker has woken up."""
    listed = {run["pipeline_run_id"] for run in client.result("runs/list", {"state": "TIMED_OUT"})["runs"]}
    assert listed == set(run_ids)
    assert client.result("runs/list", {"state": "CANCELLED"})["runs"] == []
    for run_id in run_ids:
        record: dict[str, Any] = client.result("runs/get", {"run_id": run_id})
        events = events_of(client, run_id)
        assert (record["state"], record["problem"]["code"]) == ("TIMED_OUT", "run.timed_out")
        assert code_of(client.error("runs/result", {"run_id": run_id})) == TIMED_OUT
        assert [event["seq"] for event in events] == list(range(1, record["event_count"] + 1))
        assert [event["kind"] for event in events].count("run_ended") == 1
        assert (events[-1]["kind"], events[-1]["problem"]) == ("run_ended", record["problem"])


def test_in_dbos_no_worker_that_is_frozen_at_its_start_or_later_and_no_frozen_engine_holds_up_a_deadline(
    tmp_path: Path,
) -> None:
    never = Order("say", tmp_path / "never")
    with durable(tmp_path) as client:
        until(lambda: bool(workers_of(client)), "the worker's process")
        (worker,) = workers_of(client)
        with stopped(worker.pid):
            error = client.error("execute", never.params(timeout_s=3, run_id="never"))

        assert (code_of(error), never.times_begun) == (TIMED_OUT, 0)
        hold(client, worker.pid, tmp_path, ["never"])


def test_in_temporal_no_frozen_worker_and_no_frozen_engine_holds_up_a_deadline(tmp_path: Path) -> None:
    with temporal_server(tmp_path) as temporal:
        deployment = Deployment(tmp_path / "home", temporal.address)
        with deployment.server() as client, deployment.worker() as worker:
            wait_for_a_worker(client)
            hold(client, worker.process.pid, tmp_path, [])
