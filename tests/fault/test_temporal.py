"""Runs in the mode `temporal` whose worker dies, stops, or is not there; that hang, are too large, or tell secrets."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.cli import COMMAND, run_cli
from tests.support.client import RpcClient
from tests.support.durable import WAIT, code_of, events_of, greeting, new_id, output_of, progress_of, start
from tests.support.ledgers import PATIENCE_S, Order, until
from tests.support.mthds_server import isolated_env
from tests.support.temporal import Deployment, TemporalServer, temporal_server, wait_for_a_worker

SECRET = "sk-test-4f1d0c9ab2e84c55"
EIGHT_MB = 8_000_000
DOCUMENT = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
THREEFOLD = GREETING.replace("{{ name }}", "{{ name }}{{ name }}{{ name }}")


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """One server for all; it knows no search attribute of ours."""
    with temporal_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


@pytest.fixture(scope="module")
def shared(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    """A server whose worker has two runs going at once, for the tests that leave both as they were."""
    deployment = Deployment(tmp_path_factory.mktemp("home"), temporal.address, concurrency=2)
    workspace = deployment.home / "workspace"
    workspace.mkdir()
    for name in ("one.mthds", "other.mthds"):
        (workspace / name).write_text(GREETING)
    with deployment.worker(), deployment.server() as client:
        wait_for_a_worker(client)
        yield client


@pytest.fixture
def deployment(tmp_path: Path, temporal: TemporalServer) -> Deployment:
    """One of the test's own, without a worker so far."""
    return Deployment(tmp_path / "home", temporal.address)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order("until", tmp_path / "run")


def record_of(client: RpcClient, run_id: str) -> dict[str, Any]:
    return dict(client.result("runs/get", {"run_id": run_id}))


def is_told_of(client: RpcClient, token: str, kind: str, attempt: int) -> bool:
    return any((event["kind"], event["attempt"]) == (kind, attempt) for event in progress_of(client, token))


def test_a_run_whose_worker_is_killed_or_frozen_goes_on_with_another_one_there_or_later(
    deployment: Deployment, order: Order
) -> None:
    with deployment.server() as client, ExitStack() as workers:
        killed = workers.enter_context(deployment.worker())
        wait_for_a_worker(client)
        run_id = start(client, order.params())
        watch = client.request("runs/watch", {"run_id": run_id, "_meta": {"progressToken": "live"}})
        client.wait_until(lambda: is_told_of(client, "live", "pipe_started", 1), "the first attempt")
        frozen = workers.enter_context(deployment.worker())
        frozen.wait_until_it_works()

        killed.process.kill()

        client.wait_until(lambda: is_told_of(client, "live", "pipe_started", 2), "the second attempt")

        with stopped(frozen.process.pid):
            until(lambda: record_of(client, run_id).get("worker_alive") is False, "the worker to be missed")
            waiting = record_of(client, run_id)
            workers.enter_context(deployment.worker())
            client.wait_until(lambda: is_told_of(client, "live", "pipe_started", 3), "the third attempt")

        order.let_go()
        output = output_of(client, run_id)
        end = client.answer(watch)["result"]
        story = events_of(client, run_id)
        record = record_of(client, run_id)

    kinds = [(event["kind"], event["attempt"]) for event in story]
    assert (waiting["state"], waiting["attempt"], "waiting_since" in waiting) == ("QUEUED", 2, True)
    assert (output, record["attempt"], end["state"]) == ({"text": "until"}, 3, "COMPLETED")
    assert order.times_begun == 3
    assert kinds == [
        ("run_started", 1),
        ("pipe_started", 1),
        ("run_requeued", 1),
        ("run_started", 2),
        ("pipe_started", 2),
        ("run_requeued", 2),
        ("run_started", 3),
        ("pipe_started", 3),
        ("pipe_completed", 3),
        ("run_ended", 3),
    ]
    assert [event["seq"] for event in story] == list(range(1, len(story) + 1))
    assert progress_of(client, "live") == story


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing for the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_a_worker_runs_wait_are_cancelled_time_out_or_are_run_by_one_that_comes(
    deployment: Deployment, tmp_path: Path
) -> None:
    cancelled, late = Order("say", tmp_path / "cancelled"), Order("say", tmp_path / "late")
    with deployment.server() as client:
        late_id = start(client, late.params(timeout_s=1))
        ack = client.result("start", greeting())
        waiting = record_of(client, ack["pipeline_run_id"])
        refused = [client.error("execute", greeting()), client.error("validate", {"mthds_contents": [GREETING]})]
        cancelled_id = start(client, cancelled.params())
        ended = client.result("runs/cancel", {"run_id": cancelled_id})
        timed_out = client.error("runs/result", {"run_id": late_id, **WAIT})
        with deployment.worker():
            output = output_of(client, ack["pipeline_run_id"])
        states = [record_of(client, run_id)["state"] for run_id in (late_id, cancelled_id)]

    assert (ack["state"], ack["worker_alive"]) == ("QUEUED", False)
    assert (waiting["state"], waiting["worker_alive"], waiting["attempt"]) == ("QUEUED", False, 0)
    assert waiting["waiting_since"] >= waiting["created_at"]
    assert [code_of(error) for error in refused] == [(-31084, "runtime.unavailable")] * 2
    assert ["mthds-rpc worker" in error["data"]["next_step"]["detail"] for error in refused] == [True, True]
    assert (ended["state"], ended["problem"]["code"]) == ("CANCELLED", "run.cancelled")
    assert code_of(timed_out) == (-31050, "run.timed_out")
    assert output == {"text": "Hello Ann"}
    assert states == ["TIMED_OUT", "CANCELLED"]
    assert (cancelled.times_begun, late.times_begun) == (0, 0)


