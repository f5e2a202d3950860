"""What the plugin builds at its first use."""

from collections.abc import AsyncIterator

from orchestrators.plugins.contract import EventSink, RunLedger
from schemas.problem import problem_error
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunRequest, RunResult, RunState, StartAck
from schemas.times import iso_time
from schemas.validation import ValidateRequest, ValidationVerdict


class EchoUnreachable(Exception):
    """Raised for the input `place = "void"`."""


class EchoOrchestrator:
    """Answers the inputs."""

    def __init__(self, greeting: str) -> None:
        self._greeting = greeting
        self._ledger = EchoLedger()

    @property
    def ledger(self) -> RunLedger:
        return self._ledger

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        inputs = run.inputs or {}
        if inputs.get("place") == "void":
            raise EchoUnreachable("the void")
        if events is not None:
            events(RunEvent(run_id=run.run_id, seq=1, kind="run_started", at=run.created_at))
        result = RunResult(
            pipeline_run_id=run.run_id,
            orchestration_mode=run.orchestration_mode,
            created_at=iso_time(run.created_at),
            output={"greeting": self._greeting, **inputs},
        )
        self._ledger.results[run.run_id] = result
        return result

    async def start(self, run: RunRequest) -> StartAck:
        result = await self.execute(run, None)
        return StartAck(
            pipeline_run_id=run.run_id,
            orchestration_mode=run.orchestration_mode,
            state=RunState.COMPLETED,
            created_at=result.created_at,
        )


class EchoLedger:
    """Remembers every run."""

    def __init__(self) -> None:
        self.results: dict[str, RunResult] = {}

    async def get(self, run_id: str) -> RunRecord:
        return _record(await self.result(run_id, 0))

    async def list(self, query: RunQuery) -> RunPage:
        return RunPage(runs=[_record(result) for result in self.results.values()])

    async def result(self, run_id: str, wait_s: float) -> RunResult:
        if run_id not in self.results:
            raise problem_error("run.not_found", f"No echo of {run_id}.", next_step=("change_input", "Check the id."))
        return self.results[run_id]

    async def cancel(self, run_id: str) -> RunRecord:
        return await self.get(run_id)

    async def watch(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        for event in ():
            yield event


class EchoValidator:
    """Finds every method valid."""

    async def validate(self, request: ValidateRequest) -> ValidationVerdict:
        return ValidationVerdict(is_valid=True, message="echo")


def _record(result: RunResult) -> RunRecord:
    return RunRecord(
        pipeline_run_id=result.pipeline_run_id,
        orchestration_mode=result.orchestration_mode,
        state=result.state,
        created_at=result.created_at,
    )
