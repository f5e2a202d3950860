"""Installations of the modes that keep runs. What both modes promise is tested against this protocol."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from tests.support.durable import DbosDeployment
from tests.support.ledgers import WorkerProcess
from tests.support.mcp_client import McpClient
from tests.support.temporal import METHOD_ATTRIBUTE, temporal_server
from tests.support.temporal import Deployment as TemporalDeployment

MODES = ("dbos", "temporal")


class Deployment(Protocol):
    """A home, and the servers and workers that belong together in it."""

    mode: str
    home: Path
    flags: tuple[str, ...]
    """What every command of this deployment is given."""

    def server(self, *flags: str) -> McpClient:
        """A server that runs nothing itself. Requests to it name the mode."""
        ...

    def worker(self, **env: str) -> AbstractContextManager[WorkerProcess]:
        """A worker for the block. It has to end well, unless a test kills it."""
        ...

    def server_and_worker(self) -> AbstractContextManager[McpClient]:
        """A server whose own mode this is, with a worker that works. Requests may name another mode."""
        ...


Deploy = Callable[..., Deployment]
"""Makes a deployment from the name of its home and the settings of the plugin."""


@contextmanager
def deployments(mode: str, folder: Path) -> Iterator[Deploy]:
    """What makes deployments of a mode below `folder`. Those of `temporal` share one Temporal server."""
    if mode == "dbos":
        yield lambda name, **settings: DbosDeployment(folder / name, **settings)
        return
    with temporal_server(folder, [METHOD_ATTRIBUTE]) as temporal:
        yield lambda name, **settings: TemporalDeployment(folder / name, temporal.address, **settings)
