"""`execute`: run a method and wait for its result."""

import logging
from dataclasses import dataclass, field
from typing import Any

import anyio

from orchestrators.plugins.contract import EventSink, Orchestrator
from rpc_server.calls.progress import event_sink
from rpc_server.calls.requests import run_request
from rpc_server.calls.services import Services, mode_of_run
from rpc_server.wire.dispatch import Call
from schemas.params import ExecuteParams
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunRequest, RunResult, RunState
from schemas.times import iso_time

logger = logging.getLogger(__name__)


async def execute(services: Services, params: ExecuteParams, call: Call) -> Any:
    """Answer the `RunResult`; with `wait_s`, what to call next once that is spent."""
    return await execute_for(services, call, params, event_sink(call))


async def execute_for(services: Services, call: Call, params: ExecuteParams, events: EventSink | None) -> Any:
    """Like `execute`, with the run's events given to `events`."""
    mode = await mode_of_run(services, params.orchestration_mode)
    run = await run_request(services, params, mode)
    orchestrator = await services.plugins.orchestrators.get(mode)
    # A run that owns itself continues when its caller is gone; a caller that cancels still stops it.
    owns_itself = services.plugins.orchestrators.supports_fire_and_forget(mode)
    try:
        if params.wait_s is None:
            result = await orchestrator.execute(run, events)
        elif owns_itself:
            result = await _waited(orchestrator, run, events, params.wait_s)
        else:
            # Somebody will ask for this run again, so its events are kept whether or not this caller wants them.
            result = await _within(services, orchestrator, run, events or _ignore, params.wait_s)
    except anyio.get_cancelled_exc_class():
        if owns_itself and call.is_cancelled_by_caller:
            with anyio.CancelScope(shield=True):
                await _cancel(orchestrator, run.run_id)
        raise
    return result.model_dump(mode="json", exclude_none=True)


async def _waited(orchestrator: Orchestrator, run: RunRequest, events: EventSink | None, wait_s: float) -> RunResult:
    with anyio.move_on_after(wait_s):
        return await orchestrator.execute(run, events)
    return _still_running(run, (await orchestrator.ledger.get(run.run_id)).state)


async def _cancel(orchestrator: Orchestrator, run_id: str) -> None:
    try:
        await orchestrator.ledger.cancel(run_id)
    except ProblemError as error:
        # It had not got as far as the ledger, or the ledger is away; the call is answered as cancelled either way.
        logger.warning("the run %s of a cancelled call may continue: %s", run_id, error)


def _ignore(event: RunEvent) -> None:
    pass


@dataclass
class _Outcome:
    """The outcome of a run that continues in the background."""

    done: anyio.Event = field(default_factory=anyio.Event)
    result: RunResult | None = None
    error: Exception | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


async def _within(
    services: Services, orchestrator: Orchestrator, run: RunRequest, events: EventSink | None, wait_s: float
) -> RunResult:
    outcome = _Outcome()
    services.left_running.start_soon(_run_in_background, orchestrator, run, events, outcome)
    try:
        with anyio.move_on_after(wait_s):
            await outcome.done.wait()
    except BaseException:
        # The caller cancelled while it still waited: the run is the caller's to stop.
        outcome.scope.cancel()
        raise
    if outcome.error is not None:
        raise outcome.error
    return outcome.result or _still_running(run, RunState.RUNNING)


async def _run_in_background(
    orchestrator: Orchestrator, run: RunRequest, events: EventSink | None, outcome: _Outcome
) -> None:
    try:
        with outcome.scope:
            outcome.result = await orchestrator.execute(run, events)
    except Exception as error:  # noqa: BLE001 - the ledger keeps it, and a caller that still waits gets it
        outcome.error = error
    finally:
        outcome.done.set()


def _still_running(run: RunRequest, state: RunState) -> RunResult:
    return RunResult(
        pipeline_run_id=run.run_id,
        orchestration_mode=run.orchestration_mode,
        state=state,
        created_at=iso_time(run.created_at),
        run_mode=run.run_mode,
        next_call={
            "method": "runs/result",
            "params": {"run_id": run.run_id, "orchestration_mode": run.orchestration_mode, "wait_s": 60},
        },
    )
