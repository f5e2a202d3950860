from pathlib import Path

import pytest

from tests.hosts.spawned import Spawned, server_in


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the module, so that one client may serve all of its tests."""
    return "asyncio"


@pytest.fixture
def spawned(tmp_path: Path) -> Spawned:
    """A server of the test's own."""
    return server_in(tmp_path)
