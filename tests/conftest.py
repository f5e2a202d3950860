import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.mthds_server import UNMEASURED

# How long an example takes depends on the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _engines_are_not_measured() -> Iterator[None]:
    """Nor is pip, where a test starts one by itself. Without coverage there is nothing to do."""
    with pytest.MonkeyPatch.context() as environment:
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            environment.setenv("PYTHONPATH", str(UNMEASURED), prepend=os.pathsep)
        yield


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
