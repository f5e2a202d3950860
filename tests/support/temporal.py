"""A Temporal server of its own, on a loopback port, for tests that need the real one."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
