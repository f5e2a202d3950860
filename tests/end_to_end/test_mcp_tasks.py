"""Runs as tasks: the form of 2025-11-25, and the extension of 2026-07-28. The id of a task is its run's id."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.mcp_client import TAKES_TASKS, McpClient, envelope, serve_mcp
from tests.support.mcp_methods import Gate, failing, greeting
from tests.support.mcp_schemas import LATEST_LEGACY, MODERN

LATER = {"ttl": 600_000}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    with serve_mcp(tmp_path_factory.mktemp("home"), "--allow-python") as client:
        client.tools()
        yield client


@pytest.fixture
def legacy(server: McpClient) -> Iterator[McpClient]:
    server.speak(LATEST_LEGACY)
    yield server
    assert server.spy.faults == []


@pytest.fixture
def modern(server: McpClient) -> Iterator[McpClient]:
    server.speak(MODERN)
    yield server
    assert server.spy.faults == []


def task(client: McpClient, method: str, task_id: str, **params: Any) -> Any:
    """What a `tasks/…` request answers to a client that takes tasks."""
    return client.mcp(f"tasks/{method}", {"taskId": task_id, **params}, capabilities=TAKES_TASKS)


def begun_task(client: McpClient, gate: Gate, **more: Any) -> str:
    """The id of a task that waits at its gate."""
    taking = {"task": LATER} if client.version == LATEST_LEGACY else {"capabilities": TAKES_TASKS}
    result = client.tool("execute", gate.method(), **taking, **more)
    return str(result.get("task", result)["taskId"])


def ended_task(client: McpClient, task_id: str) -> Any:
    """A modern task that has ended, told by the server itself."""
    listening = client.ask("subscriptions/listen", {"notifications": {"taskIds": [task_id]}}, capabilities=TAKES_TASKS)
    client.message(
        lambda message: (
            message.get("method") == "notifications/tasks"
            and message["params"]["taskId"] == task_id
            and message["params"]["status"] in ("completed", "failed", "cancelled")
        )
    )
    client.notify("notifications/cancelled", {"requestId": listening})
    return task(client, "get", task_id)


def test_a_call_that_asks_for_a_task_is_given_one_and_the_result_later(legacy: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)

    created = legacy.tool("execute", gate.method(), task=LATER)["task"]
    working = task(legacy, "get", created["taskId"])
    gate.open()
    result = task(legacy, "result", created["taskId"])

    assert (created["status"], working["status"]) == ("working", "working")
    assert result["structuredContent"]["output"] == {"text": "through"}
    assert result["structuredContent"]["pipeline_run_id"] == created["taskId"]
    assert task(legacy, "get", created["taskId"])["status"] == "completed"


def test_a_run_that_failed_is_a_task_that_failed(legacy: McpClient) -> None:
    task_id = legacy.tool("execute", failing(), task=LATER)["task"]["taskId"]

    result = task(legacy, "result", task_id)

    assert result["isError"] is True
    assert result["structuredContent"]["problem"]["code"] == "pipe.function_raised"
    assert task(legacy, "get", task_id)["status"] == "failed"


def test_a_task_is_cancelled_once(legacy: McpClient, tmp_path: Path) -> None:
    task_id = begun_task(legacy, Gate(tmp_path))

    cancelled = task(legacy, "cancel", task_id)
    again = legacy.mcp_error("tasks/cancel", {"taskId": task_id})

    assert cancelled["status"] == "cancelled"
    assert again["code"] == -32602
    assert task(legacy, "result", task_id)["isError"] is True


def test_tasks_are_listed_newest_first(legacy: McpClient) -> None:
    ids = [legacy.tool("execute", greeting(), task=LATER)["task"]["taskId"] for _ in range(3)]

    listed = [found["taskId"] for found in legacy.mcp("tasks/list")["tasks"]]

    assert listed[:3] == list(reversed(ids))


def test_an_older_revision_ignores_that_a_task_is_asked_for(server: McpClient) -> None:
    server.speak("2025-06-18")

    result = server.tool("execute", greeting(), task=LATER)

    assert result["structuredContent"]["output"] == {"text": "Hello Ann"}


def test_a_short_run_is_answered_at_once_although_the_client_takes_tasks(modern: McpClient) -> None:
    # On a busy machine even a short run may take long.
    answers = (modern.tool("execute", greeting(), capabilities=TAKES_TASKS) for _ in range(20))

    result = next(answer for answer in answers if answer["resultType"] == "complete")

    assert result["structuredContent"]["output"] == {"text": "Hello Ann"}


def test_a_long_run_becomes_a_task_that_holds_its_result_in_the_end(modern: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)

    created = modern.tool("execute", gate.method(), capabilities=TAKES_TASKS)
    working = task(modern, "get", created["taskId"])
    gate.open()
    ended = ended_task(modern, created["taskId"])

    assert (created["resultType"], created["status"]) == ("task", "working")
    assert (working["resultType"], working["status"]) == ("complete", "working")
    assert ended["status"] == "completed"
    assert ended["result"]["structuredContent"]["output"] == {"text": "through"}


def test_a_client_that_takes_no_tasks_waits_for_the_result(modern: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)

    asked = modern.ask_tool("execute", gate.method(), task=LATER)
    gate.open()

    assert modern.result_of(asked)["structuredContent"]["output"] == {"text": "through"}


def test_a_run_that_failed_is_a_modern_task_that_has_completed_with_an_error(modern: McpClient) -> None:
    run_id = modern.tool("execute", failing(run_id="failed-task"))["structuredContent"]["problem"]["pipeline_run_id"]

    found = task(modern, "get", run_id)

    assert found["status"] == "completed"
    assert found["result"]["isError"] is True
    assert found["result"]["structuredContent"]["problem"]["code"] == "pipe.function_raised"


def test_a_modern_task_may_be_cancelled_again(modern: McpClient, tmp_path: Path) -> None:
    task_id = begun_task(modern, Gate(tmp_path))

    cancelled = [task(modern, "cancel", task_id) for _ in range(2)]

    assert [set(answer) for answer in cancelled] == [{"resultType", "_meta"}] * 2
    assert task(modern, "get", task_id)["status"] == "cancelled"


def test_a_modern_task_takes_answers_that_nobody_asked_for(modern: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    task_id = begun_task(modern, gate)

    answer = task(modern, "update", task_id, inputResponses={"unknown": {"action": "accept"}})
    gate.open()

    assert answer["resultType"] == "complete"
    assert ended_task(modern, task_id)["status"] == "completed"


def test_a_client_that_listens_is_told_of_a_task_until_its_result(modern: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    task_id = begun_task(modern, gate)

    asked = modern.ask("subscriptions/listen", {"notifications": {"taskIds": [task_id]}}, capabilities=TAKES_TASKS)
    promised = modern.message(
        lambda message: (
            message.get("method") == "notifications/subscriptions/acknowledged"
            and message["params"]["notifications"].get("taskIds") == [task_id]
        )
    )
    gate.open()
    told = modern.message(
        lambda message: (
            message.get("method") == "notifications/tasks"
            and message["params"]["taskId"] == task_id
            and message["params"]["status"] == "completed"
        )
    )
    modern.notify("notifications/cancelled", {"requestId": asked})

    assert promised["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": asked}
    assert told["params"]["result"]["structuredContent"]["output"] == {"text": "through"}


def test_a_run_is_the_same_task_in_both_eras_and_on_the_plain_side(legacy: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    run_id = legacy.result("execute", gate.method(wait_s=0.05))["pipeline_run_id"]

    statuses = [
        task(legacy, "get", run_id)["status"],
        legacy.result("tasks/get", envelope({"taskId": run_id}, capabilities=TAKES_TASKS))["status"],
    ]
    gate.open()

    assert statuses == ["working", "working"]
    assert task(legacy, "result", run_id)["structuredContent"]["output"] == {"text": "through"}
    assert legacy.result("runs/get", {"run_id": run_id})["state"] == "COMPLETED"


@pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])
def test_a_durable_task_outlives_the_server_that_was_killed(tmp_path: Path, version: str) -> None:
    durable = ("--orchestration-mode", "dbos", "--allow-python")
    gate = Gate(tmp_path)
    with serve_mcp(tmp_path, *durable, allow_unanswered=True) as first:
        first.speak(version)
        taking: dict[str, Any] = {"task": LATER} if version == LATEST_LEGACY else {"capabilities": TAKES_TASKS}
        answer = first.tool("start", gate.method(), **taking)
        task_id = answer.get("task", answer)["taskId"]
        first.process.kill()

    gate.open()
    with serve_mcp(tmp_path, *durable) as second:
        second.speak(MODERN)
        ended = ended_task(second, task_id)

    assert ended["status"] == "completed"
    assert ended["result"]["structuredContent"]["output"] == {"text": "through"}
