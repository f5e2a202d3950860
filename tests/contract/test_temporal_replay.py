"""A worker of this release goes on with what workers of earlier ones began: Temporal replays their histories."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from orchestrators.temporal.names import RUN
from orchestrators.temporal.sdk_runtime import RUNTIME
from orchestrators.temporal.workflows import RunMethod, ValidateMethod

pytestmark = pytest.mark.anyio

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def history_of(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))


async def replay(file: Path, *workflows: type) -> None:
    replayer = Replayer(workflows=workflows, workflow_runner=UnsandboxedWorkflowRunner(), runtime=RUNTIME)
    await replayer.replay_workflow(history_of(file))


def test_every_way_that_a_run_ends_is_on_record() -> None:
    kinds = {file.stem.split("-", 1)[1] for file in HISTORIES}

    assert kinds >= {"completed", "failed", "timed-out", "cancelled", "handed-back", "validated"}


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
async def test_the_workflows_of_this_release_agree_with_a_recorded_history(file: Path) -> None:
    await replay(file, RunMethod, ValidateMethod)


async def test_a_workflow_that_does_something_else_first_would_be_noticed() -> None:
    completed = [file for file in HISTORIES if file.stem.endswith("completed")]

    with pytest.raises(NondeterminismError):
        await replay(completed[0], Changed)


@workflow.defn(name=RUN)
class Changed:
    @workflow.run
    async def run(self, order: dict[str, Any]) -> None:
        await workflow.sleep(timedelta(seconds=1))
