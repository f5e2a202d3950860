"""What another program or a newer release starts and answers in our task queue: one bad run, and nothing else."""

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCompletedRequest,
)
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker import Worker as SdkWorker

from orchestrators.plugins.testing.subject import request
from orchestrators.temporal.converter import DATA_CONVERTER
from orchestrators.temporal.names import ASKED
from orchestrators.temporal.sdk_runtime import RUNTIME
from orchestrators.temporal.workflows import RunMethod
from schemas.json_types import Json
from schemas.method_source import MethodSource
from tests.support.client import RpcClient
from tests.support.durable import WAIT, events_of, greeting, output_of, start
from tests.support.strangers import (
    DOCUMENT,
    NO_JSON,
    TOO_DEEP,
    UNREADABLE,
    asked_for,
    code_of,
    memo_of,
    nested,
    order_of,
    start_workflow,
)
from tests.support.temporal import Deployment, TemporalServer, temporal_server, wait_for_a_worker


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    with temporal_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


def strange_starts(victim: str) -> dict[str, tuple[list[Any], Json, str]]:
    """Workflows by their ids: what they are started with, their memo, and the code of the run's problem."""
    good = {name: asked_for(name) for name in ("another-digest", "no-memo", "encrypted-memo", "far-memo")}
    theirs = asked_for(victim)
    plain = memo_of(asked_for("any"))
    deep = order_of(
        {"inline": asked_for("deep-request").model_dump(mode="json") | {"inputs": {"name": nested(TOO_DEEP)}}}
    )
    return {
        **{f"{name}-order": ([value], plain, "runtime.unexpected") for name, value in UNREADABLE.items()},
        "no-order": ([], plain, "runtime.unexpected"),
        "more-arguments": ([order_of(asked_for("more-arguments")), 1], plain, "runtime.unexpected"),
        "deep-request": ([order_of({"inline": deep})], plain, "run.lost"),
        "text-order": (["nonsense"], plain, "runtime.unexpected"),
        "list-order": ([[1]], plain, "runtime.unexpected"),
        "odd-duration": ([order_of(asked_for("x"), heartbeat_timeout_s=-1)], plain, "runtime.unexpected"),
        "text-duration": ([order_of(asked_for("x"), deadline="soon")], plain, "runtime.unexpected"),
        "no-request": ([order_of(None)], plain, "run.lost"),
        "text-request": ([order_of("nonsense")], plain, "run.lost"),
        "odd-request": ([order_of({"inline": {"run_id": "odd-request"}})], plain, "run.lost"),
        "out-of-range": ([order_of(asked_for("out-of-range", created_at=1e300))], plain, "run.lost"),
        "parcel-of-another": ([order_of({"sha256": f"../{victim}/files", "bytes": 1})], plain, "run.lost"),
        "parcel-without-end": ([order_of({"sha256": 5})], plain, "run.lost"),
        "another-run": ([order_of(theirs)], memo_of(theirs), "request.idempotency_conflict"),
        "another-digest": (
            [order_of(good["another-digest"])],
            memo_of(good["another-digest"], digest="0" * 64),
            "request.idempotency_conflict",
        ),
        "no-memo": ([order_of(good["no-memo"])], {ASKED: "nonsense"}, "request.idempotency_conflict"),
        "encrypted-memo": ([order_of(good["encrypted-memo"])], {ASKED: NO_JSON}, "request.idempotency_conflict"),
        "far-memo": ([order_of(good["far-memo"])], memo_of(good["far-memo"], created_at=1e300), "none"),
    }


def test_a_foreign_workflow_is_one_bad_run_and_the_worker_continues(temporal: TemporalServer, tmp_path: Path) -> None:
    here = Deployment(tmp_path / "home", temporal.address, artifact_store=str(tmp_path / "store"))
    queue = str(here.settings["task_queue"])

    async def start_all(starts: dict[str, tuple[list[Any], Json, str]]) -> None:
        client = await Client.connect(temporal.address, runtime=RUNTIME)
        for run_id, (arguments, memo, _) in starts.items():
            await start_workflow(client, queue, run_id, arguments, memo)

    with here.server() as client, here.worker():
        wait_for_a_worker(client)
        victim = start(client, greeting())
        output_of(client, victim)
        starts = strange_starts(victim)
        asyncio.run(start_all(starts))

        codes = {run_id: code_of(client.call("runs/result", {"run_id": run_id, **WAIT})) for run_id in starts}
        records = {run_id: client.result("runs/get", {"run_id": run_id}) for run_id in starts}
        ends = {run_id: events_of(client, run_id)[-1] for run_id in starts}
        listed = {run["pipeline_run_id"]: run for run in client.result("runs/list", {"limit": 100})["runs"]}
        after = client.result("execute", greeting("Bo"))

    assert codes == {run_id: code for run_id, (_, _, code) in starts.items()}
    for run_id, record in records.items():
        assert record["state"] == ("COMPLETED" if run_id == "far-memo" else "FAILED")
        assert ends[run_id]["kind"] == "run_ended"
        assert listed[run_id]["problem"]["code"] == record["problem"]["code"]
    assert records["far-memo"]["problem"]["title"] == "The run's outcome is lost"
    assert listed[victim]["state"] == "COMPLETED"
    assert after["output"] == {"text": "Hello Bo"}


