"""`validate`: judge a method without running it."""

from functools import partial
from typing import Any

from rpc_server.config import resolve_orchestration_mode
from rpc_server.dispatch import Call, MethodSpec
from rpc_server.methods.services import Services
from schemas.params import ValidateParams
from schemas.validation import ValidateRequest, ValidationVerdict


def specs(services: Services) -> list[MethodSpec]:
    """The method of this module."""
    return [
        MethodSpec(
            name="validate",
            params=ValidateParams,
            handler=partial(validate, services),
            summary="Judge a method; a verdict for a valid and for an invalid one alike.",
            result=ValidationVerdict,
            errors=(
                "pipelex.deployment.orchestration_override_forbidden",
                "runtime.unsupported",
                "pipelex.plugin.not_found",
                "method.not_found",
                "security.method_path_refused",
                "pipelex.deployment.custom_code_requires_sandbox",
            ),
        )
    ]


async def validate(services: Services, call: Call, params: ValidateParams) -> Any:
    """Answer the verdict."""
    plugins = await services.plugins()
    mode = resolve_orchestration_mode(params.orchestration_mode, services.settings, plugins.validators)
    request = ValidateRequest(
        method=await services.workspace.method_source(params),
        orchestration_mode=mode,
        allow_signatures=params.allow_signatures,
        include=params.include or [],
        graph_pipe_code=params.graph_pipe_code,
    )
    validator = await plugins.validators.get(mode)
    return (await validator.validate(request)).to_wire()
