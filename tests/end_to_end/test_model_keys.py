"""Every place that a model's key and endpoint may come from, and those that they may not."""

from pathlib import Path

from tests.support.live import ASK, KEY, ask, served
from tests.support.model_stub import ModelStub, model_stub, write_endpoint


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
