"""What a feature may tell its caller before the answer."""

from typing import Any

import pytest

from rpc_server.mcp.protocol.caller import Caller
from rpc_server.mcp.protocol.request import ServedExchange, exchange_of
from rpc_server.mcp.tools.run_progress import RunProgress
from rpc_server.wire.dispatch import Call
from schemas.runs import RunEvent

Sent = list[tuple[str, dict[str, Any]]]


def exchange(sent: Sent, *, token: str | int | None = None, level: str | None = None) -> ServedExchange:
    call = Call(1, "tools/call", notify=lambda method, params: sent.append((method, params)))
    return exchange_of(call, Caller("2025-11-25", False, {}, level, token))


def event(kind: str, **more: Any) -> RunEvent:
    return RunEvent.model_validate({"run_id": "r", "seq": 1, "kind": kind, "at": 0.0, **more})


def test_progress_that_does_not_increase_is_not_sent() -> None:
    sent: Sent = []
    told = exchange(sent, token=0)
    for value in (0, 1, 1, 0.5, 2):
        told.progress(value, None, None)
    assert [params["progress"] for _, params in sent] == [0, 1, 2]
    assert all(params["progressToken"] == 0 for _, params in sent)


def test_progress_nobody_asked_for_is_not_sent() -> None:
    sent: Sent = []
    exchange(sent).progress(1, 2, "half")
    assert sent == []


@pytest.mark.parametrize(("level", "heard"), [(None, []), ("debug", ["debug", "error"]), ("warning", ["error"])])
def test_a_log_message_is_sent_from_the_level_that_was_asked_for(level: str | None, heard: list[str]) -> None:
    sent: Sent = []
    told = exchange(sent, level=level)
    told.log("debug", "a")
    told.log("error", "b")
    assert [params["level"] for _, params in sent] == heard


def test_the_progress_of_a_run_names_the_pipe_and_step_k_of_n() -> None:
    sent: Sent = []
    progress = RunProgress(exchange(sent, token="t"))
    progress.take(event("run_started", message="the run started"))
    progress.take(event("pipe_started", pipe="d.whole", started=1, total=2))
    progress.take(event("pipe_started", pipe="d.part", started=2, total=2))
    progress.take(event("pipe_completed", pipe="d.part", started=2, ended=1, total=2))
    assert [params["message"] for _, params in sent] == [
        "the run started",
        "d.whole started (step 1 of 2)",
        "d.part started (step 2 of 2)",
        "d.part completed (step 2 of 2)",
    ]
    assert [(params["progress"], params.get("total")) for _, params in sent] == [(0, None), (0.5, 2), (1, 2), (1.5, 2)]


def test_a_batch_that_takes_more_steps_than_foreseen_raises_the_total() -> None:
    sent: Sent = []
    RunProgress(exchange(sent, token="t")).take(event("pipe_started", pipe="d.item", started=7, total=3))
    assert (sent[0][1]["total"], sent[0][1]["message"]) == (7, "d.item started (step 7 of 7)")


def test_a_run_that_is_silent_still_shows_that_it_goes_on() -> None:
    sent: Sent = []
    progress = RunProgress(exchange(sent, token="t"))
    progress.take(event("pipe_started", pipe="d.slow", started=1, total=1))
    progress.beat()
    progress.beat()
    values = [params["progress"] for _, params in sent]
    assert values == sorted(set(values))
    assert len(values) == 3
    assert sent[-1][1]["message"].startswith("d.slow started (step 1 of 1), ")
