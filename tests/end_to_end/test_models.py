"""Live runs against a loopback model: keys from every place they may come from, usage, and what a provider refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import MODEL as BUNDLE
from tests.support.bundles import python_method
from tests.support.client import RpcClient
from tests.support.model_stub import MODEL, ModelStub, model_stub, write_backend, write_endpoint
from tests.support.mthds_server import serve

ASK = {
    "mthds_contents": [BUNDLE.replace('prompt = "$question"', f'prompt = "$question"\nmodel = "{MODEL}"')],
    "inputs": {"question": "Why?"},
}
KEY = "stub-key-1234567890"


@pytest.fixture
def stub() -> Iterator[ModelStub]:
    with model_stub() as running:
        yield running


def served(home: Path, stub: ModelStub, *flags: str, **env: str) -> RpcClient:
    write_backend(home / "pipelex", stub)
    return serve(home, *flags, env={"NO_PROXY": "127.0.0.1", **env})


def ask(client: RpcClient, **more: Any) -> Any:
    return client.result("execute", {**ASK, **more})


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


def test_a_key_may_come_from_an_env_file(tmp_path: Path, stub: ModelStub) -> None:
    (tmp_path / "keys.env").write_text(f"STUB_API_KEY={KEY}\n")

    with served(tmp_path, stub, "--env-file", str(tmp_path / "keys.env")) as client:
        ask(client)

    assert stub.keys == [KEY]


def test_a_key_may_come_from_the_home(tmp_path: Path, stub: ModelStub) -> None:
    (tmp_path / "pipelex").mkdir()
    (tmp_path / "pipelex" / ".env").write_text(f"STUB_API_KEY={KEY}\n")

    with served(tmp_path, stub) as client:
        ask(client)

    assert stub.keys == [KEY]


def test_a_variable_that_is_really_set_wins_over_every_file(tmp_path: Path, stub: ModelStub) -> None:
    (tmp_path / "pipelex").mkdir()
    (tmp_path / "pipelex" / ".env").write_text("STUB_API_KEY=from-the-home-0123456789\n")
    (tmp_path / "keys.env").write_text("STUB_API_KEY=from-the-file-0123456789\n")

    with served(tmp_path, stub, "--env-file", str(tmp_path / "keys.env"), STUB_API_KEY=KEY) as client:
        ask(client)

    assert stub.keys == [KEY]


def test_the_env_file_of_a_working_directory_is_not_read(tmp_path: Path, stub: ModelStub) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / ".env").write_text(f"STUB_API_KEY={KEY}\n")

    with served(tmp_path, stub) as client:
        error = client.error("execute", ASK)

    assert error["data"]["code"] == "model.unavailable"


def test_the_settings_of_an_untrusted_project_cannot_send_the_key_elsewhere(tmp_path: Path, stub: ModelStub) -> None:
    with model_stub() as hostile:
        write_endpoint(tmp_path / "workspace" / ".pipelex", hostile)
        with served(tmp_path, stub, STUB_API_KEY=KEY) as client:
            ask(client)

    assert hostile.keys == []
    assert stub.keys == [KEY]
    assert "mthds-rpc trust" in client.stderr


def test_the_settings_of_a_trusted_project_count(tmp_path: Path, stub: ModelStub) -> None:
    with model_stub() as project:
        write_endpoint(tmp_path / "workspace" / ".pipelex", project)
        with served(tmp_path, stub, "--trust-project", STUB_API_KEY=KEY) as client:
            ask(client)

    assert project.keys == [KEY]
    assert stub.keys == []


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
