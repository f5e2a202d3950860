"""The orchestrator behind `direct`: the pool runs, a ledger in memory remembers."""

from orchestrators.direct.ledger import MemoryLedger
from orchestrators.engines.pool import EnginePool
from orchestrators.plugins.contract import EventSink, RunLedger
from schemas.problem import problem_error
from schemas.runs import RunRequest, RunResult, StartAck


class DirectOrchestrator:
    """Runs in this server's engines; a run ends with its server."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._ledger = MemoryLedger()

    @property
    def ledger(self) -> RunLedger:
        """The runs of this server, as long as it lives."""
        return self._ledger

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        """Run to the end; a request whose very run is known gets the outcome of that run."""
        if self._ledger.same_run(run):
            return await self._ledger.result(run.run_id, float("inf"))
        with self._ledger.recording(run, events) as entry:
            framed = await self._pool.execute_framed(run, entry.take if events is not None else None)
            entry.result = framed.frame
        return framed.result

    async def start(self, run: RunRequest) -> StartAck:
        """Never reached through the server, which asks `supports_fire_and_forget` first."""
        raise problem_error(
            "runtime.unsupported",
            "A run on `direct` ends with the server that runs it, so nothing can be promised.",
            next_step=("change_input", "Call `execute`, or name an orchestration_mode that keeps runs."),
            params={"capability": "start"},
            run_id=run.run_id,
        )
