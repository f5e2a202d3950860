"""What this server knows of the runs it gave to a Pipelex plugin: Pipelex's contract itself has no ledger."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from orchestrators.direct.ledger import CAPACITY, MemoryLedger
from schemas.canonical import request_digest
from schemas.problem import ProblemError, problem_error
from schemas.run_problems import run_id_taken
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunRequest, RunResult, StartAck
from schemas.times import iso_time


@dataclass(frozen=True)
class _Started:
    ack: StartAck
    record: RunRecord
    digest: str


@dataclass
class BridgedLedger:
    """Implements `RunLedger`. What became of a started run, only the plugin's own system knows."""

    waited: MemoryLedger = field(default_factory=MemoryLedger)
    """The runs of `execute`."""
    _started: OrderedDict[str, _Started] = field(default_factory=OrderedDict)

    def started(self, run: RunRequest) -> StartAck | None:
        """The acknowledgement of this very request, if it has one. Raises like `MemoryLedger.same_run`."""
        known = self._started.get(run.run_id)
        if known is not None and known.digest == request_digest(run):
            return known.ack
        if known is not None or self.waited.same_run(run):
            raise run_id_taken(run.run_id)
        return None

    def add_started(self, run: RunRequest, ack: StartAck) -> None:
        """Remember a run that the plugin has taken; the oldest are forgotten."""
        record = RunRecord.model_validate(
            {**ack.model_dump(mode="json", exclude_none=True), "pipe": run.pipe_code, "method": run.method.name}
        )
        self._started[run.run_id] = _Started(ack, record, request_digest(run))
        while len(self._started) > CAPACITY:
            self._started.popitem(last=False)

    async def get(self, run_id: str) -> RunRecord:
        """The record as it stands; that of a started run stays as it was when the plugin took it."""
        known = self._started.get(run_id)
        return known.record if known is not None else await self.waited.get(run_id)

    async def list(self, query: RunQuery) -> RunPage:
        """Newest first; the cursor is the run id the page before ended with."""
        waited = (await self.waited.list(RunQuery(limit=1000))).runs
        started = [known.record for known in self._started.values()]
        everything = sorted([*waited, *started], key=lambda record: record.created_at, reverse=True)
        ids = [record.pipeline_run_id for record in everything]
        after = ids.index(query.cursor) + 1 if query.cursor in ids else 0
        found = [record for record in everything[after:] if _matches(record, query)]
        page = found[: query.limit]
        more = len(found) > len(page)
        return RunPage(runs=page, next_cursor=page[-1].pipeline_run_id if more else None)

    async def result(self, run_id: str, wait_s: float) -> RunResult:
        """The result of a run that was waited for. Raises `run.outcome_unknown` for a started one."""
        if run_id in self._started:
            raise _elsewhere(self._started[run_id].record)
        return await self.waited.result(run_id, wait_s)

    async def cancel(self, run_id: str) -> RunRecord:
        """Stop a run that is waited for. Raises `run.outcome_unknown` for a started one."""
        if run_id in self._started:
            raise _elsewhere(self._started[run_id].record)
        return await self.waited.cancel(run_id)

    async def watch(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """The events of a run that is waited for. Raises `run.outcome_unknown` for a started one."""
        if run_id in self._started:
            raise _elsewhere(self._started[run_id].record)
        async for event in self.waited.watch(run_id, after):
            yield event


def _matches(record: RunRecord, query: RunQuery) -> bool:
    return (
        (query.state is None or record.state == query.state)
        and (query.method is None or record.method == query.method)
        and (query.since is None or record.created_at >= iso_time(query.since))
    )


def _elsewhere(record: RunRecord) -> ProblemError:
    return problem_error(
        "run.outcome_unknown",
        f"The run was handed to the orchestrator '{record.orchestration_mode}', whose own system alone follows it.",
        next_step=("read_run", "Look the run up there, under the `workflow_id` of its acknowledgement."),
        params={"pipeline_run_id": record.pipeline_run_id},
        run_id=record.pipeline_run_id,
    )
