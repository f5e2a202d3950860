from collections.abc import Iterator

import pytest

from tests.support.connected import Connected
from tests.support.mcp_schemas import MODERN


@pytest.fixture
def client(server: Connected) -> Iterator[Connected]:
    """The shared server of a module, in the modern era until a test says otherwise."""
    server.version = MODERN
    yield server
    assert server.spy.faults == []
