"""The official TypeScript SDKs' clients drive the real server: the older one, and the newer one in both eras.

`typescript_sdk.mjs` goes through all that a host does, once; each test looks at a part of what it saw.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.spawned import server_in
from tests.support.mcp_schemas import LATEST_LEGACY, MODERN
from tests.support.node import node_command

SCRIPT = Path(__file__).with_name("typescript_sdk.mjs")

Seen = dict[str, Any]


@pytest.fixture(
    scope="module",
    params=[("sdk", "legacy"), ("client", "legacy"), ("client", "modern")],
    ids=["older SDK", "newer SDK, legacy", "newer SDK, modern"],
)
def host(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Which library, in which era."""
    library, era = request.param
    return library, era


@pytest.fixture(scope="module")
def seen(host: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What the host saw."""
    spawned = server_in(tmp_path_factory.mktemp("home"))
    command = node_command(SCRIPT, *host, spawned.as_json)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=spawned.env)
    assert ended.returncode == 0, ended.stderr
    found: Seen = json.loads(ended.stdout)
    return found


def output_of(result: Seen) -> Any:
    assert not result["isError"], result["content"]
    return result["structuredContent"]["output"]


def test_it_connects_and_learns_what_the_server_is_for(host: tuple[str, str], seen: Seen) -> None:
    library, era = host

    assert seen["server"]["name"] == "mthds-rpc"
    assert "list_methods" in seen["instructions"]
    if library == "client":
        assert seen["version"] == (MODERN if era == "modern" else LATEST_LEGACY)


def test_it_takes_the_whole_list_of_tools(seen: Seen) -> None:
    names = [tool["name"] for tool in seen["tools"]]

    assert {"execute", "start", "validate", "run_status", "run_result", "cancel_run"} <= set(names)
    assert [name for name in names if "greet" in name]


def test_it_runs_a_method_by_its_path_and_is_shown_every_step(seen: Seen) -> None:
    progress = [step["progress"] for step in seen["steps"]]

    assert output_of(seen["run"]) == {"text": "hey!!!"}
    assert progress == sorted(set(progress))
    assert "chain.two started (step 3 of 4)" in [step["message"] for step in seen["steps"]]


def test_a_method_of_the_workspace_is_a_tool_with_its_own_inputs(seen: Seen) -> None:
    assert output_of(seen["method"]) == {"text": "Hello Ann"}


def test_it_takes_a_failed_run_as_a_result_with_the_next_step(seen: Seen) -> None:
    assert seen["failed"]["isError"] is True
    assert "Next step:" in seen["failed"]["content"][0]["text"]
    assert seen["failed"]["structuredContent"]["problem"]["code"] == "input.missing"


def test_it_takes_a_verdict(seen: Seen) -> None:
    assert seen["verdict"]["structuredContent"]["is_valid"] is True


def test_it_is_told_of_what_there_is_not(host: tuple[str, str], seen: Seen) -> None:
    assert seen["unknown"]["code"] == -32602
    # The newer SDK gives its caller the newer code in both eras.
    assert seen["absent"]["code"] == (-32002 if host[0] == "sdk" else -32602)


def test_it_reads_resources_and_completes_names(seen: Seen) -> None:
    assert "mthds://methods/greet.mthds" in seen["resources"]
    assert "mthds://runs/{id}" in seen["templates"]
    assert "Hello {{ name }}" in seen["source"]
    assert seen["completed"] == ["greet.mthds"]


def test_it_gets_a_prompt(seen: Seen) -> None:
    assert "greet.mthds" in seen["prompt"][0]["content"]["text"]


def test_a_call_that_it_gives_up_stops_the_run(seen: Seen) -> None:
    assert seen["givenUp"]["error"] is not None
    assert seen["givenUp"]["ended"]["structuredContent"]["problem"]["code"] == "run.cancelled"


@pytest.mark.parametrize("host", [("sdk", "legacy")], ids=["older SDK"], indirect=True)
def test_it_follows_a_task_to_its_result(seen: Seen) -> None:
    # Only the older SDK offers tasks.
    assert (seen["task"]["kinds"][0], seen["task"]["kinds"][-1]) == ("taskCreated", "result")
    assert output_of(seen["task"]["result"]) == {"text": "hey!!!"}


def test_it_hears_of_a_method_that_is_new(seen: Seen) -> None:
    assert [name for name in seen["changed"] if "again" in name]
