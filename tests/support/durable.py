"""Servers in the mode `dbos`, and what tests ask of them."""

import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support.bundles import GREETING
from tests.support.client import RpcClient
from tests.support.ledgers import PATIENCE_S, WorkerProcess, worker_process, write_settings
from tests.support.mcp_client import McpClient, serve_mcp
from tests.support.mthds_server import serve
from tests.support.processes import children_with

DBOS = ("--orchestration-mode", "dbos", "--allow-python")
WAIT = {"wait_s": PATIENCE_S}


def durable(home: Path, *flags: str, **client: Any) -> RpcClient:
    """A server that keeps workers of its own."""
    return serve(home, *DBOS, *flags, **client)


def without_workers(home: Path, *flags: str, **client: Any) -> RpcClient:
    """A server whose runs stay in the queue until somebody starts a worker: its requests name the mode."""
    return serve(home, "--allow-override", "--allow-python", *flags, **client)


class DbosDeployment:
    """Servers and workers that belong together: one home, and the SQLite file in it."""

    mode = "dbos"

    def __init__(self, home: Path, **settings: Any) -> None:
        """`settings` are those of the plugin."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.flags: tuple[str, ...] = ("--config", str(write_settings(home, poll_s=0.05, **settings)))

    def server(self, *flags: str) -> McpClient:
        """A server without workers: its requests name the mode."""
        return serve_mcp(self.home, "--allow-override", "--allow-python", *self.flags, *flags)

    @contextmanager
    def worker(self, **env: str) -> Iterator[WorkerProcess]:
        """A worker for the block; it has to end well, unless a test kills it."""
        with worker_process(self.home, *self.flags, env=env) as worker:
            yield worker
        assert worker.process.returncode in (0, -signal.SIGKILL), worker.stderr

    @contextmanager
    def server_and_worker(self) -> Iterator[McpClient]:
        """A server that keeps a worker of its own."""
        with serve_mcp(self.home, *DBOS, "--allow-override", *self.flags) as client:
            client.result("execute", greeting())
            yield client


def new_id() -> str:
    return f"run-{uuid.uuid4().hex}"


def greeting(name: str = "Ann", **more: Any) -> dict[str, Any]:
    return {"mthds_contents": [GREETING], "inputs": {"name": name}, "run_id": new_id(), **more}


def code_of(error: dict[str, Any]) -> tuple[int, str]:
    return error["code"], error["data"]["code"]


def start(client: RpcClient, params: dict[str, Any]) -> str:
    """Start a run; its id."""
    return str(client.result("start", params)["pipeline_run_id"])


def output_of(client: RpcClient, run_id: str, **more: Any) -> Any:
    return client.result("runs/result", {"run_id": run_id, **WAIT, **more})["output"]


def progress_of(client: RpcClient, token: str) -> list[dict[str, Any]]:
    notes = [note["params"] for note in client.notifications]
    return [note["data"] for note in notes if note["progressToken"] == token]


def database_of(home: Path) -> Path:
    return home / "state" / "mthds-rpc" / "dbos" / "runs.sqlite3"


def workers_of(client: RpcClient) -> list[psutil.Process]:
    return children_with("worker", psutil.Process(client.pid))


def events_of(client: RpcClient, run_id: str) -> list[dict[str, Any]]:
    """The whole story of a run that has ended or will end."""
    token = new_id()
    client.result("runs/watch", {"run_id": run_id, "_meta": {"progressToken": token}})
    return progress_of(client, token)