def test_a_worker_that_is_told_to_stop_hands_its_run_to_the_next_one(
    temporal: TemporalServer, tmp_path: Path, order: Order
) -> None:
    deployment = Deployment(tmp_path / "home", temporal.address, drain_s=0)
    with deployment.server() as client:
        with deployment.worker() as first:
            run_id = start(client, order.params())
            until(lambda: order.has_begun, "the run to begin")
        handed_back = record_of(client, run_id)
        order.let_go()
        with deployment.worker():
            output = output_of(client, run_id)
        record = record_of(client, run_id)
        kinds = [event["kind"] for event in events_of(client, run_id)]

    assert first.process.returncode == 0
    assert (handed_back["state"], handed_back["attempt"]) == ("QUEUED", 0)
    assert output == {"text": "until"}
    assert (record["attempt"], order.times_begun) == (1, 2)
    assert (kinds.count("run_started"), kinds.count("run_requeued"), kinds.count("run_ended")) == (2, 1, 1)


def test_a_worker_that_is_told_to_stop_lets_its_runs_end_first_where_they_are_quick(
    deployment: Deployment, order: Order
) -> None:
    next_run = greeting()
    with deployment.server() as client:
        with deployment.worker() as worker:
            run_id = start(client, order.params())
            until(lambda: order.has_begun, "the run to begin")
            worker.process.send_signal(signal.SIGTERM)
            until(lambda: not client.result("start", next_run)["worker_alive"], "the worker to take nothing new")
            order.let_go()
            status = worker.process.wait(PATIENCE_S)
        output = output_of(client, run_id)
        kinds = [event["kind"] for event in events_of(client, run_id)]

    assert (status, output, order.times_begun) == (0, {"text": "until"}, 1)
    assert kinds == ["run_started", "pipe_started", "pipe_completed", "run_ended"]


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
    record = record_of(shared, deadly_id)
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
    assert record_of(shared, params["run_id"])["state"] == "CANCELLED"
    late_id = start(shared, late.params(timeout_s=1))
    assert code_of(shared.error("runs/result", {"run_id": late_id, **WAIT})) == (-31050, "run.timed_out")
    assert record_of(shared, late_id)["state"] == "TIMED_OUT"
    assert output_of(shared, start(shared, greeting())) == {"text": "Hello Ann"}


