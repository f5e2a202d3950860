"""Records the SQLite file that a release of `dbos` leaves behind, for tests/contract/test_ledger_versions.py.

    python -m tests.contract.ledgers.record RELEASE

Run it once for a release, and keep what it wrote: a later release has to open such a file and go on with its runs.
"""

import os
import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psutil

from tests.support.bundles import GREETING
from tests.support.durable import database_of, start, without_workers
from tests.support.ledgers import Order, until, worker_process, write_settings

FOLDER = Path(__file__).parent
_MODE = {"orchestration_mode": "dbos"}
_WHO = re.compile(r"\b[\w.-]+-\d+-[0-9a-f]{12}\b")


def record(release: str, home: Path) -> None:
    """Have runs of every state kept in a file, and write it down as SQL."""
    settings = str(write_settings(home, drain_s=0))
    greeting = {"mthds_contents": [GREETING], "inputs": {"name": "Ann"}, **_MODE}
    with without_workers(home) as client:
        with worker_process(home, "--config", settings):
            start(client, {**greeting, "run_id": "completed"})
            start(client, {"mthds_contents": [GREETING], "run_id": "failed", **_MODE})
            start(client, _order("wait").params(run_id="timed-out", timeout_s=1, **_MODE))
            start(client, _order("wait").params(run_id="cancelled", **_MODE))
            start(client, _order("wait").params(run_id="handed-back", **_MODE))
            for run_id in ("completed", "failed", "timed-out"):
                client.call("runs/result", {"run_id": run_id, "wait_s": 60})
            for run_id in ("cancelled", "handed-back"):
                _await_running(home, run_id)
            client.result("runs/cancel", {"run_id": "cancelled"})
        start(client, {**greeting, "run_id": "queued"})
        client.result("runs/cancel", {"run_id": start(client, {**greeting, "run_id": "cancelled-early"})})
        with closing(sqlite3.connect(database_of(home))) as connection, connection:
            # The next worker is to take up but one run.
            connection.execute("update workflow_status set queue_name = 'later' where workflow_uuid != 'running'")
        with worker_process(home, "--config", settings) as worker:
            start(client, _order("wait").params(run_id="running", **_MODE))
            _await_running(home, "running")
            _kill(worker.process.pid)
        with closing(sqlite3.connect(database_of(home))) as connection, connection:
            connection.execute("update workflow_status set queue_name = 'mthds-runs'")
    with closing(sqlite3.connect(database_of(home))) as connection:
        text = "\n".join(connection.iterdump()) + "\n"
    # Whose machine it was is left out.
    (FOLDER / f"{release}.sql").write_text(_WHO.sub("worker-1-0123456789ab", text).replace(str(home), "/home/ann"))


def _order(word: str) -> Order:
    return Order(word, Path("run"))


def _await_running(home: Path, run_id: str) -> None:
    def is_running() -> bool:
        query = "select 1 from mthds_events where run_id = ? and event like '%pipe_started%'"
        with closing(sqlite3.connect(database_of(home))) as connection:
            return connection.execute(query, (run_id,)).fetchone() is not None

    until(is_running, f"the run {run_id} to begin")


def _kill(pid: int) -> None:
    worker = psutil.Process(pid)
    for process in (worker, *worker.children(recursive=True)):
        process.kill()
    psutil.wait_procs([worker], timeout=10)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "home").mkdir()
        record(sys.argv[1], Path(folder) / "home")
    os._exit(0)
