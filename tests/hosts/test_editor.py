"""An editor drives the real server with vscode-jsonrpc, over Content-Length frames.

`editor.mjs` goes through all that the editor does, once; each test looks at a part of what it saw.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.spawned import server_in
from tests.support.node import node_command

SCRIPT = Path(__file__).with_name("editor.mjs")

Seen = dict[str, Any]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What the editor saw."""
    spawned = server_in(tmp_path_factory.mktemp("home"))
    command = node_command(SCRIPT, spawned.as_json)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=spawned.env)
    assert ended.returncode == 0, ended.stderr
    found: Seen = json.loads(ended.stdout)
    return found


def steps_of(seen: Seen, token: str) -> list[Seen]:
    return [step for step in seen["steps"] if step["progressToken"] == token]


def test_each_state_of_a_text_is_judged_while_others_are(seen: Seen) -> None:
    assert [verdict["is_valid"] for verdict in seen["verdicts"]] == [False, False, False, True]


def test_a_fault_is_placed_in_the_units_of_editors(seen: Seen) -> None:
    (fault,) = seen["verdicts"][2]["errors"]

    assert fault["location"]["file"] == "main.mthds"
    assert fault["location"]["range"]["start"] == {"line": 8, "character": 10}


def test_a_run_shows_every_step_and_then_its_result(seen: Seen) -> None:
    events = [step["data"] for step in steps_of(seen, "chain")]

    assert seen["run"]["output"] == {"text": "hey!!!"}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    begun = [event["pipe"] for event in events if event["kind"] == "pipe_started"]
    assert begun == ["chain.all", "chain.one", "chain.two", "chain.three"]


def test_params_may_be_given_by_position(seen: Seen) -> None:
    assert seen["positional"]["output"] == {"text": "Hello Ann"}


def test_a_refused_call_says_why_and_what_to_do(seen: Seen) -> None:
    assert seen["refused"]["code"] == -32602
    assert seen["refused"]["data"]["code"] == "input.missing"
    assert seen["refused"]["data"]["next_step"]["detail"]


def test_a_method_of_a_language_server_is_not_found(seen: Seen) -> None:
    assert seen["unknown"]["code"] == -32601


def test_a_call_that_the_editor_drops_is_answered_as_cancelled_and_its_run_stops(seen: Seen) -> None:
    assert seen["cancelled"]["error"]["code"] == -32800
    assert seen["cancelled"]["run"]["state"] == "CANCELLED"


def test_the_server_ends_well_and_said_nothing_meanwhile(seen: Seen) -> None:
    assert seen["shutdown"] is None
    assert (seen["status"], seen["complaints"]) == (0, "")