def test_a_run_that_waits_for_room_in_a_worker_is_cancelled_at_once(shared: RpcClient, tmp_path: Path) -> None:
    going = [Order("until", tmp_path / name) for name in ("one", "two")]
    going_ids = [start(shared, order.params()) for order in going]
    until(lambda: all(order.has_begun for order in going), "the worker to be full")
    waiting = Order("say", tmp_path / "waiting")
    waiting_id = start(shared, waiting.params())

    before = record_of(shared, waiting_id)
    record = shared.result("runs/cancel", {"run_id": waiting_id})

    for order in going:
        order.let_go()
    assert (before["state"], before["worker_alive"]) == ("QUEUED", True)
    assert (record["state"], waiting.times_begun) == ("CANCELLED", 0)
    assert [output_of(shared, run_id) for run_id in going_ids] == [{"text": "until"}] * 2


def test_runs_of_a_method_are_listed_also_where_no_search_attribute_is_registered(shared: RpcClient) -> None:
    run_ids = [
        start(shared, {"method": method, "inputs": {"name": "Ann"}})
        for method in ("one.mthds", "other.mthds", "one.mthds", "one.mthds")
    ]
    for run_id in run_ids:
        output_of(shared, run_id)

    first = shared.result("runs/list", {"method": "one.mthds", "state": "COMPLETED", "limit": 2})
    second = shared.result("runs/list", {"method": "one.mthds", "limit": 2, "cursor": first["next_cursor"]})

    listed = [run["pipeline_run_id"] for run in [*first["runs"], *second["runs"]]]
    assert listed == [run_ids[3], run_ids[2], run_ids[0]]


