"""`runs/*`: what has become of a run, by its id."""

from typing import Any

from orchestrators.plugins.contract import EventSink, RunLedger
from rpc_server.calls.progress import event_sink
from rpc_server.calls.services import Services, mode_of_reading
from rpc_server.wire.dispatch import Call
from schemas.params import RunRef, RunResultParams, RunsListParams, RunWatchParams
from schemas.problem import ProblemError
from schemas.results import WatchEnd
from schemas.runs import RunPage, RunQuery, RunRecord


async def get(services: Services, params: RunRef) -> Any:
    """Answer the `RunRecord`."""
    _, record = await found(services, params)
    return record.model_dump(mode="json", exclude_none=True)


async def list_runs(services: Services, params: RunsListParams) -> Any:
    """Answer the `RunPage`. Where no mode is named, the local ledger's runs follow those of the configured mode."""
    modes = await _modes(services, params.orchestration_mode)
    mode, cursor = _place(params.cursor, modes)
    runs: list[RunRecord] = []
    for at in range(modes.index(mode), len(modes)):
        query = RunQuery(
            state=params.state,
            method=params.method,
            since=params.since,
            cursor=cursor,
            limit=params.limit - len(runs),
        )
        page = await (await _ledger(services, modes[at])).list(query)
        runs += page.runs
        if page.next_cursor is not None:
            return _page(runs, f"{modes[at]}/{page.next_cursor}")
        if len(runs) == params.limit and at + 1 < len(modes):
            return _page(runs, f"{modes[at + 1]}/")
        cursor = None
    return _page(runs, None)


async def result(services: Services, params: RunResultParams) -> Any:
    """Answer the `RunResult`, or the run's own problem as an error."""
    ledger, _ = await found(services, params)
    return (await ledger.result(params.run_id, params.wait_s)).model_dump(mode="json", exclude_none=True)


async def cancel(services: Services, params: RunRef) -> Any:
    """Answer the `RunRecord` of the run that was cancelled."""
    ledger, _ = await found(services, params)
    return (await ledger.cancel(params.run_id)).model_dump(mode="json", exclude_none=True)


async def watch(services: Services, params: RunWatchParams, call: Call) -> Any:
    """Pass on each event, where progress was asked for, and answer the `WatchEnd` once the run has ended."""
    return await watch_for(services, params, event_sink(call))


async def watch_for(services: Services, params: RunWatchParams, events: EventSink | None) -> Any:
    """Like `watch`, with the run's events given to `events`."""
    ledger, _ = await found(services, params)
    last_seq = params.after
    async for event in ledger.watch(params.run_id, params.after):
        last_seq = event.seq
        if events is not None:
            events(event)
    record = await ledger.get(params.run_id)
    return WatchEnd(pipeline_run_id=params.run_id, state=record.state, last_seq=last_seq).model_dump(mode="json")


async def found(services: Services, params: RunRef) -> tuple[RunLedger, RunRecord]:
    """The ledger that knows a run, and its record there. Raises `run.not_found` of the first ledger asked."""
    unknown: ProblemError | None = None
    for mode in await _modes(services, params.orchestration_mode):
        ledger = await _ledger(services, mode)
        try:
            return ledger, await ledger.get(params.run_id)
        except ProblemError as error:
            if error.problem.code != "run.not_found":
                raise
            unknown = unknown or error
    assert unknown is not None
    raise unknown


async def _modes(services: Services, requested: str | None) -> list[str]:
    """The modes whose ledgers are asked, in that order."""
    first = await mode_of_reading(services, requested)
    if requested is not None:
        return [first]
    return [first, *(mode for mode in services.plugins.local_ledgers() if mode != first)]


async def _ledger(services: Services, mode: str) -> RunLedger:
    return (await services.plugins.orchestrators.get(mode)).ledger


def _place(cursor: str | None, modes: list[str]) -> tuple[str, str | None]:
    """The mode and its own cursor; an unknown cursor begins at the newest run."""
    mode, _, inner = (cursor or "").partition("/")
    return (mode, inner or None) if mode in modes else (modes[0], None)


def _page(runs: list[RunRecord], cursor: str | None) -> Any:
    return RunPage(runs=runs, next_cursor=cursor).model_dump(mode="json", exclude_none=True)