def test_a_run_does_not_read_the_documents_of_another_whose_id_its_request_names(
    temporal: TemporalServer, tmp_path: Path
) -> None:
    here = Deployment(tmp_path / "home", temporal.address)
    workspace = here.home / "workspace"
    workspace.mkdir()
    (workspace / "paper.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    with here.server() as client, here.worker():
        wait_for_a_worker(client)
        victim = client.result(
            "execute", {"mthds_contents": [DOCUMENT], "inputs": {"name": {"path": "paper.pdf"}}, "run_id": "victim"}
        )
        url = victim["output"]["text"].removeprefix("Hello ")
        thief = request("temporal", MethodSource(mthds_contents=[DOCUMENT]), {"name": {"url": url}}, "victim")

        async def steal() -> None:
            own = await Client.connect(temporal.address, runtime=RUNTIME)
            await start_workflow(own, str(here.settings["task_queue"]), "thief", [order_of(thief)], memo_of(thief))

        asyncio.run(steal())
        answer = client.call("runs/result", {"run_id": "thief", **WAIT})

    assert "victim" in url
    assert code_of(answer) == "request.idempotency_conflict"


def story_of(*lines: Json) -> Json:
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return {"attempt": 1, "event_count": len(lines), "events": base64.b64encode(zlib.compress(text)).decode()}


NEWER = story_of({"kind": "run_started", "at": 1.5}, {"kind": "pipe_paused", "at": 2.5, "budget": 3})
RESULT = {"pipeline_run_id": "r", "orchestration_mode": "temporal", "created_at": "2026-11-24", "output": "done"}
OUTCOMES: dict[str, tuple[Any, str, str]] = {
    **{name: (value, "FAILED", "runtime.unexpected") for name, value in UNREADABLE.items()},
    "deep-result": (
        {"state": "COMPLETED", "result": {"inline": RESULT | {"output": nested(TOO_DEEP)}}},
        "COMPLETED",
        "run.lost",
    ),
    "deep-problem": (
        {"state": "FAILED", "problem": {"code": "run.failed", "params": {"x": nested(TOO_DEEP)}}},
        "FAILED",
        "run.failed",
    ),
    "text": ("nonsense", "FAILED", "runtime.unexpected"),
    "nothing": (None, "FAILED", "runtime.unexpected"),
    "newer-state": ({"state": "PAUSED"}, "FAILED", "runtime.unexpected"),
    "no-result": ({"state": "COMPLETED"}, "COMPLETED", "run.lost"),
    "text-result": ({"state": "COMPLETED", "result": "nonsense", "attempt": "x"}, "COMPLETED", "run.lost"),
    "odd-result": ({"state": "COMPLETED", "result": {"inline": {"x": 1}}}, "COMPLETED", "run.lost"),
    "leading-out": ({"state": "COMPLETED", "result": {"sha256": "../../x", "files": "y"}}, "COMPLETED", "run.lost"),
    "text-problem": ({"state": "FAILED", "problem": "nonsense", "story": [1]}, "FAILED", "run.failed"),
    "odd-problem": ({"state": "FAILED", "problem": {"code": "a.b"}, "finished_at": "x"}, "FAILED", "run.failed"),
    "newer-events": ({"state": "COMPLETED", "result": {"inline": RESULT}, "story": NEWER}, "COMPLETED", "none"),
}
"""What comes of runs: an answer instead of our worker's, the state, and the code that `runs/result` answers."""
BEATS: dict[str, Any] = {
    "beat-text": "nonsense",
    "beat-list": [1],
    "beat-figures": {"attempt": "x", "started_at": 1e300, "event_count": -1, "events": 5},
    **{f"beat-{name}": value for name, value in UNREADABLE.items()},
    "beat-newer": NEWER,
}
"""Details of heartbeats of runs that go on."""
AGAIN = "again-"


@asynccontextmanager
async def workflows_only(address: str, queue: str) -> AsyncIterator[Client]:
    """A worker with our workflows but without our activity."""
    client = await Client.connect(address, runtime=RUNTIME, data_converter=DATA_CONVERTER)
    worker = SdkWorker(client, task_queue=queue, workflows=[RunMethod], workflow_runner=UnsandboxedWorkflowRunner())
    async with worker:
        yield client


async def play(client: Client, queue: str, count: int) -> None:
    """Take up so many runs, beat as `BEATS` says or answer what `OUTCOMES` says."""
    for _ in range(count):
        task = await client.workflow_service.poll_activity_task_queue(
            PollActivityTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue))
        )
        run_id, token = task.workflow_execution.workflow_id.removeprefix(AGAIN), task.task_token
        value = BEATS[run_id] if run_id in BEATS else OUTCOMES[run_id][0]
        payloads = Payloads(payloads=await DataConverter.default.encode([value]))
        if run_id in BEATS:
            await client.workflow_service.record_activity_task_heartbeat(
                RecordActivityTaskHeartbeatRequest(namespace=client.namespace, task_token=token, details=payloads)
            )
        else:
            await client.workflow_service.respond_activity_task_completed(
                RespondActivityTaskCompletedRequest(namespace=client.namespace, task_token=token, result=payloads)
            )


