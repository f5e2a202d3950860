"""The server in this process is the real one, but for its engines."""

from pathlib import Path

import pytest

from tests.support.connected import connected, connected_wire
from tests.support.mcp_methods import greeting


def test_a_call_that_needs_an_engine_fails_its_test(tmp_path: Path) -> None:
    client = connected(tmp_path)

    with pytest.raises(AssertionError, match="needs an engine"), client:
        client.call("execute", greeting())


def test_the_client_gets_the_exit_status_that_a_process_would_have() -> None:
    with connected_wire() as client:
        client.notify("exit")

        assert client.wait() == 1
