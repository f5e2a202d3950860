"""`start`: run a method without waiting, where the orchestrator keeps its runs."""

from functools import partial
from typing import Any

from rpc_server.config import resolve_start_mode
from rpc_server.dispatch import Call, MethodSpec
from rpc_server.methods.execute import RUN_ERRORS
from rpc_server.methods.requests import run_request
from rpc_server.methods.services import Services, orchestrator_of
from schemas.params import StartParams
from schemas.runs import StartAck


def specs(services: Services) -> list[MethodSpec]:
    """The method of this module."""
    return [
        MethodSpec(
            name="start",
            params=StartParams,
            handler=partial(start, services),
            summary="Start a method and return at once; refused where the orchestrator cannot keep the run.",
            result=StartAck,
            errors=RUN_ERRORS,
        )
    ]


async def start(services: Services, call: Call, params: StartParams) -> Any:
    """Answer the `StartAck`. The method is loaded first, so that an invalid one is refused rather than acknowledged."""
    plugins = await services.plugins()
    mode = resolve_start_mode(params.orchestration_mode, services.settings, plugins.orchestrators)
    run = await run_request(services, params, mode)
    await services.pool.check(run)
    orchestrator = await orchestrator_of(services, mode)
    ack = await orchestrator.start(run)
    return ack.model_dump(mode="json", exclude_none=True)
