"""`models`: what the configured backends can serve."""

from typing import Any

from rpc_server.dispatch import Call, MethodSpec
from rpc_server.methods.services import Services
from schemas.params import ModelsParams
from schemas.results import ModelDeck


def specs(services: Services) -> list[MethodSpec]:
    """The method of this module."""

    async def models(call: Call, params: ModelsParams) -> Any:
        return await services.pool.ask("models", {} if params.type is None else {"type": params.type})

    return [
        MethodSpec(
            name="models",
            params=ModelsParams,
            handler=models,
            summary="List the models that the configured backends can serve.",
            result=ModelDeck,
        )
    ]
