"""The tools, as a host calls them in each revision: results, failures, budgets, progress, logs, cancellation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.ledgers import until
from tests.support.mcp_client import McpClient, envelope, serve_mcp, text_of
from tests.support.mcp_methods import Gate, failing, greeting, large, sequence
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN

BOTH_ERAS = pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])
INLINE = 9_000
PIPES = ("chain.all", "chain.one", "chain.two", "chain.three")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    home = tmp_path_factory.mktemp("home")
    (home / "workspace").mkdir()
    (home / "workspace" / "greet.mthds").write_text(GREETING)
    with serve_mcp(home, "--allow-python") as client:
        client.tools()
        yield client


def progress_of(client: McpClient, token: Any) -> list[dict[str, Any]]:
    return [params for params in client.received("notifications/progress") if params["progressToken"] == token]


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
def test_a_method_is_run_by_its_path(client: McpClient, version: str) -> None:
    client.speak(version)

    result = client.tool("execute", {"method": "greet.mthds", "inputs": {"name": "Ann"}})

    assert result["isError"] is False
    assert result["structuredContent"]["output"] == {"text": "Hello Ann"}
    assert result["structuredContent"]["state"] == "COMPLETED"


def test_the_text_says_the_same_as_the_structured_content(client: McpClient) -> None:
    result = client.tool("execute", greeting())

    assert json.loads(text_of(result)) == result["structuredContent"]


@BOTH_ERAS
def test_a_run_that_failed_is_a_result_that_says_what_to_do_next(client: McpClient, version: str) -> None:
    client.speak(version)

    result = client.tool("execute", failing())

    problem = result["structuredContent"]["problem"]
    assert result["isError"] is True
    assert problem["code"].startswith(("run.", "pipe.", "method."))
    assert problem["detail"] in text_of(result)
    assert f"Next step: {problem['next_step']['detail']}" in text_of(result)


def test_a_missing_input_is_named_with_the_next_step(client: McpClient) -> None:
    result = client.tool("execute", {"method": "greet.mthds", "inputs": {}})

    assert result["isError"] is True
    assert result["structuredContent"]["problem"]["code"] == "input.missing"
    assert "name" in text_of(result)


@pytest.mark.parametrize(
    "arguments",
    [
        {**greeting(), "inputs": json.dumps({"name": "Ann"})},
        {**greeting(), "files": json.dumps(greeting()["files"])},
        {**greeting(), "inputs": json.dumps({"name": "Ann"}), "include": json.dumps(["usage"])},
    ],
)
def test_an_object_or_array_may_come_as_json_text(client: McpClient, arguments: dict[str, Any]) -> None:
    result = client.tool("execute", arguments, as_sent=True)

    assert result["structuredContent"]["output"] == {"text": "Hello Ann"}


def test_all_arguments_may_come_as_one_json_text(client: McpClient) -> None:
    result = client.mcp("tools/call", {"name": "execute", "arguments": json.dumps(greeting())})

    assert result["structuredContent"]["output"] == {"text": "Hello Ann"}


def test_a_text_input_that_looks_like_json_stays_a_text(client: McpClient) -> None:
    result = client.tool("execute", greeting('{"first": "Ann"}'))

    assert result["structuredContent"]["output"] == {"text": 'Hello {"first": "Ann"}'}


def test_a_verdict_lists_each_fault_with_its_place(client: McpClient) -> None:
    broken = GREETING.replace('output = "Text"', 'output = "Txet"')

    good = client.tool("validate", {"method": "greet.mthds"})
    bad = client.tool("validate", {"files": {"main.mthds": broken}})

    assert good["structuredContent"]["is_valid"] is True
    assert bad["isError"] is False
    assert bad["structuredContent"]["is_valid"] is False
    (fault,) = bad["structuredContent"]["errors"]
    assert (fault["location"]["file"], fault["location"]["line"]) == ("main.mthds", 9)


def test_methods_and_their_inputs_can_be_looked_up(client: McpClient) -> None:
    listed = client.tool("list_methods")["structuredContent"]
    template = client.tool("inputs_template", {"method": "greet.mthds"})["structuredContent"]

    assert [method["path"] for method in listed["methods"]] == ["greet.mthds"]
    assert "name" in template["json"]


@BOTH_ERAS
def test_runs_can_be_looked_up_whoever_ran_them(client: McpClient, version: str) -> None:
    client.speak(version)
    run_id = client.result("execute", greeting())["pipeline_run_id"]

    status = client.tool("run_status", {"run_id": run_id})["structuredContent"]
    result = client.tool("run_result", {"run_id": run_id})["structuredContent"]
    listed = client.tool("list_runs", {"state": "COMPLETED"})["structuredContent"]

    assert status["state"] == "COMPLETED"
    assert status["next_call"] == {"tool": "run_result", "arguments": {"run_id": run_id}}
    assert result["output"] == {"text": "Hello Ann"}
    assert run_id in [run["pipeline_run_id"] for run in listed["runs"]]


@BOTH_ERAS
def test_an_output_beyond_the_inline_budget_is_left_out_and_linked(client: McpClient, version: str) -> None:
    client.speak(version)

    result = client.tool("execute", large(50_000))

    structured = result["structuredContent"]
    (link,) = [part for part in result["content"] if part["type"] == "resource_link"]
    assert "output" not in structured
    assert "output" in structured["left_out"]
    assert structured["output_preview"]
    assert structured["resource"] == link["uri"]
    assert len(json.dumps(structured).encode()) <= INLINE
    assert len(text_of(result).encode()) <= INLINE
    (whole,) = client.mcp("resources/read", {"uri": link["uri"]})["contents"]
    assert json.loads(whole["text"]) == {"text": "x" * 50_000}


def test_a_revision_without_links_is_told_the_resource_all_the_same(client: McpClient) -> None:
    client.speak("2025-03-26")

    result = client.tool("execute", large(50_000))

    assert [part["type"] for part in result["content"]] == ["text"]
    assert result["structuredContent"]["resource"] in text_of(result)


def test_every_answer_keeps_to_the_inline_budget(client: McpClient) -> None:
    faults = "\n".join(
        f'[pipe.p{number}]\ntype = "PipeCompose"\ndescription = "d"\noutput = "Nope{number}"\ntemplate = "x"'
        for number in range(200)
    )
    many = {"files": {"main.mthds": f'domain = "many"\nmain_pipe = "p0"\n{faults}'}}

    verdict = client.tool("validate", many)
    refused = client.tool("execute", {**many, "inputs": {}})

    assert verdict["structuredContent"]["errors"]
    assert "left_out" in verdict["structuredContent"]
    for result in (verdict, refused):
        assert len(text_of(result).encode()) <= INLINE
        assert len(json.dumps(result["structuredContent"]).encode()) <= INLINE + 500


@BOTH_ERAS
def test_a_run_longer_than_the_caller_waits_is_no_error_and_goes_on(
    client: McpClient, version: str, tmp_path: Path
) -> None:
    client.speak(version)
    gate = Gate(tmp_path)

    answer = client.tool("execute", gate.method(wait_s=0.05))
    gate.open()
    structured = answer["structuredContent"]
    result = client.tool(structured["next_call"]["tool"], structured["next_call"]["arguments"])

    assert answer["isError"] is False
    assert structured["state"] in ("QUEUED", "RUNNING")
    assert structured["pipeline_run_id"] in text_of(answer)
    assert "run_result" in text_of(answer)
    assert result["structuredContent"]["output"] == {"text": "through"}


def test_a_caller_without_progress_waits_no_longer_than_the_configured_budget(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serve_mcp(tmp_path, "--allow-python", settings="[rpc.mcp]\nwait_s = 0.05\n") as client:
        client.tools()
        brief = client.tool("execute", gate.method())
        patient = client.ask_tool("execute", gate.method(), progress_token="p")
        client.message(lambda message: message.get("params", {}).get("progressToken") == "p")
        gate.open()

        assert brief["structuredContent"]["next_call"]["tool"] == "run_result"
        assert client.result_of(patient)["structuredContent"]["output"] == {"text": "through"}


def test_a_run_that_is_waited_for_in_vain_says_to_call_again(client: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    run_id = client.tool("execute", gate.method(wait_s=0.05))["structuredContent"]["pipeline_run_id"]

    waited = client.tool("run_result", {"run_id": run_id, "wait_s": 0.05})
    gate.open()

    assert waited["isError"] is False
    assert waited["structuredContent"]["next_call"]["arguments"]["run_id"] == run_id
    assert client.tool("run_result", {"run_id": run_id, "wait_s": 50})["structuredContent"]["state"] == "COMPLETED"


def test_a_run_can_be_stopped_by_its_id(client: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    run_id = client.tool("execute", gate.method(wait_s=0.05))["structuredContent"]["pipeline_run_id"]

    stopped = client.tool("cancel_run", {"run_id": run_id})
    result = client.tool("run_result", {"run_id": run_id, "wait_s": 50})

    assert stopped["isError"] is False
    assert result["isError"] is True
    assert result["structuredContent"]["problem"]["code"] == "run.cancelled"


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
def test_progress_names_the_pipe_and_the_step_it_is(client: McpClient, version: str) -> None:
    client.speak(version)
    token = f"steps-{version}"

    client.tool("execute", sequence(), progress_token=token)

    seen = progress_of(client, token)
    begun = [params["message"] for params in seen if " started (" in params["message"]]
    assert begun == [f"{pipe} started (step {number} of 4)" for number, pipe in enumerate(PIPES, 1)]
    assert (seen[-1]["progress"], seen[-1]["total"]) == (4, 4)
    assert [params["progress"] for params in seen] == sorted({params["progress"] for params in seen})
    assert all("data" not in params for params in seen)


def test_nobody_is_shown_progress_who_did_not_ask(client: McpClient) -> None:
    before = len(client.notifications)

    client.tool("execute", sequence())

    assert len(client.notifications) == before


@pytest.mark.parametrize("token", [0, -1, "", "1", 1])
def test_a_progress_token_is_given_back_as_it_is(client: McpClient, token: Any) -> None:
    before = len(client.received("notifications/progress"))

    client.tool("execute", sequence(), progress_token=token)

    seen = client.received("notifications/progress")[before:]
    assert {json.dumps(params["progressToken"]) for params in seen} == {json.dumps(token)}


@BOTH_ERAS
def test_a_cancelled_call_is_never_answered_and_its_run_stops(client: McpClient, version: str, tmp_path: Path) -> None:
    client.speak(version)
    gate = Gate(tmp_path)
    run_id = f"cancelled-{version}"

    asked = client.ask_tool("execute", gate.method(run_id=run_id), progress_token=run_id)
    until(gate.begun.exists, "the run to begin")
    client.notify("notifications/cancelled", {"requestId": asked, "reason": "the user has left"})
    ended = client.tool("run_result", {"run_id": run_id, "wait_s": 50})

    assert ended["structuredContent"]["problem"]["code"] == "run.cancelled"
    heard = len(progress_of(client, run_id))
    client.mcp("prompts/list")
    assert len(progress_of(client, run_id)) == heard
    assert [message for message in client.messages if isinstance(message, dict) and message.get("id") == asked] == []


def test_a_cancelled_plain_call_beside_it_is_answered(client: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)

    asked = client.request("execute", gate.method())
    until(gate.begun.exists, "the run to begin")
    client.notify("notifications/cancelled", {"requestId": asked})

    assert client.answer(asked)["error"]["code"] == -32800


def test_a_slow_call_delays_no_other(client: McpClient, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    slow = client.ask_tool("execute", gate.method())
    until(gate.begun.exists, "the run to begin")

    quick = client.tool("list_methods")
    gate.open()

    assert quick["isError"] is False
    assert client.result_of(slow)["structuredContent"]["output"] == {"text": "through"}


def test_logs_come_from_the_level_on_that_a_legacy_client_has_set(tmp_path: Path) -> None:
    with serve_mcp(tmp_path) as client:
        client.speak(LATEST_LEGACY)
        client.tool("execute", sequence())
        unasked = client.received("notifications/message")
        client.mcp("logging/setLevel", {"level": "info"})
        client.tool("execute", sequence())
        informed = client.received("notifications/message")
        client.mcp("logging/setLevel", {"level": "error"})
        client.tool("execute", sequence())

        assert unasked == []
        assert {params["level"] for params in informed} == {"info"}
        assert {params["data"]["pipe"] for params in informed if "pipe" in params["data"]} == set(PIPES)
        assert client.received("notifications/message") == informed


def test_logs_come_with_the_very_request_that_asks_for_them(client: McpClient) -> None:
    before = len(client.received("notifications/message"))

    client.tool("execute", sequence(), log_level="debug")
    logged = client.received("notifications/message")
    client.tool("execute", sequence())
    client.tool("execute", sequence(), log_level="warning")

    assert {params["level"] for params in logged[before:]} == {"debug", "info"}
    assert client.received("notifications/message") == logged


def test_a_failed_pipe_is_logged_as_an_error(client: McpClient) -> None:
    before = len(client.received("notifications/message"))

    client.tool("execute", failing(), log_level="error")

    assert {params["level"] for params in client.received("notifications/message")[before:]} == {"error"}


def test_calls_that_are_under_way_when_the_input_ends_are_still_answered(tmp_path: Path) -> None:
    with serve_mcp(tmp_path) as client:
        asked = [client.request("tools/call", envelope({"name": "execute", "arguments": greeting()})) for _ in range(5)]
        client.close_stdin()

        outputs = [client.result_of(one)["structuredContent"]["output"] for one in asked]
        assert outputs == [{"text": "Hello Ann"}] * 5
        assert client.wait() == 0


def test_a_new_handshake_forgets_what_the_last_one_asked_for(tmp_path: Path) -> None:
    with serve_mcp(tmp_path) as client:
        client.speak(LATEST_LEGACY)
        client.mcp("logging/setLevel", {"level": "debug"})
        client.speak(LATEST_LEGACY)
        client.tool("execute", greeting())

        assert client.received("notifications/message") == []


def test_a_server_that_is_killed_right_after_the_probe_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    for _ in range(3):
        with serve_mcp(tmp_path, allow_unanswered=True) as probed:
            probed.mcp("server/discover")
            probed.process.kill()

    with serve_mcp(tmp_path) as client:
        assert client.initialize()["protocolVersion"] == LATEST_LEGACY
        assert client.tool("execute", greeting())["isError"] is False
