"""A Temporal server of its own, on a loopback port, and servers and workers of ours that use it."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.bundles import GREETING
from tests.support.client import RpcClient
from tests.support.ledgers import WorkerProcess, until, worker_process, write_settings
from tests.support.mcp_client import McpClient, serve_mcp

TEMPORAL = ("--orchestration-mode", "temporal", "--allow-python")
METHOD_ATTRIBUTE = "MthdsMethod=Keyword"

BINARY = Path(sys.executable).with_name("temporal")
_PATIENCE_S = 60.0


class TemporalServer:
    """A server that can be stopped and started again; its data and its address stay."""

    def __init__(self, folder: Path, search_attributes: Sequence[str]) -> None:
        self.folder = folder
        self.port = _free_port()
        self._search_attributes = search_attributes
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it, and wait until it answers."""
        attributes = [part for name in self._search_attributes for part in ("--search-attribute", name)]
        command = [BINARY, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "temporal.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--db-filename", self.folder / "temporal.sqlite3", *attributes],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)},
            )
        deadline = time.monotonic() + _PATIENCE_S
        while not self._is_serving():
            assert self._process.poll() is None, (self.folder / "temporal.log").read_text()
            assert time.monotonic() < deadline, "the Temporal server does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as a crash would, whoever is connected."""
        self.process.kill()
        self.process.wait()

    def command(self, *arguments: str) -> str:
        """What the `temporal` command prints for it."""
        done = subprocess.run(
            [BINARY, *arguments, "--address", self.address],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)},
        )
        return done.stdout

    def _is_serving(self) -> bool:
        try:
            self.command("operator", "cluster", "health")
        except subprocess.CalledProcessError:
            return False
        return True


@contextmanager
def temporal_server(folder: Path, search_attributes: Sequence[str] = ()) -> Iterator[TemporalServer]:
    """A running server whose data is in `folder`, which must be there; `search_attributes` such as `Name=Keyword`."""
    server = TemporalServer(folder, search_attributes)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Deployment:
    """Servers and workers of ours that belong together: one home, one task queue of a Temporal server."""

    mode = "temporal"

    def __init__(self, home: Path, address: str, **settings: Any) -> None:
        """`settings` are those of the plugin; the queue is one of its own where they name none."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.address = address
        self.settings = {"task_queue": f"queue-{uuid.uuid4().hex}", **settings}
        file = write_settings(home, "temporal", address=address, **self.settings)
        self.flags: tuple[str, ...] = ("--config", str(file))

    def elsewhere(self, home: Path, **settings: Any) -> "Deployment":
        """The same on another machine, as far as its files go, with these settings of its own."""
        return Deployment(home, self.address, **{**self.settings, **settings})

    def server(self, *flags: str) -> McpClient:
        """A server whose mode is `temporal`."""
        return serve_mcp(self.home, *TEMPORAL, *self.flags, *flags)

    @contextmanager
    def worker(self, **env: str) -> Iterator[WorkerProcess]:
        """A worker for the block; it has to end well, unless a test kills it."""
        with worker_process(self.home, *self.flags, mode="temporal", env=env) as worker:
            yield worker
        assert worker.process.returncode in (0, -signal.SIGKILL), worker.stderr

    @contextmanager
    def server_and_worker(self) -> Iterator[McpClient]:
        """A server, and a worker that works."""
        with self.worker(), self.server("--allow-override") as client:
            wait_for_a_worker(client)
            yield client


def wait_for_a_worker(client: RpcClient) -> None:
    """Until a worker is known to Temporal, and has an engine that works."""
    until(lambda: "result" in client.call("validate", {"mthds_contents": [GREETING]}), "a worker")
