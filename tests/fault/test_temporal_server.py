"""The Temporal server away when ours boots, silent, or lost while runs go on; it comes back with what it knew."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.cli import run_cli
from tests.support.client import RpcClient
from tests.support.durable import code_of, events_of, greeting, new_id, output_of, progress_of, start
from tests.support.ledgers import PATIENCE_S, Order, until
from tests.support.temporal import Deployment, TemporalServer, temporal_server, wait_for_a_worker

UNREACHABLE = (-31084, "runtime.unavailable")
# Longer than a worker keeps what Temporal does not ask for while it is there, and than Temporal's client tries again.
OUTAGE_S = 60.0


@pytest.fixture(scope="module")
def only_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    with temporal_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


@pytest.fixture
def temporal(only_server: TemporalServer) -> Iterator[TemporalServer]:
    """A server that is up, and that the test may stop."""
    yield only_server
    if only_server.process.poll() is not None:
        only_server.start()


@pytest.fixture
def deployment(tmp_path: Path, temporal: TemporalServer) -> Deployment:
    return Deployment(tmp_path / "home", temporal.address)


@pytest.fixture
def black_hole(tmp_path: Path) -> Iterator[Deployment]:
    """What uses an address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Deployment(tmp_path / "hole", f"127.0.0.1:{listener.getsockname()[1]}")


def errors_of_every_call(client: RpcClient) -> dict[str, tuple[int, str]]:
    """What each method of the mode `temporal` is answered with, all asked at once."""
    ref = {"run_id": new_id()}
    calls: dict[str, dict[str, Any]] = {
        "start": greeting(),
        "execute": greeting(),
        "validate": {"mthds_contents": [GREETING]},
        "runs/list": {"orchestration_mode": "temporal"},
        **{f"runs/{name}": ref for name in ("get", "result", "cancel", "watch")},
    }
    asked = {method: client.request(method, params) for method, params in calls.items()}
    return {method: code_of(client.answer(id)["error"]) for method, id in asked.items()}


def last_for(seconds: float) -> None:
    """Let an outage last: its length is all there is to know it by."""
    since = time.monotonic()
    until(lambda: time.monotonic() - since > seconds, "the outage's end")


def test_a_server_and_a_worker_that_boot_without_temporal_say_so_and_work_once_it_is_there(
    temporal: TemporalServer, deployment: Deployment
) -> None:
    temporal.stop()
    with deployment.worker() as worker, deployment.server("--allow-override") as client:
        version = client.result("version")
        direct = client.result("execute", greeting(orchestration_mode="direct"))
        errors = errors_of_every_call(client)
        listed = run_cli(deployment.home, "runs", "list", "--orchestration-mode", "temporal", *deployment.flags)
        until(lambda: temporal.address in worker.stderr, "the worker to say that it cannot connect")
        temporal.start()
        wait_for_a_worker(client)
        result = client.result("execute", greeting())
        temporal.stop()
        client.close_stdin()
        status = client.wait()

    assert version["orchestration_mode"] == "temporal"
    assert direct["output"] == result["output"] == {"text": "Hello Ann"}
    assert set(errors.values()) == {UNREACHABLE}, errors
    assert (listed.returncode, json.loads(listed.stdout)["error"]["code"]) == (1, UNREACHABLE[0])
    assert "Traceback" not in listed.stderr + worker.stderr
    assert (result["orchestration_mode"], status) == ("temporal", 0)


def test_a_temporal_that_accepts_and_never_answers_is_unreachable_to_every_call(black_hole: Deployment) -> None:
    with black_hole.server() as client:
        errors = errors_of_every_call(client)

    assert set(errors.values()) == {UNREACHABLE}, errors


@dataclass
class Followed:
    """A run that an `execute`, a `runs/watch` and a `runs/result` wait for."""

    client: RpcClient
    order: Order
    run_id: str = field(default_factory=new_id)
    calls: list[Any] = field(default_factory=list)

    def begin(self) -> None:
        """Start it, and wait until all three wait for its end: the last tells nothing, so others are asked after it."""
        self._ask("execute", self.order.params(run_id=self.run_id))
        self._wait_for_two_events(0)
        self._ask("runs/watch", {"run_id": self.run_id})
        self._ask("runs/result", {"run_id": self.run_id, "wait_s": 3600})
        self._wait_for_two_events(1)
        for _ in range(5):
            assert self.client.result("runs/get", {"run_id": self.run_id})["state"] == "RUNNING"

    def results(self) -> list[Any]:
        """What the three calls are answered with in the end."""
        answers = [self.client.answer(call) for call in self.calls]
        assert all("result" in answer for answer in answers), answers
        return [answer["result"] for answer in answers]

    def told(self, number: int) -> list[dict[str, Any]]:
        """The events that one of the calls was told."""
        return progress_of(self.client, f"{self.run_id}/{number}")

    def _ask(self, method: str, params: dict[str, Any]) -> None:
        token = {"_meta": {"progressToken": f"{self.run_id}/{len(self.calls)}"}} if method != "runs/result" else {}
        self.calls.append(self.client.request(method, {**params, **token}))

    def _wait_for_two_events(self, number: int) -> None:
        self.client.wait_until(lambda: len(self.told(number)) == 2, "the run to begin")


def test_runs_are_begun_once_and_end_once_though_temporal_is_lost_for_long_meanwhile(
    temporal: TemporalServer, deployment: Deployment, tmp_path: Path
) -> None:
    with deployment.worker(), deployment.server() as client:
        wait_for_a_worker(client)
        runs = [Followed(client, Order("until", tmp_path / name)) for name in ("ends meanwhile", "goes on past it")]
        for run in runs:
            run.begin()

        temporal.stop()
        refused = [code_of(client.error("runs/get", {"run_id": run.run_id})) for run in runs]
        runs[0].order.let_go()
        last_for(OUTAGE_S)
        temporal.start()
        runs[1].order.let_go()

        results = [run.results() for run in runs]
        stories = [events_of(client, run.run_id) for run in runs]
        next_output = output_of(client, start(client, greeting()))

    assert refused == [UNREACHABLE] * 2
    assert [(executed["output"], result["output"]) for executed, _, result in results] == [({"text": "until"},) * 2] * 2
    assert [watched["state"] for _, watched, _ in results] == ["COMPLETED"] * 2
    assert [run.order.times_begun for run in runs] == [1, 1]
    for run, story in zip(runs, stories, strict=True):
        assert run.told(0) == run.told(1) == story
        assert [event["kind"] for event in story] == ["run_started", "pipe_started", "pipe_completed", "run_ended"]
        assert [event["seq"] for event in story] == [1, 2, 3, 4]
    assert next_output == {"text": "Hello Ann"}


@pytest.mark.parametrize("told_by", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_still_tries_to_connect_ends_at_once_when_it_is_told_to(
    black_hole: Deployment, told_by: signal.Signals
) -> None:
    with black_hole.worker() as worker:
        until(lambda: black_hole.address in worker.stderr, "the worker to say that it cannot connect")
        worker.process.send_signal(told_by)
        status = worker.process.wait(PATIENCE_S)

    assert status == 0
    assert "Traceback" not in worker.stderr
