"""`start`: run a method without waiting, where the orchestrator keeps its runs."""

from typing import Any

from orchestrators.plugins.contract import RemoteOrchestrator
from rpc_server.calls.requests import run_request
from rpc_server.calls.services import Services, mode_of_start
from schemas.params import StartParams


async def start(services: Services, params: StartParams) -> Any:
    """Answer the `StartAck`. The method is loaded first, so that an invalid one is refused rather than acknowledged."""
    mode = await mode_of_start(services, params.orchestration_mode)
    run = await run_request(services, params, mode)
    orchestrator = await services.plugins.orchestrators.get(mode)
    if isinstance(orchestrator, RemoteOrchestrator):
        await orchestrator.reach()
    await services.pool.check(run)
    ack = await orchestrator.start(run)
    return ack.model_dump(mode="json", exclude_none=True)
