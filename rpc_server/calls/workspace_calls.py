"""`methods/list` and `methods/inputs`: what there is to run, and what it takes."""

from typing import Any

from rpc_server.calls.services import Services
from schemas.params import InputsParams, MethodsListParams


async def list_methods(services: Services, params: MethodsListParams) -> Any:
    """Answer the `MethodsPage`."""
    page = await services.workspace.list_methods(params.cursor, params.limit)
    return page.model_dump(mode="json", exclude_none=True)


async def inputs(services: Services, params: InputsParams) -> Any:
    """Answer the `InputsTemplate`."""
    source = await services.workspace.method_source(params)
    payload = {"method": source.model_dump(mode="json"), "pipe_code": params.pipe_code}
    return await services.pool.ask("inputs", payload, method=source)
