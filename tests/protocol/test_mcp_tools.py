"""The tools as far as they need no run: their list, and what is refused in each revision."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.connected import Connected, connected
from tests.support.mcp_client import text_of
from tests.support.mcp_methods import greeting
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN

NINE = [
    "execute",
    "start",
    "validate",
    "run_status",
    "run_result",
    "cancel_run",
    "list_runs",
    "list_methods",
    "inputs_template",
]
BOTH_ERAS = pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    with connected(tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
def test_the_nine_tools_come_first_and_in_one_order(client: Connected, version: str) -> None:
    client.speak(version)

    assert list(client.tools())[:9] == NINE


def test_what_is_advised_is_named_as_the_caller_knows_it(client: Connected) -> None:
    said = [
        text_of(client.tool("execute", {"method": "nowhere.mthds", "inputs": {}})),
        text_of(client.tool("run_status", {"run_id": "unknown"})),
        text_of(client.tool("start", greeting())),
    ]

    for plain in ("runs/", "methods/list", "methods/inputs", "rpc.discover"):
        assert [text for text in said if plain in text] == []


@BOTH_ERAS
@pytest.mark.parametrize("arguments", [{"limit": "many"}, {"limit": 0}, {"unheard_of": 1}])
def test_wrong_arguments_are_a_result_that_the_model_sees(
    client: Connected, version: str, arguments: dict[str, Any]
) -> None:
    client.speak(version)

    result = client.tool("list_runs", arguments, as_sent=True)

    assert result["isError"] is True
    assert result["structuredContent"]["problem"]["code"] == "request.invalid"
    assert next(iter(arguments)) in text_of(result)


def test_a_run_that_there_is_not_is_a_failed_result(client: Connected) -> None:
    for tool in ("run_status", "run_result", "cancel_run"):
        result = client.tool(tool, {"run_id": "unknown"})
        assert result["isError"] is True
        assert result["structuredContent"]["problem"]["code"] == "run.not_found"


def test_start_is_refused_where_no_run_outlives_the_server(client: Connected) -> None:
    result = client.tool("start", greeting())

    assert result["isError"] is True
    assert "execute" in result["structuredContent"]["problem"]["next_step"]["detail"]
