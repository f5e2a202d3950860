"""The shapes of runs, as they are read from what another release wrote."""

import json
from math import inf, nan
from typing import Any

import pytest
from pydantic import ValidationError

from rpc_server.mcp.picture.drawing import picture_of
from schemas.params import RunsListParams
from schemas.runs import RunEvent, RunRecord, RunState
from schemas.times import iso_time

RECORD = {"pipeline_run_id": "r", "orchestration_mode": "dbos", "created_at": "2026-01-01T10:00:00+00:00"}


def test_a_state_of_a_later_release_keeps_its_word_and_is_not_final() -> None:
    record = RunRecord.model_validate({**RECORD, "state": "PAUSED"})

    assert record.state == RunState.of("PAUSED") == "PAUSED"
    assert not record.state.is_final
    assert not record.state.is_known
    assert record.model_dump(mode="json")["state"] == json.loads(record.model_dump_json())["state"] == "PAUSED"


@pytest.mark.parametrize("state", list(RunState))
def test_a_known_state_is_the_one_that_is_known(state: RunState) -> None:
    assert RunState.of(state.value) is state
    assert RunRecord.model_validate({**RECORD, "state": state.value}).state is state


@pytest.mark.parametrize("state", ["", "paused", "A B", "X" * 41, "DROP TABLE", 5, None, [], "É"])
def test_what_is_no_word_is_no_state(state: Any) -> None:
    with pytest.raises(ValidationError):
        RunRecord.model_validate({**RECORD, "state": state})


def test_a_caller_cannot_ask_for_a_state_that_is_not_known() -> None:
    with pytest.raises(ValidationError):
        RunsListParams.model_validate({"state": "COMPLETD"})


def test_an_event_of_a_later_release_is_taken_and_drawn_around() -> None:
    events = [
        RunEvent(run_id="r", seq=1, kind="pipe_started", at=1.0, pipe="d.p", node_id="1"),
        RunEvent(run_id="r", seq=2, kind="pipe_paused", at=2.0, pipe="d.p", node_id="1"),
    ]

    picture = picture_of(None, events, state="PAUSED")

    assert [(node["label"], node["status"]) for node in picture["nodes"]] == [("p", "running")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.5, "1970-01-01T00:00:01.500000+00:00"),
        (1e300, "9999-12-30T00:00:00+00:00"),
        (-1e300, "0001-01-02T00:00:00+00:00"),
        (inf, "9999-12-30T00:00:00+00:00"),
        (nan, "1970-01-01T00:00:00+00:00"),
    ],
)
def test_any_number_is_a_time(seconds: float, text: str) -> None:
    assert iso_time(seconds) == text
