from collections.abc import Iterator

import pytest

from tests.support.pipelex_api import PipelexApi, running_pipelex_api


@pytest.fixture(scope="session")
def pipelex_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelexApi]:
    with running_pipelex_api(tmp_path_factory.mktemp("pipelex-api")) as api:
        yield api
