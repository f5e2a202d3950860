"""What `dbos` and `temporal` both promise of a run: a worker runs it, and every server and command finds it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING, SEQUENCE
from tests.support.cli import run_cli
from tests.support.client import RpcClient
from tests.support.deployments import MODES, Deployment, deployments
from tests.support.durable import WAIT, code_of, events_of, greeting, new_id, output_of, progress_of, start
from tests.support.ledgers import Order, until, worker_process
from tests.support.mcp_client import TAKES_TASKS, McpClient
from tests.support.mcp_methods import Gate

INVALID = GREETING.replace('output = "Text"', 'output = "Txet"')


@pytest.fixture(scope="module", params=MODES)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A home with a method in its workspace."""
    with deployments(request.param, tmp_path_factory.mktemp(request.param)) as deploy:
        deployed = deploy("home")
        (deployed.home / "workspace").mkdir()
        (deployed.home / "workspace" / "greet.mthds").write_text(GREETING)
        yield deployed


@pytest.fixture(scope="module")
def server(deployment: Deployment) -> Iterator[McpClient]:
    """One server, and a worker, for the tests that leave them as they were."""
    with deployment.server_and_worker() as client:
        yield client


@pytest.fixture(scope="module")
def second(deployment: Deployment, server: McpClient) -> Iterator[RpcClient]:
    """Another server beside it."""
    with deployment.server() as client:
        yield client


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order("until", tmp_path / "run")


def test_a_run_that_is_started_is_acknowledged_and_run_by_a_worker(deployment: Deployment, server: McpClient) -> None:
    ack = server.result("start", greeting())
    result = server.result("runs/result", {"run_id": ack["pipeline_run_id"], **WAIT})
    record = server.result("runs/get", {"run_id": ack["pipeline_run_id"]})

    assert (ack["orchestration_mode"], ack["state"], ack["worker_alive"]) == (deployment.mode, "QUEUED", True)
    assert result["output"] == {"text": "Hello Ann"}
    assert (record["state"], record["attempt"]) == ("COMPLETED", 1)
    assert ack["created_at"] == result["created_at"] == record["created_at"]


def test_execute_waits_for_its_run_and_sends_its_progress(deployment: Deployment, server: McpClient) -> None:
    params = {"mthds_contents": [SEQUENCE], "inputs": {"word": "hey"}, "_meta": {"progressToken": "execute"}}

    result = server.result("execute", params)

    events = progress_of(server, "execute")
    assert (result["output"], result["orchestration_mode"]) == ({"text": "hey!!!"}, deployment.mode)
    assert [event["seq"] for event in events] == list(range(1, 11))
    assert (events[0]["kind"], events[-1]["kind"]) == ("run_started", "run_ended")


def test_a_method_is_validated(server: McpClient) -> None:
    verdicts = [server.result("validate", {"mthds_contents": [text]}) for text in (GREETING, INVALID)]

    assert [verdict["is_valid"] for verdict in verdicts] == [True, False]


def test_an_invalid_method_is_refused_and_nothing_is_kept(server: McpClient) -> None:
    broken, missing = greeting(mthds_contents=[INVALID]), greeting(pipe_code="nowhere")

    refused = [code_of(server.error("start", params)) for params in (broken, missing)]

    assert refused == [(-31010, "method.invalid"), (-32602, "request.pipe_not_found")]
    for params in (broken, missing):
        assert code_of(server.error("runs/get", {"run_id": params["run_id"]})) == (-31050, "run.not_found")


def test_the_same_start_again_is_the_same_run_and_another_one_is_refused(server: McpClient) -> None:
    params = greeting()
    first = server.result("start", params)
    output_of(server, params["run_id"])

    again = server.result("start", params)
    error = server.error("start", {**params, "inputs": {"name": "Bob"}})

    assert (again["created_at"], again["state"]) == (first["created_at"], "COMPLETED")
    assert code_of(error) == (-32602, "request.idempotency_conflict")
    assert output_of(server, params["run_id"]) == {"text": "Hello Ann"}
    assert len(events_of(server, params["run_id"])) == 4


def test_many_starts_of_one_run_by_two_servers_at_once_are_one_run(
    deployment: Deployment, server: McpClient, second: RpcClient, order: Order
) -> None:
    params = order.params(run_id=new_id(), orchestration_mode=deployment.mode)
    order.let_go()

    calls = [(client, client.request("start", params)) for _ in range(10) for client in (server, second)]

    acks = [client.answer(call)["result"] for client, call in calls]
    outputs = [output_of(client, params["run_id"]) for client in (server, second)]
    assert len({ack["created_at"] for ack in acks}) == 1
    assert outputs == [{"text": "until"}] * 2
    assert order.times_begun == 1


def test_a_run_is_followed_and_read_by_a_second_server_at_the_same_time(
    deployment: Deployment, server: McpClient, second: RpcClient, order: Order
) -> None:
    ref = {"run_id": start(server, order.params()), "orchestration_mode": deployment.mode}

    watch = second.request("runs/watch", {**ref, "_meta": {"progressToken": "live"}})
    second.wait_until(lambda: len(progress_of(second, "live")) >= 2, "the run to begin")
    order.let_go()
    end = second.answer(watch)["result"]

    live = progress_of(second, "live")
    assert (end["state"], end["last_seq"]) == ("COMPLETED", 4)
    assert [event["kind"] for event in live] == ["run_started", "pipe_started", "pipe_completed", "run_ended"]
    assert [event["seq"] for event in live] == [1, 2, 3, 4]
    assert live == events_of(server, ref["run_id"])
    assert second.result("runs/result", ref) == server.result("runs/result", ref)


