"""Ids that are used again on Temporal: nobody who uses one meets what an earlier run of it left."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from orchestrators.plugins.testing.subject import request
from orchestrators.temporal.sdk_runtime import RUNTIME
from schemas.json_types import Json
from schemas.method_source import MethodSource
from schemas.runs import RunRequest
from tests.support.durable import WAIT, new_id, output_of, start
from tests.support.ledgers import Order, until
from tests.support.mcp_client import McpClient
from tests.support.strangers import DOCUMENT, code_of, memo_of, order_of, start_workflow
from tests.support.temporal import Deployment, TemporalServer, temporal_server, wait_for_a_worker

SECRET = b"%PDF-1.4\nthe first one's\n%%EOF\n"
OTHER = b"%PDF-1.4\nanother one's\n%%EOF\n"
MINE = {"mthds_contents": [DOCUMENT], "inputs": {"name": {"path": "paper.pdf"}}}


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    with temporal_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


def server_of(deployment: Deployment) -> McpClient:
    """A server in whose workspace is the document of the first run."""
    workspace = deployment.home / "workspace"
    workspace.mkdir(exist_ok=True)
    (workspace / "paper.pdf").write_bytes(SECRET)
    return deployment.server()


def asks_for(run_id: str, document: Json, mode: str = "temporal") -> RunRequest:
    return request(mode, MethodSource(mthds_contents=[DOCUMENT]), {"name": document}, run_id)


def start_by_hand(deployment: Deployment, run: RunRequest) -> None:
    async def begin() -> None:
        client = await Client.connect(deployment.address, runtime=RUNTIME)
        queue = str(deployment.settings["task_queue"])
        await start_workflow(client, queue, run.run_id, [order_of(run)], memo_of(run))

    asyncio.run(begin())


def files_of(client: McpClient, run_id: str) -> list[bytes]:
    """The contents of the files that a run has, by its resources."""
    (listed,) = client.mcp("resources/read", {"uri": f"mthds://runs/{run_id}/artifacts"})["contents"]
    contents = [client.mcp("resources/read", {"uri": file["uri"]})["contents"] for file in json.loads(listed["text"])]
    return [b64decode(content["blob"]) for (content,) in contents]


def url_in(output: Json) -> str:
    return str(output["text"]).removeprefix("Hello ")


@pytest.mark.parametrize("has_store", [True, False], ids=["artifact store", "no store"])
def test_a_run_with_the_id_of_an_earlier_one_meets_neither_its_files_nor_its_outcome(
    temporal: TemporalServer, tmp_path: Path, has_store: bool
) -> None:
    settings = {"artifact_store": str(tmp_path / "store")} if has_store else {}
    here = Deployment(tmp_path / "home", temporal.address, **settings)
    elsewhere, run_id = here.elsewhere(tmp_path / "elsewhere"), new_id()
    with server_of(here) as client, here.worker():
        wait_for_a_worker(client)
        url = url_in(client.result("execute", {**MINE, "run_id": run_id})["output"])
        firsts = files_of(client, run_id)
        theirs = {"execution": url.split("/")[-3]}
        start_by_hand(here, asks_for(run_id, {"url": url}).model_copy(update=theirs))
        theft = client.call("runs/result", {"run_id": run_id, **WAIT})
        stolen = files_of(client, run_id)
        document = {"url": f"data:application/pdf;base64,{b64encode(OTHER).decode()}"}
        start_by_hand(here, asks_for(run_id, document))
        output = output_of(client, run_id)
        own = files_of(client, run_id)
        with server_of(elsewhere) as reader:
            output_of(reader, run_id)
            fetched = files_of(reader, run_id)

    assert firsts == [SECRET]
    assert (code_of(theft), stolen) == ("security.input_url_refused", [])
    assert url_in(output) != url
    assert own == [OTHER]
    assert fetched == ([OTHER] if has_store else [])


@pytest.mark.parametrize("mode", ["dbos", "direct", "another"])
def test_a_request_that_names_another_mode_opens_no_files_of_that_mode(
    temporal: TemporalServer, tmp_path: Path, mode: str
) -> None:
    here, run_id = Deployment(tmp_path / "home", temporal.address), new_id()
    with server_of(here) as client, here.worker():
        wait_for_a_worker(client)
        start_by_hand(here, asks_for(run_id, {"url": "https://example.org/paper.pdf"}, mode))
        answer = client.call("runs/result", {"run_id": run_id, **WAIT})

    assert code_of(answer) == "request.idempotency_conflict"


def test_every_attempt_of_a_run_and_its_readers_have_one_folder_of_files(
    temporal: TemporalServer, tmp_path: Path
) -> None:
    here = Deployment(tmp_path / "home", temporal.address, retry_pause_s=0.1, heartbeat_timeout_s=1.0, heartbeat_s=0.2)
    order = Order("until", tmp_path / "order")
    files = order.params()["files"]
    files["main.mthds"] = files["main.mthds"].replace('word = "Text"', 'word = "Text", name = "Document"')
    with server_of(here) as client:
        with here.worker() as killed:
            run_id = start(client, {"files": files, "inputs": {**order.inputs, "name": {"path": "paper.pdf"}}})
            until(lambda: order.has_begun, "the first attempt")
            killed.process.kill()
        with here.worker():
            until(lambda: order.times_begun == 2, "the second attempt")
            order.let_go()
            output_of(client, run_id)
            attempt = client.result("runs/get", {"run_id": run_id})["attempt"]
            files_there = files_of(client, run_id)

    folders = list((here.home / "state" / "mthds-rpc" / "artifacts" / "_temporal" / run_id).iterdir())
    assert attempt == 2
    assert files_there == [SECRET, SECRET]
    assert len(folders) == 1


def test_a_run_that_is_reset_keeps_its_files(temporal: TemporalServer, tmp_path: Path) -> None:
    here = Deployment(tmp_path / "home", temporal.address)
    with server_of(here) as client, here.worker():
        wait_for_a_worker(client)
        url = url_in(client.result("execute", {**MINE, "run_id": "reset"})["output"])
        temporal.command("workflow", "reset", "-w", "reset", "--type", "FirstWorkflowTask", "--reason", "a test")
        again = url_in(output_of(client, "reset"))
        files = files_of(client, "reset")

    assert again.rpartition("/")[0] == url.rpartition("/")[0]
    assert files == [SECRET, SECRET]