def test_what_is_large_goes_by_the_artifact_store_and_files_come_to_the_reader(
    temporal: TemporalServer, tmp_path: Path
) -> None:
    here = Deployment(tmp_path / "here", temporal.address, artifact_store=str(tmp_path / "store"))
    there = here.elsewhere(tmp_path / "there")
    workspace = here.home / "workspace"
    workspace.mkdir()
    (workspace / "paper.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    with here.server() as client, there.worker():
        wait_for_a_worker(client)
        result = client.result("execute", greeting("x" * EIGHT_MB))
        with_file = start(client, {"mthds_contents": [DOCUMENT], "inputs": {"name": {"path": "paper.pdf"}}})
        output_of(client, with_file)

    files = [path for path in artifacts_of(there, with_file).rglob("*") if path.is_file()]
    assert result["output"] == {"text": "Hello " + "x" * EIGHT_MB}
    assert len(files) > 0
    for file in files:
        fetched = artifacts_of(here, with_file) / file.relative_to(artifacts_of(there, with_file))
        assert fetched.read_bytes() == file.read_bytes()


def artifacts_of(deployment: Deployment, run_id: str) -> Path:
    return deployment.home / "state" / "mthds-rpc" / "artifacts" / run_id


def test_without_an_artifact_store_what_is_too_large_is_refused_before_anything_is_sent(
    temporal: TemporalServer, shared: RpcClient
) -> None:
    run = greeting("x" * EIGHT_MB)

    errors = [shared.error(method, run) for method in ("start", "execute")]
    unknown = shared.error("runs/get", {"run_id": run["run_id"]})

    found = temporal.command("workflow", "list", "--query", f"WorkflowId = '{run['run_id']}'", "--output", "json")
    assert [code_of(error) for error in errors] == [(-32600, "request.too_large")] * 2
    assert "artifact_store" in errors[0]["data"]["next_step"]["detail"]
    assert code_of(unknown) == (-31050, "run.not_found")
    assert json.loads(found) == []


def test_a_result_that_is_too_large_fails_its_run_and_says_what_to_set(shared: RpcClient) -> None:
    run_id = start(shared, greeting("x" * 1_000_000, mthds_contents=[THREEFOLD]))

    error = shared.error("runs/result", {"run_id": run_id, **WAIT})

    assert code_of(error) == (-31050, "run.results_not_stored")
    assert "artifact_store" in error["data"]["next_step"]["detail"]
    assert record_of(shared, run_id)["state"] == "FAILED"


def test_a_secret_that_a_method_tells_is_masked_in_temporal_the_events_the_answers_and_the_logs(
    temporal: TemporalServer, deployment: Deployment, tmp_path: Path
) -> None:
    orders = [Order("leak", tmp_path / "leak"), Order("tell", tmp_path / "tell")]
    with deployment.worker(MY_API_KEY=SECRET) as worker, deployment.server() as client:
        run_ids = [start(client, order.params()) for order in orders]
        answers = [client.call("runs/result", {"run_id": run_id, **WAIT}) for run_id in run_ids]
        for run_id in run_ids:
            events_of(client, run_id)
        everything = repr(client.messages)
    kept = b"".join(path.read_bytes() for path in temporal.folder.glob("temporal.sqlite3*"))

    assert "error" in answers[0]
    assert "[redacted]" in answers[1]["result"]["output"]["text"]
    assert SECRET not in everything
    assert "[redacted]" in worker.stderr
    assert SECRET not in worker.stderr
    assert b"the key is [redacted]" in kept
    assert SECRET.encode() not in kept


def test_a_worker_in_a_namespace_that_is_not_there_ends_with_a_message(
    temporal: TemporalServer, tmp_path: Path
) -> None:
    deployment = Deployment(tmp_path / "home", temporal.address, namespace="nowhere")

    done = run_cli(deployment.home, "worker", "--orchestration-mode", "temporal", *deployment.flags)

    assert (done.returncode, done.stdout) == (1, "")
    assert "namespace" in done.stderr
    assert "nowhere" in done.stderr
    assert "[runtime.misconfigured]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_ends_well_each_time_and_says_nothing_on_stdout(deployment: Deployment) -> None:
    ended: list[tuple[int, str]] = []
    with deployment.server() as client:
        for told_by in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            with subprocess.Popen(
                [*COMMAND, "worker", "--orchestration-mode", "temporal", *deployment.flags],
                cwd=deployment.home,
                env=isolated_env(deployment.home),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # A suite that runs in the background may have been started with Ctrl-C ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            ) as worker:
                wait_for_a_worker(client)
                worker.send_signal(told_by)
                stdout, stderr = worker.communicate(timeout=PATIENCE_S)
            assert "Traceback" not in stderr
            ended.append((worker.returncode, stdout))

    assert ended == [(0, "")] * 3


def test_a_server_waits_for_the_calls_that_are_going_when_its_input_ends_and_ends_well(
    deployment: Deployment, order: Order
) -> None:
    with deployment.worker(), deployment.server() as client:
        wait_for_a_worker(client)
        call = client.request("execute", order.params(run_id=new_id()))
        until(lambda: order.has_begun, "the run to begin")

        client.close_stdin()
        order.let_go()

        assert client.answer(call)["result"]["output"] == {"text": "until"}
        assert client.wait() == 0


def test_a_server_that_is_told_to_stop_leaves_its_runs_going_and_ends_well(
    deployment: Deployment, order: Order
) -> None:
    params = order.params(run_id=new_id())
    with deployment.worker():
        with deployment.server() as first:
            wait_for_a_worker(first)
            call = first.request("execute", params)
            until(lambda: order.has_begun, "the run to begin")
            first.process.send_signal(signal.SIGTERM)
            answer = first.answer(call)
            status = first.wait()
        order.let_go()
        with deployment.server() as second:
            output = output_of(second, params["run_id"])

    assert (answer["error"]["data"]["retry"], status) == ("yes", 0)
    assert (output, order.times_begun) == ({"text": "until"}, 1)
