"""What `dbos` and `temporal` both promise of a run whose worker or engine dies, hangs, stops, or is not there."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import GREETING
from tests.support.cli import run_cli
from tests.support.client import RpcClient
from tests.support.deployments import MODES, Deploy, Deployment, deployments
from tests.support.durable import WAIT, code_of, events_of, greeting, new_id, output_of, start
from tests.support.ledgers import Order, until

SECRET = "sk-test-4f1d0c9ab2e84c55"
TIMED_OUT = (-31050, "run.timed_out")


@pytest.fixture(scope="module", params=MODES)
def deploy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    with deployments(request.param, tmp_path_factory.mktemp(request.param)) as deploy:
        yield deploy


@pytest.fixture(scope="module")
def working(deploy: Deploy) -> Deployment:
    """What has a worker."""
    return deploy("working")


@pytest.fixture(scope="module")
def shared(working: Deployment) -> Iterator[RpcClient]:
    """A server beside that worker, for the tests that leave both as they were."""
    with working.server_and_worker() as client:
        yield client


@pytest.fixture(scope="module")
def deserted(deploy: Deploy) -> Deployment:
    """What has no worker but those that a test starts, and ends."""
    return deploy("deserted", drain_s=0)


@pytest.fixture(scope="module")
def alone(deserted: Deployment) -> Iterator[RpcClient]:
    """The one server of it."""
    with deserted.server() as client:
        yield client


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order("until", tmp_path / "run")


def test_a_run_that_kills_its_engine_is_lost_after_its_attempts_and_its_neighbour_completes(
    shared: RpcClient, tmp_path: Path
) -> None:
    deadly, neighbour = Order("die", tmp_path / "deadly"), Order("until", tmp_path / "neighbour")
    neighbour_id = start(shared, neighbour.params())
    until(lambda: neighbour.has_begun, "the neighbour to begin")

    deadly_id = start(shared, deadly.params())
    error = shared.error("runs/result", {"run_id": deadly_id, **WAIT})
    neighbour.let_go()

    events = events_of(shared, deadly_id)
    record = shared.result("runs/get", {"run_id": deadly_id})
    assert code_of(error) == (-31050, "run.lost")
    assert error["data"]["retry"] == "outcome_unknown"
    assert (record["state"], record["attempt"], deadly.times_begun) == ("FAILED", 3, 3)
    assert [event["attempt"] for event in events if event["kind"] == "run_started"] == [1, 2, 3]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "run_ended"
    assert output_of(shared, neighbour_id) == {"text": "until"}


def test_a_run_stuck_in_synchronous_code_ends_when_its_call_is_cancelled_and_at_its_deadline(
    shared: RpcClient, tmp_path: Path
) -> None:
    cancelled, late = Order("spin", tmp_path / "cancelled"), Order("spin", tmp_path / "late")
    params = cancelled.params(run_id=new_id())
    call = shared.request("execute", params)
    until(lambda: cancelled.has_begun, "the run to begin")

    shared.notify("$/cancelRequest", {"id": call})

    assert shared.answer(call)["error"]["code"] == -32800
    assert shared.result("runs/get", {"run_id": params["run_id"]})["state"] == "CANCELLED"
    late_id = start(shared, late.params(timeout_s=3))
    assert code_of(shared.error("runs/result", {"run_id": late_id, **WAIT})) == TIMED_OUT
    assert shared.result("runs/get", {"run_id": late_id})["state"] == "TIMED_OUT"
    assert output_of(shared, start(shared, greeting())) == {"text": "Hello Ann"}


def test_a_server_that_is_told_to_stop_leaves_its_runs_to_the_worker_and_ends_well(
    working: Deployment, shared: RpcClient, order: Order
) -> None:
    params = order.params(run_id=new_id(), orchestration_mode=working.mode)
    with working.server() as client:
        call = client.request("execute", params)
        until(lambda: order.has_begun, "the run to begin")
        client.process.send_signal(signal.SIGTERM)
        answer = client.answer(call)
        status = client.wait()

    order.let_go()

    flags = ("--wait", "60", "--orchestration-mode", working.mode, *working.flags)
    read = run_cli(working.home, "runs", "result", params["run_id"], *flags)
    assert (answer["error"]["data"]["retry"], status) == ("yes", 0)
    assert json.loads(read.stdout)["output"] == {"text": "until"}
    assert order.times_begun == 1


def test_without_a_worker_execute_is_refused_and_start_keeps_a_run_that_can_be_cancelled(
    deserted: Deployment, alone: RpcClient
) -> None:
    mode = {"orchestration_mode": deserted.mode}

    refused = alone.error("execute", greeting(**mode))
    unknown = alone.error("runs/get", {"run_id": new_id(), **mode})
    ack = alone.result("start", greeting(**mode))
    waiting = alone.result("runs/get", {"run_id": ack["pipeline_run_id"]})
    cancelled = alone.result("runs/cancel", {"run_id": ack["pipeline_run_id"]})

    assert code_of(refused) == (-31084, "runtime.unavailable")
    assert "mthds-rpc worker" in refused["data"]["next_step"]["detail"]
    assert code_of(unknown) == (-31050, "run.not_found")
    assert (ack["state"], ack["worker_alive"]) == ("QUEUED", False)
    assert (waiting["state"], waiting["worker_alive"], waiting["attempt"]) == ("QUEUED", False, 0)
    assert waiting["waiting_since"] >= waiting["created_at"]
    assert (cancelled["state"], cancelled["problem"]["code"]) == ("CANCELLED", "run.cancelled")


def test_a_worker_that_comes_runs_what_waits_as_it_was_started_and_nothing_that_has_ended(
    deserted: Deployment, alone: RpcClient, tmp_path: Path
) -> None:
    mode = {"orchestration_mode": deserted.mode}
    method = deserted.home / "workspace" / "hello.mthds"
    method.write_text(GREETING)
    ended = {name: Order("say", tmp_path / name) for name in ("cancelled", "overdue", "late")}
    waiting_id = start(alone, {"method": "hello.mthds", "inputs": {"name": "Ann"}, **mode})
    method.write_text(GREETING.replace("Hello", "Goodbye"))
    cancelled_id = start(alone, ended["cancelled"].params(**mode))
    overdue_id, late_id = (start(alone, ended[name].params(timeout_s=1, **mode)) for name in ("overdue", "late"))
    before = time.monotonic()
    alone.result("runs/cancel", {"run_id": cancelled_id})
    took = time.monotonic() - before
    timed_out = [alone.error("runs/result", {"run_id": late_id, **WAIT})]

    with deserted.worker():
        output = output_of(alone, waiting_id)
        timed_out.append(alone.error("runs/result", {"run_id": overdue_id, **WAIT}))
        at_once = alone.result("execute", greeting("Bo", **mode))

    records = [alone.result("runs/get", {"run_id": run_id}) for run_id in (cancelled_id, overdue_id, late_id)]
    assert took < 5
    assert [code_of(error) for error in timed_out] == [TIMED_OUT] * 2
    assert (output, at_once["output"]) == ({"text": "Hello Ann"}, {"text": "Hello Bo"})
    assert alone.result("runs/get", {"run_id": waiting_id})["method"] == "hello.mthds"
    assert [record["state"] for record in records] == ["CANCELLED", "TIMED_OUT", "TIMED_OUT"]
    assert [record["attempt"] for record in records] == [0, 0, 0]
    assert [order.times_begun for order in ended.values()] == [0, 0, 0]


def test_a_worker_that_is_told_to_stop_hands_its_run_to_the_next_one(
    deserted: Deployment, alone: RpcClient, order: Order
) -> None:
    with deserted.worker() as first:
        run_id = start(alone, order.params(orchestration_mode=deserted.mode))
        until(lambda: order.has_begun, "the run to begin")
    handed_back = alone.result("runs/get", {"run_id": run_id})
    order.let_go()
    with deserted.worker():
        output = output_of(alone, run_id)

    record = alone.result("runs/get", {"run_id": run_id})
    kinds = [event["kind"] for event in events_of(alone, run_id)]
    assert first.process.returncode == 0
    assert (handed_back["state"], handed_back["attempt"]) == ("QUEUED", 0)
    assert output == {"text": "until"}
    assert (record["attempt"], order.times_begun) == (1, 2)
    assert (kinds.count("run_started"), kinds.count("run_requeued"), kinds.count("run_ended")) == (2, 1, 1)


def test_a_secret_that_a_method_gives_away_is_masked_in_what_is_stored_the_events_the_answers_and_the_logs(
    deserted: Deployment, alone: RpcClient, tmp_path: Path
) -> None:
    orders = [Order("leak", tmp_path / "leak"), Order("tell", tmp_path / "tell")]
    with deserted.worker(MY_API_KEY=SECRET) as worker:
        run_ids = [start(alone, order.params(orchestration_mode=deserted.mode)) for order in orders]
        answers = [alone.call("runs/result", {"run_id": run_id, **WAIT}) for run_id in run_ids]
        for run_id in run_ids:
            events_of(alone, run_id)
        stored_meanwhile = everything_stored(deserted)
    stored = everything_stored(deserted)

    assert "error" in answers[0]
    assert "[redacted]" in answers[1]["result"]["output"]["text"]
    assert SECRET not in repr(alone.messages)
    assert SECRET not in alone.stderr
    assert "[redacted]" in worker.stderr
    assert SECRET not in worker.stderr
    assert b"the key is [redacted]" in stored
    assert SECRET.encode() not in stored_meanwhile + stored


def everything_stored(deployment: Deployment) -> bytes:
    """The bytes of every SQLite file, and of its log, of a deployment and of the server that it uses."""
    return b"".join(path.read_bytes() for path in deployment.home.parent.rglob("*.sqlite3*") if path.is_file())
