"""The committed description is what the server is: made from the same table, true of its answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rpc_server.openrpc import document
from tests.support.bundles import GREETING
from tests.support.client import ROOT, RpcClient
from tests.support.mthds_server import serve

COMMITTED = json.loads((ROOT / "schemas" / "openrpc.json").read_text(encoding="utf-8"))
METHODS = {method["name"]: method for method in COMMITTED["methods"]}
ERRORS = COMMITTED["components"]["errors"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    home: Path = tmp_path_factory.mktemp("home")
    (home / "workspace").mkdir()
    (home / "workspace" / "greet.mthds").write_text(GREETING, encoding="utf-8")
    with serve(home) as client:
        yield client


def errors_of(method: dict[str, Any]) -> list[str]:
    """The names of the errors that a method refers to."""
    return [error["$ref"].removeprefix("#/components/errors/") for error in method["errors"]]


def check_result(method: str, value: Any) -> None:
    schema = {**METHODS[method]["result"]["schema"], "components": COMMITTED["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def test_the_committed_document_is_the_one_the_code_makes() -> None:
    made = json.loads(json.dumps(document()))

    assert made == COMMITTED, "run `python -m rpc_server.openrpc > schemas/openrpc.json`"


def test_discovery_answers_the_committed_document(server: RpcClient) -> None:
    assert server.result("rpc.discover") == COMMITTED


def test_every_method_of_the_design_is_described() -> None:
    designed = "execute start validate models version methods/list methods/inputs rpc.discover"
    ledger = "runs/get runs/list runs/result runs/cancel runs/watch"

    assert set(METHODS) == set(designed.split()) | set(ledger.split())


def test_the_errors_of_a_method_have_distinct_integers() -> None:
    for method in METHODS.values():
        integers = [ERRORS[name]["code"] for name in errors_of(method)]
        assert len(integers) == len(set(integers))


def test_every_error_is_described_once_under_a_name_that_openrpc_allows() -> None:
    described = [json.dumps(error, sort_keys=True) for error in ERRORS.values()]

    assert len(described) == len(set(described))
    assert {name for method in METHODS.values() for name in errors_of(method)} == set(ERRORS)
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in ERRORS)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("version", {}),
        ("models", {}),
        ("methods/list", {}),
        ("methods/inputs", {"method": "greet.mthds"}),
        ("validate", {"method": "greet.mthds", "include": ["graph"]}),
        ("validate", {"mthds_contents": ["nonsense"]}),
        (
            "execute",
            {
                "method": "greet.mthds",
                "inputs": {"name": "Ann"},
                "include": ["graph", "usage", "working_memory"],
                "run_id": "r",
            },
        ),
        ("runs/get", {"run_id": "r"}),
        ("runs/list", {}),
        ("runs/result", {"run_id": "r"}),
        ("runs/watch", {"run_id": "r"}),
        ("runs/cancel", {"run_id": "r"}),
    ],
)
def test_an_answer_fits_the_described_result(server: RpcClient, method: str, params: dict[str, Any]) -> None:
    if method.startswith("runs/") and method != "runs/list":
        server.result("execute", {"method": "greet.mthds", "inputs": {"name": "Ann"}, "run_id": "r"})

    check_result(method, server.result(method, params))
