"""`rpc.discover`: this server's own description (OpenRPC 1.3, "Service Discovery Method")."""

import json
from importlib import resources
from typing import Any

from rpc_server.dispatch import Call, MethodSpec
from rpc_server.methods.services import Services
from schemas.params import EmptyParams


def specs(services: Services) -> list[MethodSpec]:
    """The method of this module."""

    async def discover(call: Call, params: EmptyParams) -> Any:
        return json.loads(resources.files("schemas").joinpath("openrpc.json").read_text(encoding="utf-8"))

    return [
        MethodSpec(
            name="rpc.discover",
            params=EmptyParams,
            handler=discover,
            summary="Describe every method, param, result and error as an OpenRPC document.",
            result={"type": "object", "description": "An OpenRPC document."},
        )
    ]
