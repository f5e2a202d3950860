"""The official MCP conformance suite. `make conformance` shows what it says, of the scenarios that do not count too."""

from pathlib import Path

import pytest

from tests.conformance.suite import METHODS, run_suite

pytestmark = pytest.mark.anyio

NO_QUESTIONS = "a run asks the client nothing"
NO_SUCH_TASKS = {
    "tasks-lifecycle:sep-2663-tasks-get-status-failed": "a run that fails is a call that completed with an error",
    "tasks-required-task-error:sep-2663-server-returns-missing-capability-when-required": "no tool is a task only",
    "tasks-dispatch-and-envelope:tasks-result-type-complete-on-non-task-responses": NO_QUESTIONS,
    "tasks-mrtr-input:sep-2663-tasks-get-status-input-required": NO_QUESTIONS,
    "tasks-mrtr-input:tasks-mrtr-tasks-update-resumes": NO_QUESTIONS,
    "tasks-mrtr-input:tasks-mrtr-partial-fulfillment": NO_QUESTIONS,
    "tasks-mrtr-composition:sep-2663-mrtr-synchronous-before-task-creation": NO_QUESTIONS,
}
"""Checks of the tasks extension that want a task of a kind which this server does not have, each with the reason."""


async def test_everything_that_2025_11_25_requires_holds_but_what_is_not_offered(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    report = await run_suite("2025-11-25", tmp_path, workspace)

    print(report.summary)
    assert report.status == 0, report


async def test_everything_that_2026_07_28_requires_holds_and_so_do_tasks_but_what_is_not_offered(
    tmp_path: Path,
) -> None:
    report = await run_suite("2026-07-28", tmp_path, METHODS)

    print(report.summary)
    assert report.status == 0, report
    tasks = {failure.name for failure in report.failures if failure.name.startswith("tasks-")}
    assert tasks == set(NO_SUCH_TASKS), report
