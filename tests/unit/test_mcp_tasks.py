"""Runs as tasks: two projections of one record."""

import pytest

from rpc_server.mcp.protocol.tasks import has_ended, legacy_task, modern_task

RECORD = {"pipeline_run_id": "r", "state": "RUNNING", "created_at": "2026-01-01T10:00:00+00:00"}


@pytest.mark.parametrize(
    ("state", "legacy", "modern"),
    [
        ("QUEUED", "working", "working"),
        ("RUNNING", "working", "working"),
        ("COMPLETED", "completed", "completed"),
        ("FAILED", "failed", "completed"),
        ("TIMED_OUT", "failed", "completed"),
        ("CANCELLED", "cancelled", "cancelled"),
    ],
)
def test_a_failed_run_is_a_failed_task_in_the_older_form_and_a_completed_one_in_the_newer(
    state: str, legacy: str, modern: str
) -> None:
    record = {**RECORD, "state": state}
    assert (legacy_task(record)["status"], modern_task(record)["status"]) == (legacy, modern)
    assert has_ended(record) == (legacy != "working")


@pytest.mark.parametrize(
    ("more", "legacy"),
    [
        ({}, "working"),
        ({"finished_at": "2026-01-01T10:01:00+00:00"}, "completed"),
        ({"finished_at": "2026-01-01T10:01:00+00:00", "problem": {"detail": "It went wrong."}}, "failed"),
    ],
)
def test_a_state_of_a_later_release_is_judged_by_whether_the_run_has_ended(
    more: dict[str, object], legacy: str
) -> None:
    record = {**RECORD, "state": "PAUSED", **more}
    assert legacy_task(record)["status"] == legacy
    assert has_ended(record) == (legacy != "working")


def test_the_id_of_a_task_is_the_id_of_its_run_and_its_time_is_not_limited() -> None:
    assert (legacy_task(RECORD)["taskId"], legacy_task(RECORD)["ttl"]) == ("r", None)
    assert (modern_task(RECORD)["taskId"], modern_task(RECORD)["ttlMs"]) == ("r", None)


def test_a_task_that_waits_for_a_worker_says_so() -> None:
    waiting = {**RECORD, "state": "QUEUED", "worker_alive": False}
    assert modern_task(waiting)["statusMessage"] == "queued, and no worker is running to take it"


def test_the_message_of_a_failed_task_is_what_went_wrong() -> None:
    assert (
        legacy_task({**RECORD, "state": "FAILED", "problem": {"detail": "It broke."}})["statusMessage"] == "It broke."
    )
