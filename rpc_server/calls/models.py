"""`models`: what the configured backends can serve."""

from typing import Any

from rpc_server.calls.services import Services
from schemas.params import ModelsParams


async def models(services: Services, params: ModelsParams) -> Any:
    """Answer the `ModelDeck`."""
    return await services.pool.ask("models", {} if params.type is None else {"type": params.type})
