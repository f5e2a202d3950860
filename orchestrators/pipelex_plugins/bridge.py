"""A Pipelex plugin's orchestrator and validator as ours: each call is an operation of an engine booted for the plugin."""

from orchestrators.contract import EventSink, RunLedger
from orchestrators.direct.ledger import MemoryLedger
from orchestrators.pool import EnginePool, Lane
from schemas.runs import RunRequest, RunResult, StartAck
from schemas.validation import ValidateRequest, ValidationVerdict


class BridgedOrchestrator:
    """Implements `Orchestrator`."""

    def __init__(self, pool: EnginePool, lane: Lane) -> None:
        self._pool = pool
        self._lane = lane
        self._ledger = MemoryLedger()

    @property
    def ledger(self) -> RunLedger:
        """The runs this server asked for, as long as it lives: Pipelex's contract has no ledger."""
        return self._ledger

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        """Run to the end in the plugin's orchestrator; a request whose very run is known gets that run's outcome."""
        if self._ledger.same_run(run):
            return await self._ledger.result(run.run_id, float("inf"))
        with self._ledger.recording(run, events) as entry:
            answer = await self._pool.run_operation("bridge_execute", run, None, self._lane)
            entry.result = RunResult.model_validate(answer)
        assert entry.result is not None
        return entry.result

    async def start(self, run: RunRequest) -> StartAck:
        """Return once the plugin's orchestrator has taken the run."""
        return StartAck.model_validate(await self._pool.run_operation("bridge_start", run, None, self._lane))


class BridgedValidator:
    """Implements `BundleValidator`."""

    def __init__(self, pool: EnginePool, lane: Lane) -> None:
        self._pool = pool
        self._lane = lane

    async def validate(self, request: ValidateRequest) -> ValidationVerdict:
        """The plugin's verdict. Raises `ProblemError` where it gave none."""
        payload = request.model_dump(mode="json", exclude_none=True)
        answer = await self._pool.ask("bridge_validate", payload, self._lane, request.method)
        return ValidationVerdict.model_validate(answer)