def test_a_wait_budget_that_is_spent_answers_with_what_to_call_next(server: McpClient, order: Order) -> None:
    result = server.result("execute", order.params(run_id=new_id(), wait_s=0.2))
    order.let_go()

    following = server.result(result["next_call"]["method"], result["next_call"]["params"])

    assert result["state"] in ("QUEUED", "RUNNING")
    assert following["pipeline_run_id"] == result["pipeline_run_id"]
    assert following["output"] == {"text": "until"}


def test_a_cancelled_execute_cancels_its_run(server: McpClient, order: Order) -> None:
    params = order.params(run_id=new_id())
    call = server.request("execute", params)
    until(lambda: order.has_begun, "the run to begin")

    server.notify("$/cancelRequest", {"id": call})

    assert server.answer(call)["error"]["code"] == -32800
    assert server.result("runs/get", {"run_id": params["run_id"]})["state"] == "CANCELLED"


def test_runs_of_two_servers_are_listed_by_state_and_method_and_page_by_page(
    deployment: Deployment, server: McpClient, second: RpcClient, order: Order
) -> None:
    asked = {"method": "greet.mthds", "inputs": {"name": "Ann"}, "orchestration_mode": deployment.mode}
    run_ids = [start(client, asked) for client in (server, second, server)]
    for run_id in run_ids:
        output_of(server, run_id)
    going = start(server, order.params())
    until(lambda: order.has_begun, "the run to begin")

    def listed(**params: Any) -> list[str]:
        runs = server.result("runs/list", {"orchestration_mode": deployment.mode, **params})["runs"]
        return [run["pipeline_run_id"] for run in runs]

    by_method = listed(method="greet.mthds", state="COMPLETED", limit=3)
    running = listed(state="RUNNING")
    first_page = server.result("runs/list", {"method": "greet.mthds", "limit": 2})
    second_page = listed(method="greet.mthds", limit=1, cursor=first_page["next_cursor"])
    order.let_go()
    output_of(server, going)

    assert by_method == run_ids[::-1]
    assert going in running
    assert not set(run_ids) & set(running)
    assert [*(run["pipeline_run_id"] for run in first_page["runs"]), *second_page] == by_method


def test_runs_are_listed_shown_followed_and_cancelled_from_the_command_line(
    deployment: Deployment, server: McpClient, order: Order
) -> None:
    done, going = start(server, greeting()), start(server, order.params())
    output_of(server, done)
    until(lambda: order.has_begun, "the run to begin")

    def runs(*arguments: str) -> Any:
        flags = ("--orchestration-mode", deployment.mode, *deployment.flags)
        return run_cli(deployment.home, "runs", *arguments, "--json", *flags)

    cancelled = runs("cancel", going)
    shown, watched = runs("show", done), runs("watch", done)
    listed = runs("list", "--state", "CANCELLED", "--limit", "1")

    assert [command.returncode for command in (cancelled, shown, watched, listed)] == [0, 0, 0, 0]
    assert json.loads(cancelled.stdout)["state"] == "CANCELLED"
    assert json.loads(shown.stdout) == server.result("runs/get", {"run_id": done})
    assert [json.loads(line) for line in watched.stdout.splitlines()] == events_of(server, done)
    assert [run["pipeline_run_id"] for run in json.loads(listed.stdout)["runs"]] == [going]
    assert [command.stderr for command in (cancelled, shown, watched, listed)] == [""] * 4


def test_mcp_tools_and_tasks_are_runs_of_the_mode(deployment: Deployment, server: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    name = next(name for name, tool in server.tools().items() if "Greet somebody" in tool.get("description", ""))

    executed = server.tool("execute", {"method": "greet.mthds", "inputs": {"name": "Ann"}})
    by_method = server.tool(name, {"name": "Bob"})
    task_id = server.tool("execute", gate.method(), capabilities=TAKES_TASKS)["taskId"]
    until(gate.begun.exists, "the task's run to begin")
    server.mcp("tasks/cancel", {"taskId": task_id}, capabilities=TAKES_TASKS)
    task = server.mcp("tasks/get", {"taskId": task_id}, capabilities=TAKES_TASKS)

    assert executed["structuredContent"]["output"] == {"text": "Hello Ann"}
    assert executed["structuredContent"]["orchestration_mode"] == deployment.mode
    assert by_method["structuredContent"]["output"] == {"text": "Hello Bob"}
    assert task["status"] == "cancelled"
    assert server.result("runs/get", {"run_id": task_id})["orchestration_mode"] == deployment.mode


@pytest.mark.parametrize("deployment", ["temporal"], indirect=True)
def test_one_server_runs_each_request_in_the_mode_that_it_names(deployment: Deployment, server: McpClient) -> None:
    with worker_process(deployment.home, mode="dbos") as worker:
        worker.wait_until_it_works()
        until(
            lambda: server.result("start", greeting(orchestration_mode="dbos"))["worker_alive"], "the worker of `dbos`"
        )
        runs = [greeting(orchestration_mode=mode) for mode in ("direct", "dbos", "temporal")]
        results = [server.result("execute", run) for run in runs]

    assert [result["orchestration_mode"] for result in results] == ["direct", "dbos", "temporal"]
    assert [result["output"] for result in results] == [{"text": "Hello Ann"}] * 3
