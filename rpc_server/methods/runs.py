"""`runs/*`: what has become of a run, by its id."""

from typing import Any

from orchestrators.contract import RunLedger
from rpc_server.dispatch import Call
from rpc_server.methods.services import Services, mode_of_reading
from schemas.params import RunRef, RunResultParams, RunsListParams, RunWatchParams
from schemas.results import WatchEnd
from schemas.runs import RunQuery


async def _ledger(services: Services, requested: str | None) -> RunLedger:
    mode = await mode_of_reading(services, requested)
    return (await services.plugins.orchestrators.get(mode)).ledger


async def get(services: Services, call: Call, params: RunRef) -> Any:
    """Answer the `RunRecord`."""
    ledger = await _ledger(services, params.orchestration_mode)
    return (await ledger.get(params.run_id)).model_dump(mode="json", exclude_none=True)


async def list_runs(services: Services, call: Call, params: RunsListParams) -> Any:
    """Answer the `RunPage`."""
    ledger = await _ledger(services, params.orchestration_mode)
    query = RunQuery(
        state=params.state, method=params.method, since=params.since, cursor=params.cursor, limit=params.limit
    )
    return (await ledger.list(query)).model_dump(mode="json", exclude_none=True)


async def result(services: Services, call: Call, params: RunResultParams) -> Any:
    """Answer the `RunResult`, or the run's own problem as an error."""
    ledger = await _ledger(services, params.orchestration_mode)
    return (await ledger.result(params.run_id, params.wait_s)).model_dump(mode="json", exclude_none=True)


async def cancel(services: Services, call: Call, params: RunRef) -> Any:
    """Answer the `RunRecord` of the run that was cancelled."""
    ledger = await _ledger(services, params.orchestration_mode)
    return (await ledger.cancel(params.run_id)).model_dump(mode="json", exclude_none=True)


async def watch(services: Services, call: Call, params: RunWatchParams) -> Any:
    """Pass on each event, where progress was asked for, and answer the `WatchEnd` once the run has ended."""
    ledger = await _ledger(services, params.orchestration_mode)
    last_seq = params.after
    async for event in ledger.watch(params.run_id, params.after):
        last_seq = event.seq
        if call.progress is not None:
            call.progress(event)
    record = await ledger.get(params.run_id)
    return WatchEnd(pipeline_run_id=params.run_id, state=record.state, last_seq=last_seq).model_dump(mode="json")
