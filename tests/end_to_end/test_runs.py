"""`execute`, `start` and `runs/*` on `direct`, through the real server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING, MODEL, SEQUENCE, python_method
from tests.support.client import RpcClient
from tests.support.ledgers import until
from tests.support.mthds_server import serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("home"), "--allow-python") as client:
        yield client


def greeting(name: str = "Ann", **more: Any) -> dict[str, Any]:
    return {"mthds_contents": [GREETING], "inputs": {"name": name}, **more}


def waiting(flag: Path) -> dict[str, Any]:
    """A run that says that it has begun, then waits until it is cancelled."""
    body = "    import asyncio\n    open(word, 'w').close()\n    await asyncio.sleep(3600)"
    source = python_method(body, is_async=True)
    return {"files": source.model_dump()["files"], "inputs": {"word": str(flag)}}


def test_a_document_among_the_inputs_is_kept_where_only_its_user_can_read_it(tmp_path: Path) -> None:
    bundle = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "paper.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    params = {
        "mthds_contents": [bundle],
        "inputs": {"name": {"path": "paper.pdf"}},
        "include": ["working_memory"],
        "run_id": "doc",
    }

    previous = os.umask(0o000)
    try:
        with serve(tmp_path) as client:
            result = client.result("execute", params)
    finally:
        os.umask(previous)

    reference = result["pipe_output"]["working_memory"]["root"]["name"]["content"]["public_url"]
    kept = Path(reference.removeprefix("file://"))
    assert kept.read_bytes() == b"%PDF-1.4\n%%EOF\n"
    made = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
    assert kept in made
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_execute_answers_the_main_output_alone_with_times_and_usage(server: RpcClient) -> None:
    result = server.result("execute", greeting())

    assert result["output"] == {"text": "Hello Ann"}
    assert result["state"] == "COMPLETED"
    assert result["concept"] == "native.Text"
    assert result["usage"] == {"models": [], "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    assert result["created_at"] < result["finished_at"]
    assert not {"graph", "pipe_output"} & result.keys()


def test_params_may_be_given_by_position(server: RpcClient) -> None:
    files = {"main.mthds": GREETING}
    positional = [files, None, None, None, None, None, {"name": "Ann"}]

    assert server.result("execute", positional)["output"] == {"text": "Hello Ann"}


def test_what_is_asked_to_be_included_is(server: RpcClient) -> None:
    result = server.result("execute", greeting(include=["graph", "usage", "working_memory"]))

    assert result["graph"]["nodes"]
    assert result["usage"]["calls"] == []
    assert result["pipe_output"]["working_memory"]["root"]["name"]["content"] == {"text": "Ann"}


def test_a_method_given_as_files_starts_at_its_entry_pipe(server: RpcClient) -> None:
    files = {"a.mthds": SEQUENCE}

    assert server.result("execute", {"files": files, "inputs": {"word": "hey"}})["output"] == {"text": "hey!!!"}


def test_a_method_with_python_is_run_dry_run_and_judged_in_any_order(server: RpcClient) -> None:
    files = python_method("    return TextContent(text=word)", module="any_order").model_dump()["files"]
    run = {"files": files, "inputs": {"word": "x"}}

    verdicts = [server.request("validate", {"files": files}) for _ in range(2)]
    outputs = [server.result("execute", {**run, "run_mode": mode})["output"] for mode in ("live", "dry", "live")]
    verdicts += [server.request("validate", {"files": files})]

    assert [outputs[0], outputs[2]] == [{"text": "x"}] * 2
    assert [server.answer(verdict)["result"]["is_valid"] for verdict in verdicts] == [True] * 3


def test_a_pipe_may_be_chosen(server: RpcClient) -> None:
    params = {"mthds_contents": [SEQUENCE], "pipe_code": "one", "inputs": {"word": "hey"}}

    assert server.result("execute", params)["output"] == {"text": "hey!"}


def test_a_pipe_that_is_not_there_is_refused(server: RpcClient) -> None:
    error = server.error("execute", greeting(pipe_code="nowhere"))

    assert (error["code"], error["data"]["code"]) == (-32602, "request.pipe_not_found")


def test_a_missing_input_is_named(server: RpcClient) -> None:
    error = server.error("execute", {"mthds_contents": [GREETING], "inputs": {}})

    assert (error["code"], error["data"]["code"]) == (-32602, "input.missing")
    assert "name" in error["message"]


def test_an_invalid_method_is_refused_with_the_place_of_each_fault(server: RpcClient) -> None:
    broken = GREETING.replace('output = "Text"', 'output = "Txet"')

    error = server.error("execute", {"files": {"main.mthds": broken}, "inputs": {"name": "Ann"}})

    assert (error["code"], error["data"]["code"]) == (-31010, "method.invalid")
    (fault,) = error["data"]["errors"]
    assert fault["location"]["file"] == "main.mthds"
    assert fault["location"]["range"]["start"] == {"line": 8, "character": 10}


def test_an_input_cannot_smuggle_a_class_in(server: RpcClient) -> None:
    error = server.error("execute", greeting({"__class__": "Popen", "__module__": "subprocess"}))  # type: ignore[arg-type]

    assert error["data"]["code"] == "request.invalid"


def test_a_file_of_the_host_cannot_be_read_through_an_input(server: RpcClient) -> None:
    bundle = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
    params = {"mthds_contents": [bundle], "inputs": {"name": {"url": "/etc/hostname"}}}

    error = server.error("execute", params)

    assert (error["code"], error["data"]["code"]) == (-31060, "security.input_url_refused")


def test_a_live_run_without_a_key_names_the_variable_and_offers_a_dry_run(server: RpcClient) -> None:
    error = server.error("execute", {"mthds_contents": [MODEL], "inputs": {"question": "Why?"}})

    assert (error["code"], error["data"]["code"]) == (-31030, "model.unavailable")
    assert "_API_KEY" in error["message"]
    assert "dry" in error["data"]["next_step"]["detail"]


def test_a_dry_run_needs_no_key(server: RpcClient) -> None:
    params = {"mthds_contents": [MODEL], "inputs": {"question": "Why?"}, "run_mode": "dry"}

    result = server.result("execute", params)

    assert result["run_mode"] == "dry"
    assert "DRY RUN" in result["output"]["text"]


def test_progress_tells_of_every_pipe_in_order_and_stops_before_the_answer(server: RpcClient) -> None:
    params = {"mthds_contents": [SEQUENCE], "inputs": {"word": "hey"}, "_meta": {"progressToken": "steps"}}

    server.result("execute", params)

    mine = [note["params"] for note in server.notifications if note["params"]["progressToken"] == "steps"]
    kinds = [note["data"]["kind"] for note in mine]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_ended"
    assert kinds.count("pipe_started") == kinds.count("pipe_completed") == 4
    assert [note["progress"] for note in mine] == sorted({note["progress"] for note in mine})


def test_a_cancelled_call_is_answered_as_cancelled(server: RpcClient, tmp_path: Path) -> None:
    call = server.request("execute", waiting(tmp_path / "begun"))
    until((tmp_path / "begun").exists, "the run to begin")

    server.notify("$/cancelRequest", {"id": call})

    assert server.answer(call)["error"]["code"] == -32800


def test_a_run_past_its_timeout_says_so(server: RpcClient, tmp_path: Path) -> None:
    error = server.error("execute", {**waiting(tmp_path / "begun"), "timeout_s": 0.5})

    assert (error["code"], error["data"]["code"]) == (-31050, "run.timed_out")


def test_a_timeout_past_the_servers_limit_is_refused(server: RpcClient) -> None:
    error = server.error("execute", greeting(timeout_s=10_000_000))

    assert error["code"] == -32602
    assert "86400" in error["message"]


def test_a_wait_budget_that_is_spent_answers_with_what_to_call_next(server: RpcClient, tmp_path: Path) -> None:
    result = server.result("execute", {**waiting(tmp_path / "begun"), "wait_s": 0.2, "run_id": "budget"})

    assert result["state"] == "RUNNING"
    assert result["next_call"]["method"] == "runs/result"
    assert server.result("runs/get", {"run_id": "budget"})["state"] == "RUNNING"
    assert server.error("runs/result", {"run_id": "budget"})["data"]["code"] == "run.not_finished"
    assert server.result("runs/cancel", {"run_id": "budget"})["state"] == "CANCELLED"
    assert server.error("runs/result", {"run_id": "budget"})["data"]["code"] == "run.cancelled"


def test_a_run_within_its_wait_budget_answers_its_result(server: RpcClient) -> None:
    assert server.result("execute", greeting(wait_s=60))["output"] == {"text": "Hello Ann"}


def test_a_run_is_found_again_by_the_id_its_caller_chose(server: RpcClient) -> None:
    server.result("execute", greeting(run_id="mine"))

    assert server.result("runs/get", {"run_id": "mine"})["state"] == "COMPLETED"
    assert server.result("runs/result", {"run_id": "mine"})["output"] == {"text": "Hello Ann"}
    assert "mine" in [run["pipeline_run_id"] for run in server.result("runs/list")["runs"]]


def test_the_same_request_again_is_the_same_run_and_another_one_is_refused(server: RpcClient) -> None:
    first = server.result("execute", greeting(pipeline_run_id="again"))

    assert server.result("execute", greeting(run_id="again"))["finished_at"] == first["finished_at"]
    error = server.error("execute", greeting("Bob", run_id="again"))
    assert error["data"]["code"] == "request.idempotency_conflict"


def test_a_run_is_followed_from_a_cursor_to_its_end(server: RpcClient) -> None:
    params = {"mthds_contents": [SEQUENCE], "inputs": {"word": "hey"}, "wait_s": 60, "run_id": "watched"}
    server.result("execute", params)

    end = server.result("runs/watch", {"run_id": "watched", "after": 2, "_meta": {"progressToken": "watch"}})

    seen = [
        note["params"]["data"]["seq"] for note in server.notifications if note["params"]["progressToken"] == "watch"
    ]
    assert seen == list(range(3, end["last_seq"] + 1))
    assert end["state"] == "COMPLETED"


def test_a_stranger_is_not_found(server: RpcClient) -> None:
    error = server.error("runs/get", {"run_id": "nobody"})

    assert (error["code"], error["data"]["code"]) == (-31050, "run.not_found")


def test_start_on_direct_is_refused_before_the_method_is_even_looked_at(server: RpcClient) -> None:
    error = server.error("start", {"mthds_contents": ["this is no TOML ["]})

    assert (error["code"], error["data"]["code"]) == (-31083, "runtime.unsupported")
    assert "execute" in error["data"]["next_step"]["detail"]


def test_another_mode_than_the_configured_one_is_refused_where_the_policy_says_so(server: RpcClient) -> None:
    error = server.error("start", greeting(orchestration_mode="dbos"))

    assert (error["code"], error["data"]["code"]) == (-31081, "pipelex.deployment.orchestration_override_forbidden")


def test_models_are_listed_with_the_backends_that_lack_a_key(server: RpcClient) -> None:
    deck = server.result("models", {"type": "llm"})

    assert deck["models"]
    assert deck["missing_credentials"]["openai"] == ["OPENAI_API_KEY"]


def test_version_names_the_protocol_and_the_runtime(server: RpcClient) -> None:
    version = server.result("version")

    assert version["implementation"] == "mthds-rpc"
    assert version["runtime_version"] == "0.92.2"


def test_slow_calls_do_not_delay_others(server: RpcClient, tmp_path: Path) -> None:
    slow = server.request("execute", waiting(tmp_path / "begun"))
    until((tmp_path / "begun").exists, "the run to begin")

    assert server.result("version")
    assert server.result("execute", greeting())["output"] == {"text": "Hello Ann"}

    server.notify("$/cancelRequest", {"id": slow})
    server.answer(slow)
