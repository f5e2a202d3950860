"""A secret of the environment is masked wherever a server shows what became of a run, in `direct` as elsewhere."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bundles import GREETING, python_method
from tests.support.mcp_client import McpClient, serve_mcp

KEY = "sk-echoed-0123456789"
LEAK = """\
    import os
    print("x" * 65_530 + os.environ["ECHOED_API_KEY"])
    raise SystemExit("refused: " + os.environ["ECHOED_API_KEY"])"""
RUN = "leaks"
TOKEN = {"progressToken": "t"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    """A server that has run a method which prints the key, and then fails with it."""
    home = tmp_path_factory.mktemp("home")
    with serve_mcp(home, "--allow-python", env={"ECHOED_API_KEY": KEY}) as client:
        client.error("execute", {**_files(python_method(LEAK)), "inputs": {"word": "x"}, "run_id": RUN, "_meta": TOKEN})
        client.initialize()
        yield client
    assert KEY not in client.stderr
    assert "x" * 65_000 in client.stderr
    assert "[redacted]" in client.stderr


def _files(method: Any) -> dict[str, Any]:
    return {"files": method.model_dump(mode="json")["files"]}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("runs/get", {"run_id": RUN}),
        ("runs/list", {}),
        ("resources/read", {"uri": f"mthds://runs/{RUN}"}),
        ("resources/read", {"uri": f"mthds://runs/{RUN}/events"}),
        ("resources/read", {"uri": f"mthds://runs/{RUN}/picture"}),
        ("tools/call", {"name": "run_status", "arguments": {"run_id": RUN}}),
        ("tools/call", {"name": "list_runs", "arguments": {}}),
        ("tools/call", {"name": "run_result", "arguments": {"run_id": RUN}}),
        ("tasks/get", {"taskId": RUN}),
        ("tasks/list", {}),
        ("tasks/result", {"taskId": RUN}),
    ],
)
def test_a_runs_problem_is_masked_wherever_it_is_shown(client: McpClient, method: str, params: dict[str, Any]) -> None:
    shown = json.dumps(client.result(method, params))

    assert "refused: [redacted]" in shown
    assert KEY not in shown


def test_the_progress_of_a_followed_run_is_masked(client: McpClient) -> None:
    client.result("runs/watch", {"run_id": RUN, "_meta": {"progressToken": "watch"}})

    told = json.dumps(client.received("notifications/progress"))
    assert "refused: [redacted]" in told
    assert KEY not in told


def test_a_verdict_is_masked(client: McpClient) -> None:
    bundle = GREETING.replace('output = "Text"', f'output = "{KEY}"')

    verdict = json.dumps(client.result("validate", {"mthds_contents": [bundle]}))

    assert "[redacted]" in verdict
    assert KEY not in verdict
