"""A worker and a server on a ledger full of odd rows, beside good runs."""

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.params import RUN_ID_PATTERN
from tests.fault.odd_rows import Oddity, OddLedger
from tests.support.client import RpcClient
from tests.support.durable import database_of, greeting, output_of, start, without_workers
from tests.support.ledgers import PATIENCE_S, worker_process, write_settings
from tests.support.postgres import postgres_server

_MODE = {"orchestration_mode": "dbos"}
_GOOD = 3
_LOOKED_AT = 40
_CODES = {"run.lost", "run.not_found", "run.not_finished", "run.cancelled", "run.timed_out"}


@dataclass
class OddReport:
    """What odd rows cost."""

    rows: int
    refused: int
    """Those that the database itself does not take."""
    faults: list[str] = field(default_factory=list)


def try_odd_rows(home: Path, dialect: str, chosen: Sequence[Oddity]) -> OddReport:
    """Have a worker and a server meet these rows."""
    with ExitStack() as stack:
        url = f"sqlite:///{database_of(home)}"
        if dialect == "postgres":
            url = stack.enter_context(postgres_server(home)).url
        settings = write_settings(home, database_url=url, poll_s=0.05, lease_s=2.0)
        with settings.open("a") as file:
            file.write("[rpc_dbos.retention]\nmax_age_days = 0\n")
        odd = OddLedger(url)
        odd.plant(chosen)
        client = stack.enter_context(without_workers(home, "--config", str(settings)))
        return OddReport(len(odd.planted), len(odd.refused), _faults(home, settings, client, odd))


def _faults(home: Path, settings: Path, client: RpcClient, odd: OddLedger) -> list[str]:
    faults = []
    rows = len(_all_runs(client, 7))
    if rows != len(odd.planted) + len(odd.refused):
        faults.append(f"the list has {rows} rows of {len(odd.planted) + len(odd.refused)}")
    with worker_process(home, "--config", str(settings)) as worker:
        worker.wait_until_it_works()
        good = [start(client, greeting(**_MODE)) for _ in range(_GOOD)]
        faults += [f"{id_} is lost" for id_ in good if output_of(client, id_, **_MODE) != {"text": "Hello Ann"}]
        faults += [f"{odd.planted[id_]} has not ended" for id_ in _unsettled(client, odd)]
        for number, (run_id, oddity) in enumerate(odd.planted.items()):
            calls: list[tuple[str, dict[str, Any]]] = [("runs/get", {}), ("runs/result", {"wait_s": 0.5})]
            if number < _LOOKED_AT:
                calls += [("runs/watch", {}), ("runs/cancel", {})]
            for method, params in calls:
                answer = client.call(method, {"run_id": run_id, **params, **_MODE})
                code = answer["error"]["data"]["code"] if "error" in answer else None
                if code is not None and code not in _CODES:
                    faults.append(f"{oddity}: {method} is answered with {code}")
        if worker.process.poll() is not None:
            faults.append(f"the worker is lost: {worker.stderr[-2000:]}")
    faults += [line for line in worker.stderr.splitlines() if "a step of maintenance failed" in line]
    if len(_all_runs(client, 7)) != rows + _GOOD:
        faults.append("the list lost rows")
    return faults


def _all_runs(client: RpcClient, limit: int) -> list[dict[str, Any]]:
    """Every run, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(100_000):
        page = client.result("runs/list", {"limit": limit, **cursor, **_MODE})
        found += page["runs"]
        if "next_cursor" not in page:
            return found
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("the list has no end")


def _unsettled(client: RpcClient, odd: OddLedger) -> list[str]:
    """The runs that still wait or run when nothing more happens to them."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        records = _all_runs(client, 1000)
        going = [record["pipeline_run_id"] for record in records if record["state"] in ("QUEUED", "RUNNING")]
        # A row whose id was made odd is no run that anybody could ask for.
        left = [run_id for run_id in going if run_id in odd.planted and re.fullmatch(RUN_ID_PATTERN, run_id)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)
