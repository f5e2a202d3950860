"""Live runs against a loopback model: usage, what a provider refuses, and what becomes of the key."""

from pathlib import Path

import pytest

from tests.support.bundles import python_method
from tests.support.live import ASK, KEY, ask, served
from tests.support.model_stub import MODEL, ModelStub


def test_a_live_run_calls_the_model_and_counts_tokens_and_cost(tmp_path: Path, stub: ModelStub) -> None:
    with served(tmp_path, stub, STUB_API_KEY=KEY) as client:
        result = ask(client)

    assert result["output"] == {"text": "Because."}
    assert stub.keys == [KEY]
    assert result["usage"]["models"] == [
        {"model": MODEL, "input_tokens": 5, "output_tokens": 3, "cost_usd": pytest.approx(11e-6)}
    ]


def test_a_backend_without_its_key_is_left_out_and_a_run_that_needs_it_names_the_variable(
    tmp_path: Path, stub: ModelStub
) -> None:
    with served(tmp_path, stub) as client:
        error = client.error("execute", ASK)
        dry = ask(client, run_mode="dry")

    assert error["data"]["params"]["missing_variables"] == ["STUB_API_KEY"]
    assert "DRY RUN" in dry["output"]["text"]
    assert stub.asked == []


@pytest.mark.parametrize(
    ("status", "integer", "code"),
    [
        (401, -31040, "provider.credential_refused"),
        (404, -31030, "model.unavailable"),
    ],
)
def test_what_a_provider_refuses_becomes_its_problem(
    tmp_path: Path, stub: ModelStub, status: int, integer: int, code: str
) -> None:
    stub.status = status
    with served(tmp_path, stub, STUB_API_KEY=KEY) as client:
        error = client.error("execute", ASK)

    assert (error["code"], error["data"]["code"]) == (integer, code)


def test_a_key_that_a_provider_repeats_reaches_neither_an_error_nor_an_event_nor_stderr(
    tmp_path: Path, stub: ModelStub
) -> None:
    stub.status, stub.error = 401, f"the key {KEY} is not valid"
    with served(tmp_path, stub, STUB_API_KEY=KEY) as client:
        client.error("execute", {**ASK, "_meta": {"progressToken": "t"}})

    assert KEY not in str(client.messages)
    assert KEY not in client.stderr


def test_a_secret_that_a_method_prints_is_masked_on_stderr(tmp_path: Path, stub: ModelStub) -> None:
    source = python_method(
        "    import os\n    print('the key:', os.environ['STUB_API_KEY'])\n    return TextContent(text='x')"
    )
    params = {"files": source.model_dump()["files"], "inputs": {"word": "x"}}

    with served(tmp_path, stub, "--allow-python", STUB_API_KEY=KEY) as client:
        client.result("execute", params)

    assert "the key: [redacted]" in client.stderr
    assert KEY not in client.stderr


def test_nothing_is_written_into_the_workspace(tmp_path: Path, stub: ModelStub) -> None:
    with served(tmp_path, stub, STUB_API_KEY=KEY) as client:
        ask(client, include=["graph", "usage", "working_memory"])

    assert list((tmp_path / "workspace").iterdir()) == []
