"""`validate`: validate a method without running it."""

from typing import Any

from rpc_server.calls.services import Services, mode_of_validation
from schemas.params import ValidateParams
from schemas.validation import ValidateRequest


async def validate(services: Services, params: ValidateParams) -> Any:
    """Answer the verdict."""
    mode = await mode_of_validation(services, params.orchestration_mode)
    request = ValidateRequest(
        method=await services.workspace.method_source(params),
        orchestration_mode=mode,
        allow_signatures=params.allow_signatures,
        include=params.include or [],
        graph_pipe_code=params.graph_pipe_code,
    )
    validator = await services.plugins.validators.get(mode)
    verdict = await validator.validate(request)
    return verdict.model_copy(update={"method_root": request.method.origin}).to_wire()
