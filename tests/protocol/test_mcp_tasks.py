"""Tasks as far as they need no run: what is declared, and what is refused, in both eras."""

from collections.abc import Iterator

import pytest

from tests.support.connected import Connected, connected
from tests.support.mcp_client import TAKES_TASKS
from tests.support.mcp_schemas import LATEST_LEGACY

LATER = {"ttl": 600_000}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    with connected(tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest.fixture
def legacy(client: Connected) -> Connected:
    client.speak(LATEST_LEGACY)
    return client


def test_a_request_that_never_became_a_run_is_no_task(legacy: Connected) -> None:
    result = legacy.tool("execute", {"method": "nowhere.mthds", "inputs": {}}, task=LATER)

    assert "task" not in result
    assert result["isError"] is True


def test_a_list_of_tasks_refuses_a_cursor_that_is_none(legacy: Connected) -> None:
    assert legacy.mcp_error("tasks/list", {"cursor": "nowhere"})["code"] == -32602


@pytest.mark.parametrize("method", ["get", "result", "cancel"])
@pytest.mark.parametrize("task_id", ["unknown", "not an id", ""])
def test_a_task_that_there_is_not_is_refused(legacy: Connected, method: str, task_id: str) -> None:
    assert legacy.mcp_error(f"tasks/{method}", {"taskId": task_id})["code"] == -32602


def test_the_tools_that_run_methods_may_be_tasks(legacy: Connected) -> None:
    tools = legacy.tools()

    assert [tools[name]["execution"] for name in ("execute", "start")] == [{"taskSupport": "optional"}] * 2
    assert tools["validate"].get("execution", {}).get("taskSupport", "forbidden") == "forbidden"


def test_a_tool_that_cannot_be_a_task_is_refused_as_one(legacy: Connected) -> None:
    error = legacy.mcp_error("tools/call", {"name": "list_runs", "arguments": {}, "task": LATER})

    assert error["code"] == -32601


def test_the_modern_list_of_tools_says_nothing_of_tasks(client: Connected) -> None:
    assert [name for name, tool in client.tools().items() if "execution" in tool] == []


@pytest.mark.parametrize("method", ["get", "cancel", "update"])
def test_a_modern_task_that_there_is_not_is_refused(client: Connected, method: str) -> None:
    error = client.mcp_error(f"tasks/{method}", {"taskId": "unknown", "inputResponses": {}}, capabilities=TAKES_TASKS)

    assert error["code"] == -32602


def test_to_listen_for_tasks_the_client_must_take_them(client: Connected) -> None:
    error = client.mcp_error("subscriptions/listen", {"notifications": {"taskIds": ["x"]}})

    assert error["code"] == -32021
