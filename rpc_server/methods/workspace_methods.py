"""`methods/list` and `methods/inputs`: what there is to run, and what it takes."""

from typing import Any

from rpc_server.dispatch import Call, MethodSpec
from rpc_server.method_folders import entry_pipe
from rpc_server.methods.services import Services
from schemas.params import InputsParams, MethodsListParams
from schemas.results import InputsTemplate, MethodsPage


def specs(services: Services) -> list[MethodSpec]:
    """The methods of this module."""

    async def list_methods(call: Call, params: MethodsListParams) -> Any:
        page = await services.workspace.list_methods(params.cursor, params.limit)
        return page.model_dump(mode="json", exclude_none=True)

    async def inputs(call: Call, params: InputsParams) -> Any:
        source = await services.workspace.method_source(params)
        payload = {"method": source.model_dump(mode="json"), "pipe_code": params.pipe_code or entry_pipe(source)}
        return await services.pool.ask("inputs", payload, method=source)

    return [
        MethodSpec(
            name="methods/list",
            params=MethodsListParams,
            handler=list_methods,
            summary="List the methods of the workspace.",
            result=MethodsPage,
        ),
        MethodSpec(
            name="methods/inputs",
            params=InputsParams,
            handler=inputs,
            summary="Give the fill-in template of a pipe's inputs, as JSON and as TOML.",
            result=InputsTemplate,
            errors=("method.invalid", "method.not_found", "request.pipe_not_found", "request.pipe_unspecified"),
        ),
    ]
