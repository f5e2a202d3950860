"""`start`: run a method without waiting, where the orchestrator keeps its runs."""

from typing import Any

from rpc_server.config import resolve_start_mode
from rpc_server.dispatch import Call
from rpc_server.methods.requests import run_request
from rpc_server.methods.services import Services
from schemas.params import StartParams


async def start(services: Services, call: Call, params: StartParams) -> Any:
    """Answer the `StartAck`. The method is loaded first, so that an invalid one is refused rather than acknowledged."""
    mode = resolve_start_mode(params.orchestration_mode, services.settings, services.orchestrators)
    run = await run_request(services, params, mode)
    await services.pool.check(run)
    orchestrator = await services.orchestrators.get(mode)
    ack = await orchestrator.start(run)
    return ack.model_dump(mode="json", exclude_none=True)
