"""Runs as tasks: two projections of a run's record, one per era.

The id of a task is the id of its run, so that a task outlives the server wherever its run does. A run is kept as
long as its ledger keeps it, which no ttl changes; so the ttl is null, "unlimited".
"""

from collections.abc import Mapping
from typing import Any

from schemas.json_types import Json
from schemas.shown_text import fit_text

_POLL_MS = 1000
_STATUS = {
    "QUEUED": "working",
    "RUNNING": "working",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "TIMED_OUT": "failed",
    "CANCELLED": "cancelled",
}


def legacy_task(record: Mapping[str, Any]) -> Json:
    """A `Task` of 2025-11-25, of a `RunRecord` as JSON members."""
    return {**_facts(record), "status": _status(record), "ttl": None, "pollInterval": _POLL_MS}


def modern_task(record: Mapping[str, Any]) -> Json:
    """A `Task` of the 2026-07-28 extension, where a run that failed is a call completed with `isError`."""
    status = _status(record)
    return {
        **_facts(record),
        "status": "completed" if status == "failed" else status,
        "ttlMs": None,
        "pollIntervalMs": _POLL_MS,
    }


def has_ended(record: Mapping[str, Any]) -> bool:
    """Whether a task's status will not change any more."""
    return _status(record) != "working"


def _status(record: Mapping[str, Any]) -> str:
    """For a state of a later release it counts whether the run has ended, and with a problem."""
    known = _STATUS.get(record["state"])
    if known is not None:
        return known
    if "finished_at" not in record:
        return "working"
    return "failed" if "problem" in record else "completed"


def _facts(record: Mapping[str, Any]) -> Json:
    return {
        "taskId": record["pipeline_run_id"],
        "statusMessage": _message(record),
        "createdAt": record["created_at"],
        "lastUpdatedAt": record.get("finished_at") or record.get("started_at") or record["created_at"],
    }


def _message(record: Mapping[str, Any]) -> str:
    problem = record.get("problem")
    if problem is not None:
        return fit_text(str(problem["detail"]))
    if record["state"] == "QUEUED" and record.get("worker_alive") is False:
        return "queued, and no worker is running to take it"
    return str(record["state"]).lower()
