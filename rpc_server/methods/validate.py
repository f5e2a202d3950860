"""`validate`: judge a method without running it."""

from typing import Any

from rpc_server.config import resolve_orchestration_mode
from rpc_server.dispatch import Call
from rpc_server.methods.services import Services
from schemas.params import ValidateParams
from schemas.validation import ValidateRequest


async def validate(services: Services, call: Call, params: ValidateParams) -> Any:
    """Answer the verdict."""
    mode = resolve_orchestration_mode(params.orchestration_mode, services.settings, services.validators)
    request = ValidateRequest(
        method=await services.workspace.method_source(params),
        orchestration_mode=mode,
        allow_signatures=params.allow_signatures,
        include=params.include or [],
        graph_pipe_code=params.graph_pipe_code,
    )
    validator = await services.validators.get(mode)
    return (await validator.validate(request)).to_wire()
