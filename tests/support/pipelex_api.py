"""A real pipelex-api on a loopback port, to compare answers with. It has a home of its own and no key."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import tomli

from tests.support.mthds_server import isolated_env

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class PipelexApi:
    """A running server."""

    client: httpx.Client

    def post(self, route: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of `POST /v1/<route>`."""
        answer = self.client.post(f"/v1/{route}", json=body)
        return answer.status_code, answer.json()


@contextmanager
def running_pipelex_api(home: Path, env: Mapping[str, str] | None = None) -> Iterator[PipelexApi]:
    """Start it for the block; every model backend that needs a key is disabled."""
    disable_backends(home / "pipelex")
    with socket.create_server(("127.0.0.1", 0)) as listening, (home / "pipelex-api.log").open("wb") as log:
        port = listening.getsockname()[1]
        # It inherits the socket, on which calls wait until it has booted.
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "pipelex_api.main:app", "--fd", str(listening.fileno())],
            pass_fds=[listening.fileno()],
            cwd=home,
            env={**isolated_env(home), "DO_NOT_TRACK": "1", "PIPELEX_METHODS_FETCH_ON_MISS": "0", **(env or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        listening.close()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S) as client:
                yield PipelexApi(client)
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def disable_backends(pipelex_home: Path) -> None:
    """Write the override that lets a keyless Pipelex boot for live runs."""
    kit = files("pipelex.kit").joinpath("configs/inference/backends.toml").read_text(encoding="utf-8")
    names = [name for name in tomli.loads(kit) if name not in ("internal", "ollama")]
    override = pipelex_home / "inference" / "backends_override.toml"
    override.parent.mkdir(parents=True)
    override.write_text("".join(f"[{name}]\nenabled = false\n" for name in names), encoding="utf-8")
