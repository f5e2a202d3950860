"""What the tests of the MCP side share, and those of live runs."""

from collections.abc import Iterator

import pytest

from tests.support.mcp_client import McpClient
from tests.support.mcp_schemas import MODERN
from tests.support.model_stub import ModelStub, model_stub


@pytest.fixture
def client(server: McpClient) -> Iterator[McpClient]:
    """The shared server, spoken to in the modern era until a test says otherwise."""
    server.version = MODERN
    yield server
    assert server.spy.faults == []


@pytest.fixture
def stub() -> Iterator[ModelStub]:
    with model_stub() as running:
        yield running
