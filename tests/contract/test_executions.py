"""Runs answer as a real pipelex-api answers the same request: outputs, problem codes, places."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bundles import GREETING, MODEL, SEQUENCE
from tests.support.client import RpcClient
from tests.support.mthds_server import serve
from tests.support.pipelex_api import PipelexApi

STRUCTURES = """
domain = "billing"
main_pipe = "summarise"

[concept.Invoice]
description = "A bill"
[concept.Invoice.structure]
customer = { type = "text", description = "Who pays", required = true }
total = { type = "number", description = "How much", required = true }

[concept.Line]
description = "One line of a summary"
refines = "Text"

[pipe.summarise]
type = "PipeBatch"
description = "One line for each invoice"
inputs = { invoices = "Invoice[]" }
output = "Line[]"
branch_pipe_code = "line"
input_list_name = "invoices"
input_item_name = "invoice"

[pipe.line]
type = "PipeCompose"
description = "A line"
inputs = { invoice = "Invoice" }
output = "Line"
template = "{{ invoice.customer }}: {{ invoice.total }}"

[pipe.route]
type = "PipeCondition"
description = "Big or small"
inputs = { invoice = "Invoice" }
output = "Line"
expression = "'big' if invoice.total > 100 else 'small'"
default_outcome = "fail"

[pipe.route.outcomes]
big = "line"
"""

INVOICES = [{"customer": "Ann", "total": 12.5}, {"customer": "Bob", "total": 200}]
BROKEN_TEMPLATE = GREETING.replace("Hello {{ name }}", "{{ name.missing.deeper }}")
TWO_ENTRIES = {"a.mthds": GREETING, "b.mthds": SEQUENCE}

CASES: dict[str, dict[str, Any]] = {
    "a text": {"mthds_contents": [GREETING], "inputs": {"name": "Ann"}},
    "an envelope": {"mthds_contents": [GREETING], "inputs": {"name": {"concept": "Text", "content": "Ann"}}},
    "a sequence": {"mthds_contents": [SEQUENCE], "inputs": {"word": "hey"}},
    "a chosen pipe": {"mthds_contents": [SEQUENCE], "pipe_code": "two", "inputs": {"first": "hey"}},
    "a qualified pipe": {"mthds_contents": [SEQUENCE], "pipe_code": "chain.two", "inputs": {"first": "hey"}},
    "a batch over structures": {"mthds_contents": [STRUCTURES], "inputs": {"invoices": INVOICES}},
    "an empty batch": {"mthds_contents": [STRUCTURES], "inputs": {"invoices": []}},
    "a condition": {"mthds_contents": [STRUCTURES], "pipe_code": "route", "inputs": {"invoice": INVOICES[1]}},
    "a condition that fails": {
        "mthds_contents": [STRUCTURES],
        "pipe_code": "route",
        "inputs": {"invoice": INVOICES[0]},
    },
    "a tree": {"files": {"main.mthds": GREETING}, "inputs": {"name": "Ann"}},
    "a tree with two entries": {"files": TWO_ENTRIES, "inputs": {"name": "Ann"}},
    "a tree with two entries and a chosen pipe": {"files": TWO_ENTRIES, "pipe_code": "greet", "inputs": {"name": "A"}},
    "an output name": {"mthds_contents": [GREETING], "inputs": {"name": "Ann"}, "output_name": "greeting"},
    "no input": {"mthds_contents": [GREETING]},
    "an input too many": {"mthds_contents": [GREETING], "inputs": {"name": "Ann", "age": 3}},
    "an input of the wrong kind": {"mthds_contents": [STRUCTURES], "inputs": {"invoices": [{"customer": 1}]}},
    "an input of the wrong concept": {
        "mthds_contents": [GREETING],
        "inputs": {"name": {"concept": "Number", "content": 3}},
    },
    "an unknown pipe": {"mthds_contents": [GREETING], "pipe_code": "nowhere", "inputs": {"name": "Ann"}},
    "no entry pipe": {"mthds_contents": [GREETING.replace('main_pipe = "greet"', "")], "inputs": {"name": "Ann"}},
    "a template that cannot be rendered": {"mthds_contents": [BROKEN_TEMPLATE], "inputs": {"name": "Ann"}},
    "a method that is no TOML": {"mthds_contents": ["domain = = 1"], "inputs": {}},
    "a model without a backend": {"mthds_contents": [MODEL], "inputs": {"question": "Why?"}},
    "a file of the host": {
        "mthds_contents": [
            GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
        ],
        "inputs": {"name": {"url": "file:///etc/hostname"}},
    },
    "a tree with an excluded file": {"files": {".hidden.mthds": GREETING}, "inputs": {"name": "Ann"}},
    "a tree with a path that climbs out": {"files": {"../main.mthds": GREETING}, "inputs": {"name": "Ann"}},
    "an empty tree": {"files": {}, "inputs": {"name": "Ann"}},
    "python in a tree": {"files": {"main.mthds": GREETING, "code.py": "x = 1"}, "inputs": {"name": "Ann"}},
}

DIFFERENCES = {"a file of the host": "pipelex-api on one tenant sets no read scope; ours always does"}
"""Case -> why our answer is another."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("home")) as client:
        yield client


def ours(server: RpcClient, request: dict[str, Any]) -> dict[str, Any]:
    answer = server.call("execute", request)
    if "error" in answer:
        return summary_of_problem(answer["error"]["data"])
    result = answer["result"]
    return {"name": result["main_stuff_name"], "concept": result["concept"], "output": result["output"]}


def theirs(api: PipelexApi, request: dict[str, Any]) -> dict[str, Any]:
    status, answer = api.post("execute", request)
    if status != 200:
        return summary_of_problem(answer)
    stuff = answer["pipe_output"]["working_memory"]["root"][answer["main_stuff_name"]]
    return {"name": answer["main_stuff_name"], "concept": stuff["concept"], "output": stuff["content"]}


def summary_of_problem(problem: dict[str, Any]) -> dict[str, Any]:
    location = problem.get("location") or {}
    return {
        "code": problem["code"],
        "pipe": location.get("pipe"),
        "input": location.get("input"),
        "items": sorted(item["code"] for item in problem.get("errors", [])),
    }


@pytest.mark.parametrize("case", [case for case in CASES if case not in DIFFERENCES])
def test_a_run_answers_as_pipelex_api_does(server: RpcClient, pipelex_api: PipelexApi, case: str) -> None:
    assert ours(server, CASES[case]) == theirs(pipelex_api, CASES[case])


@pytest.mark.parametrize("case", list(DIFFERENCES))
def test_a_listed_difference_is_still_one(server: RpcClient, pipelex_api: PipelexApi, case: str) -> None:
    assert ours(server, CASES[case]) != theirs(pipelex_api, CASES[case])