def test_what_another_worker_answers_or_beats_is_one_bad_run_and_newer_events_are_told_as_they_are(
    temporal: TemporalServer, tmp_path: Path
) -> None:
    here = Deployment(tmp_path / "home", temporal.address)
    queue = str(here.settings["task_queue"])
    run_ids = [*OUTCOMES, *BEATS]

    async def act(server: RpcClient) -> None:
        async with workflows_only(temporal.address, queue) as client:
            for run_id in run_ids:
                run = asked_for(run_id)
                await start_workflow(client, queue, run_id, [order_of(run, heartbeat_timeout_s=60)], memo_of(run))
            await play(client, queue, len(run_ids))
            await asyncio.to_thread(look, server)

    def look(client: RpcClient) -> None:
        for run_id in OUTCOMES:
            answers[run_id] = client.call("runs/result", {"run_id": run_id, **WAIT})
            stories[run_id] = events_of(client, run_id)
        for run_id in run_ids:
            records[run_id] = client.result("runs/get", {"run_id": run_id})
        listed.extend(client.result("runs/list", {"limit": 100})["runs"])
        token = {"_meta": {"progressToken": "newer"}}
        client.request("runs/watch", {"run_id": "beat-newer", **token})
        client.wait_until(lambda: sum(note["params"]["progressToken"] == "newer" for note in client.notifications) == 2)
        calls = [client.request("runs/cancel", {"run_id": run_id}) for run_id in ("beat-no-json", "beat-newer")]
        cancelled.extend(client.answer(call)["result"]["state"] for call in calls)

    answers: dict[str, Json] = {}
    records: dict[str, Json] = {}
    stories: dict[str, list[Json]] = {}
    listed: list[Json] = []
    cancelled: list[str] = []
    with here.server() as client:
        asyncio.run(act(client))
        newer = [note["params"]["data"] for note in client.notifications if note["params"]["progressToken"] == "newer"]

    assert {run["pipeline_run_id"] for run in listed} == set(run_ids)
    for run_id, (_, state, code) in OUTCOMES.items():
        assert (run_id, records[run_id]["state"], code_of(answers[run_id])) == (run_id, state, code)
        assert stories[run_id][-1]["kind"] == "run_ended"
    assert {records[run_id]["state"] for run_id in BEATS} == {"RUNNING"}
    assert answers["newer-events"]["result"]["output"] == "done"
    told = [(event["seq"], event["kind"], event.get("budget")) for event in stories["newer-events"]]
    assert told == [(1, "run_started", None), (2, "pipe_paused", 3), (3, "run_ended", None)]
    assert [event["kind"] for event in newer[:2]] == ["run_started", "pipe_paused"]
    assert cancelled == ["CANCELLED", "CANCELLED"]


def test_a_run_continues_from_any_heartbeat_of_its_last_worker(temporal: TemporalServer, tmp_path: Path) -> None:
    here = Deployment(tmp_path / "home", temporal.address)
    queue = str(here.settings["task_queue"])
    run_ids = [AGAIN + name for name in BEATS]

    async def begin() -> None:
        async with workflows_only(temporal.address, queue) as client:
            for run_id in run_ids:
                run = asked_for(run_id)
                await start_workflow(client, queue, run_id, [order_of(run)], memo_of(run))
            await play(client, queue, len(run_ids))

    asyncio.run(begin())
    with here.server() as client, here.worker():
        outputs = [output_of(client, run_id) for run_id in run_ids]
        stories = {run_id: events_of(client, run_id) for run_id in run_ids}

    assert outputs == [{"text": "Hello Ann"}] * len(run_ids)
    for story in stories.values():
        assert [event["seq"] for event in story] == list(range(1, len(story) + 1))
        assert story[-1]["kind"] == "run_ended"
    newer = [event["kind"] for event in stories[f"{AGAIN}beat-newer"]]
    assert newer[:4] == ["run_started", "pipe_paused", "run_requeued", "run_started"]
