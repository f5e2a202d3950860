"""Bundles in which one value has a type that it should not have: a fault of the method, told with its place."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import RpcClient
from tests.support.mthds_server import serve

CORPUS = Path(__file__).parents[1] / "corpus" / "valid"
ODD = [
    "07:32:00", "1979-05-27", "nan", f"0x{'f' * 5000}", "-1", "true", "[]", "{}", '""', "[[1]]", "{ a = { b = 1 } }",
    r'"\u0000"', '"é.è"',
]  # fmt: skip
VALUE = re.compile(r"^([A-Za-z_]\w*\s*=\s*)(?!.*\"\"\").+$", re.MULTILINE)
REFINING = """domain = "odd"
[concept.Note]
description = "A note"
refines = {}
[pipe.say]
type = "PipeCompose"
description = "Say it"
output = "Note"
template = "It"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("home")) as client:
        yield client


def with_odd_values() -> list[str]:
    """Every valid bundle of the corpus with one of its values replaced, a sample of all that there are."""
    texts = [file.read_text() for file in sorted(CORPUS.rglob("*.mthds"))]
    values = [(text, match) for text in texts for match in VALUE.finditer(text)]
    chance = random.Random(1)
    return [
        f"{text[: match.start()]}{match[1]}{chance.choice(ODD)}{text[match.end() :]}"
        for text, match in chance.sample(values, 120)
    ]


def code_of(answer: dict[str, Any]) -> str | None:
    code: str | None = answer["error"]["data"]["code"] if "error" in answer else None
    return code


@pytest.mark.parametrize("value", ["-1", "nan", f"0x{'f' * 5000}", "07:32:00", "1979-05-27", "{ a = 1 }"])
def test_a_declaration_on_which_the_runtime_breaks_is_named(server: RpcClient, value: str) -> None:
    contents = [REFINING.format(value)]

    verdict = server.result("validate", {"mthds_contents": contents})
    refused = [server.call(method, {"mthds_contents": contents}) for method in ("execute", "methods/inputs")]

    [fault] = verdict["errors"]
    assert (fault["code"], fault["location"]["line"]) == ("method.invalid", 2)
    assert "'Note'" in fault["detail"]
    assert [code_of(answer) for answer in refused] == ["method.invalid"] * 2


def test_no_value_of_another_type_is_an_unexpected_failure(server: RpcClient) -> None:
    codes = {
        code_of(server.call(method, {"mthds_contents": [text]}))
        for text in with_odd_values()
        for method in ("validate", "methods/inputs")
    }

    assert "method.invalid" in codes
    assert codes <= {None, "method.invalid", "request.pipe_unspecified"}
