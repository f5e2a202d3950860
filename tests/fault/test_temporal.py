"""Runs of `temporal` whose worker dies or stops, or that are too large; see `test_kept_runs.py` too."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.cli import COMMAND, run_cli
from tests.support.client import RpcClient
from tests.support.durable import WAIT, code_of, events_of, greeting, new_id, output_of, progress_of, start
from tests.support.ledgers import PATIENCE_S, Order, until
from tests.support.mthds_server import isolated_env
from tests.support.processes import stopped
from tests.support.temporal import Deployment, TemporalServer, temporal_server, wait_for_a_worker

EIGHT_MB = 8_000_000
DOCUMENT = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
THREEFOLD = GREETING.replace("{{ name }}", "{{ name }}{{ name }}{{ name }}")


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """One server for all; it knows no search attribute of ours."""
    with temporal_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


@pytest.fixture(scope="module")
def working(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """What has a worker that runs two runs at once."""
    deployment = Deployment(tmp_path_factory.mktemp("working"), temporal.address, concurrency=2)
    with deployment.worker():
        yield deployment


@pytest.fixture(scope="module")
def shared(working: Deployment) -> Iterator[RpcClient]:
    """A server beside that worker, for the tests that leave both as they were."""
    with working.server() as client:
        wait_for_a_worker(client)
        yield client


@pytest.fixture(scope="module")
def deserted(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """What has no worker but those that a test starts, and ends."""
    return Deployment(tmp_path_factory.mktemp("deserted"), temporal.address)


@pytest.fixture(scope="module")
def alone(deserted: Deployment) -> Iterator[RpcClient]:
    """The one server of it."""
    with deserted.server() as client:
        yield client


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order("until", tmp_path / "run")


def record_of(client: RpcClient, run_id: str) -> dict[str, Any]:
    return dict(client.result("runs/get", {"run_id": run_id}))


def is_told_of(client: RpcClient, token: str, kind: str, attempt: int) -> bool:
    return any((event["kind"], event["attempt"]) == (kind, attempt) for event in progress_of(client, token))


def test_a_run_whose_worker_is_killed_or_frozen_goes_on_with_another_one_there_or_later(
    deserted: Deployment, alone: RpcClient, order: Order
) -> None:
    client = alone
    with ExitStack() as workers:
        killed = workers.enter_context(deserted.worker())
        wait_for_a_worker(client)
        run_id = start(client, order.params())
        watch = client.request("runs/watch", {"run_id": run_id, "_meta": {"progressToken": "live"}})
        client.wait_until(lambda: is_told_of(client, "live", "pipe_started", 1), "the first attempt")
        frozen = workers.enter_context(deserted.worker())
        frozen.wait_until_it_works()

        killed.process.kill()

        client.wait_until(lambda: is_told_of(client, "live", "pipe_started", 2), "the second attempt")

        with stopped(frozen.process.pid):
            until(lambda: record_of(client, run_id).get("worker_alive") is False, "the worker to be missed")
            waiting = record_of(client, run_id)
            workers.enter_context(deserted.worker())
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


def test_a_run_that_is_cancelled_after_its_worker_was_killed_keeps_what_is_known_of_it(
    deserted: Deployment, alone: RpcClient, order: Order
) -> None:
    with deserted.worker() as worker:
        wait_for_a_worker(alone)
        run_id = start(alone, order.params())
        alone.request("runs/watch", {"run_id": run_id, "_meta": {"progressToken": "killed"}})
        alone.wait_until(lambda: is_told_of(alone, "killed", "pipe_started", 1), "the run to begin")
        worker.process.kill()
    until(lambda: record_of(alone, run_id).get("worker_alive") is False, "the worker to be missed")

    cancelled = alone.result("runs/cancel", {"run_id": run_id})

    story = events_of(alone, run_id)
    assert (cancelled["state"], cancelled["attempt"], cancelled["event_count"]) == ("CANCELLED", 1, 3)
    assert [(event["kind"], event["attempt"]) for event in story] == [
        ("run_started", 1),
        ("pipe_started", 1),
        ("run_ended", 1),
    ]
    assert "started_at" in cancelled


def test_validate_is_refused_where_no_worker_is_alive(alone: RpcClient) -> None:
    error = alone.error("validate", {"mthds_contents": [GREETING]})

    assert code_of(error) == (-31084, "runtime.unavailable")
    assert "mthds-rpc worker" in error["data"]["next_step"]["detail"]


def test_a_worker_that_is_told_to_stop_lets_its_runs_end_first_where_they_are_quick(
    deserted: Deployment, alone: RpcClient, order: Order
) -> None:
    next_run = greeting()
    with deserted.worker() as worker:
        run_id = start(alone, order.params())
        until(lambda: order.has_begun, "the run to begin")
        worker.process.send_signal(signal.SIGTERM)
        until(lambda: not alone.result("start", next_run)["worker_alive"], "the worker to take nothing new")
        order.let_go()
        status = worker.process.wait(PATIENCE_S)

    output = output_of(alone, run_id)
    kinds = [event["kind"] for event in events_of(alone, run_id)]
    alone.result("runs/cancel", {"run_id": next_run["run_id"]})
    assert (status, output, order.times_begun) == (0, {"text": "until"}, 1)
    assert kinds == ["run_started", "pipe_started", "pipe_completed", "run_ended"]


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
    (folder,) = (deployment.home / "state" / "mthds-rpc" / "artifacts" / "_temporal" / run_id).iterdir()
    return folder


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


def test_a_worker_says_nothing_on_stdout_and_ends_well_on_ctrl_c(deserted: Deployment, alone: RpcClient) -> None:
    with subprocess.Popen(
        [*COMMAND, "worker", "--orchestration-mode", "temporal", *deserted.flags],
        cwd=deserted.home,
        env=isolated_env(deserted.home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background may have been started with Ctrl-C ignored, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as worker:
        wait_for_a_worker(alone)
        worker.send_signal(signal.SIGINT)
        stdout, stderr = worker.communicate(timeout=PATIENCE_S)

    assert (worker.returncode, stdout) == (0, "")
    assert "Traceback" not in stderr


def test_a_server_whose_input_ends_waits_for_its_calls_and_ends_well(
    working: Deployment, shared: RpcClient, order: Order
) -> None:
    with working.server() as client:
        call = client.request("execute", order.params(run_id=new_id()))
        until(lambda: order.has_begun, "the run to begin")

        client.close_stdin()
        order.let_go()

        assert client.answer(call)["result"]["output"] == {"text": "until"}
        assert client.wait() == 0
