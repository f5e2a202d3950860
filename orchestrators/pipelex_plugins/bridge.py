"""A Pipelex plugin's orchestrator and validator as ours: each call is an operation of an engine booted for it."""

from orchestrators.engines.pool import EnginePool, Lane
from orchestrators.pipelex_plugins.ledger import BridgedLedger
from orchestrators.plugins.contract import EventSink, RunLedger
from schemas.runs import RunRequest, RunResult, StartAck
from schemas.validation import ValidateRequest, ValidationVerdict


class BridgedOrchestrator:
    """Implements `Orchestrator`."""

    def __init__(self, pool: EnginePool, lane: Lane) -> None:
        self._pool = pool
        self._lane = lane
        self._ledger = BridgedLedger()

    @property
    def ledger(self) -> RunLedger:
        """The runs this server gave to the plugin, as long as it lives."""
        return self._ledger

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        """Run to the end in the plugin's orchestrator; a request whose very run is known gets that run's outcome."""
        waited = self._ledger.waited
        if self._ledger.started(run) is not None:
            # Raises: the end of a started run is not known here.
            return await self._ledger.result(run.run_id, 0)
        if waited.same_run(run):
            return await waited.result(run.run_id, float("inf"))
        with waited.recording(run, events) as entry:
            sink = entry.take if events is not None else None
            framed = await self._pool.execute_framed(run, sink, self._lane, "bridge_execute")
            entry.result = framed.frame
        return framed.result

    async def start(self, run: RunRequest) -> StartAck:
        """Return once the plugin's orchestrator has taken the run; the same request again gets the same answer."""
        known = self._ledger.started(run)
        if known is not None:
            return known
        ack = StartAck.model_validate(await self._pool.run_operation("bridge_start", run, None, self._lane))
        self._ledger.add_started(run, ack)
        return ack


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
