"""Results of tools: bounded, and whole in each of their two forms."""

import json
from typing import Any

import pytest

from rpc_server.mcp.protocol.tool_results import bounded, bounded_output, problem_result, tool_result

LIMIT = 9000


def problem(**more: Any) -> dict[str, Any]:
    return {
        "code": "method.not_found",
        "title": "No method",
        "detail": "There is no such method.",
        "domain": "input",
        "retry": "no",
        "next_step": {"kind": "change_input", "detail": "Correct it; `methods/list` names the methods."},
        **more,
    }


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def test_each_form_of_a_result_says_everything() -> None:
    result = tool_result({"state": "COMPLETED", "output": {"text": "ü"}})
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    assert result["isError"] is False


def test_a_problem_says_in_words_what_to_do_next_in_the_tools_own_names() -> None:
    result = problem_result(problem(), LIMIT)
    assert result["isError"] is True
    assert result["content"][0]["text"].splitlines() == [
        "There is no such method. (method.not_found)",
        "Next step: Correct it; `list_methods` names the methods.",
    ]
    assert result["structuredContent"]["problem"]["next_step"]["detail"].startswith("Correct it; `list_methods`")


def test_a_problem_lists_its_faults_with_their_places() -> None:
    faults = [{"code": "x", "detail": "A comma is missing.", "location": {"file": "a.mthds", "line": 3, "column": 7}}]
    text = problem_result(problem(errors=faults), LIMIT)["content"][0]["text"]
    assert "- a.mthds:3:7: A comma is missing." in text


@pytest.mark.parametrize("text", ["x", "ü", '"', "\u0001", "😀"])
def test_a_problem_of_any_size_stays_within_the_limit(text: str) -> None:
    faults = [{"code": "x", "detail": text * 500, "location": {"file": "a"}} for _ in range(50)]
    result = problem_result(problem(errors=faults), LIMIT)
    assert size(result["structuredContent"]) <= LIMIT
    assert len(result["content"][0]["text"].encode()) <= LIMIT


def test_what_can_be_spared_is_left_out_first_and_named() -> None:
    answer = {"state": "COMPLETED", "output": 1, "graph": "g" * LIMIT, "usage": {"cost_usd": 0}}
    kept = bounded(answer, LIMIT, ("graph", "usage"))
    assert kept == {"state": "COMPLETED", "output": 1, "usage": {"cost_usd": 0}, "left_out": ["graph"]}


def test_an_answer_that_fits_is_left_as_it_is() -> None:
    answer = {"graph": "small", "output": "small"}
    assert bounded_output(bounded(answer, LIMIT, ("graph",)), LIMIT, "mthds://x") == answer


@pytest.mark.parametrize("unit", ["word ", "ü", '"\\', "\u0001", "😀"])
def test_an_output_that_does_not_fit_is_previewed_and_pointed_to(unit: str) -> None:
    answer = {"pipeline_run_id": "r", "state": "COMPLETED", "output": {"text": unit * 20_000}}
    kept = bounded_output(answer, LIMIT, "mthds://runs/r/output")
    assert "output" not in kept
    assert kept["resource"] == "mthds://runs/r/output"
    assert kept["left_out"] == ["output"]
    assert kept["output_preview"].startswith('{"text":"')
    assert size(kept) <= LIMIT


def test_a_limit_below_the_essentials_leaves_the_preview_out() -> None:
    kept = bounded_output({"pipeline_run_id": "r", "output": "x" * 500}, 100, "mthds://runs/r/output")
    assert "output_preview" not in kept
    assert kept["resource"] == "mthds://runs/r/output"
