"""The whole server under kills, cancels and a closed stream: every id answered once, no process left."""

import os
import random
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.bundles import GREETING, SEQUENCE, python_method
from tests.support.client import RpcClient
from tests.support.ledgers import until
from tests.support.mthds_server import serve
from tests.support.processes import children_with

CALLS = 1000


def engines_of(client: RpcClient) -> list[psutil.Process]:
    return children_with("orchestrators.engine", psutil.Process(client.pid))


def stuck(flag: Path) -> dict[str, Any]:
    source = python_method(f"    open({str(flag)!r}, 'w').close()\n    while True:\n        pass")
    return {"files": source.model_dump()["files"], "inputs": {"word": "x"}}


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_no_process_is_left_after_a_server_with_runs_going_is_killed(tmp_path: Path) -> None:
    with serve(tmp_path, "--allow-python", allow_unanswered=True) as client:
        client.request("execute", stuck(tmp_path / "begun"))
        until((tmp_path / "begun").exists, "the run to begin")
        children = psutil.Process(client.pid).children(recursive=True)

        os.kill(client.pid, signal.SIGKILL)

        until(lambda: gone(children), "the engines to end")


def test_sigterm_answers_what_is_going_and_leaves_nothing(tmp_path: Path) -> None:
    with serve(tmp_path, "--allow-python") as client:
        call = client.request("execute", stuck(tmp_path / "begun"))
        until((tmp_path / "begun").exists, "the run to begin")
        children = psutil.Process(client.pid).children(recursive=True)

        os.kill(client.pid, signal.SIGTERM)

        assert client.answer(call)["error"]["data"]["retry"] == "yes"
        assert client.wait() == 0
        until(lambda: gone(children), "the engines to end")


def test_a_server_killed_at_its_start_leaves_nothing(tmp_path: Path) -> None:
    with serve(tmp_path, allow_unanswered=True) as client:
        client.result("version")
        until(lambda: bool(engines_of(client)), "an engine to be spawned")
        children = engines_of(client)

        os.kill(client.pid, signal.SIGKILL)

        until(lambda: gone(children), "the engine to end")


def test_the_end_of_input_is_waited_out_by_the_runs_that_are_going(tmp_path: Path) -> None:
    with serve(tmp_path) as client:
        calls = [
            client.request("execute", {"mthds_contents": [SEQUENCE], "inputs": {"word": str(number)}})
            for number in range(20)
        ]

        client.close_stdin()

        outputs = [client.answer(call)["result"]["output"]["text"] for call in calls]
        assert outputs == [f"{number}!!!" for number in range(20)]
        assert client.wait() == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_mixed_calls_with_cancels_and_kills_are_each_answered_once(tmp_path: Path, seed: int) -> None:
    """The spy of the client fails the test for an id that is answered twice or never."""
    chance = random.Random(seed)
    with serve(tmp_path, "--allow-python") as client:
        calls: list[Any] = []
        for number in range(CALLS):
            calls.append(_mixed_call(client, chance, number, tmp_path))
            if chance.random() < 0.15:
                client.notify("$/cancelRequest", {"id": chance.choice(calls)})
            if chance.random() < 0.01:
                for engine in engines_of(client)[:1]:
                    engine.kill()

        answers = [client.answer(call) for call in calls]

        codes = {answer["error"]["data"]["code"] for answer in answers if "error" in answer}
        assert codes <= {"run.cancelled", "run.lost", "method.invalid", "input.missing", "request.invalid"}
        assert client.result("execute", {"mthds_contents": [GREETING], "inputs": {"name": "Ann"}})


def _mixed_call(client: RpcClient, chance: random.Random, number: int, tmp_path: Path) -> Any:
    token = {"_meta": {"progressToken": number}} if chance.random() < 0.3 else {}
    kind = chance.choice(["version", "run", "run", "sequence", "invalid", "missing", "validate", "wrong"])
    match kind:
        case "version":
            return client.request("version")
        case "run":
            return client.request("execute", {"mthds_contents": [GREETING], "inputs": {"name": f"N{number}"}, **token})
        case "sequence":
            return client.request("execute", {"mthds_contents": [SEQUENCE], "inputs": {"word": "x"}, **token})
        case "invalid":
            return client.request("execute", {"mthds_contents": [f"domain = {number}"]})
        case "missing":
            return client.request("execute", {"mthds_contents": [GREETING], **token})
        case "validate":
            return client.request("validate", {"mthds_contents": [GREETING]})
        case _:
            return client.request("execute", {"mthds_content": number})
