import os
import sys

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End the process at once where temporalio was used in it: its threads crash the interpreter's own end."""
    if "temporalio" in sys.modules and _STATUS:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_STATUS[-1])


_STATUS: list[int] = []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    _STATUS.append(int(exitstatus))
