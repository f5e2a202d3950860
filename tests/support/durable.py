"""Servers in the mode `dbos`, and what tests ask of them."""

import uuid
from pathlib import Path
from typing import Any

import psutil

from tests.support.bundles import GREETING
from tests.support.client import RpcClient
from tests.support.ledgers import PATIENCE_S
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
