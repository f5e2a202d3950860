"""`version`: what is running here."""

import sys
from typing import Any

from rpc_server import versions
from rpc_server.dispatch import Call, MethodSpec
from rpc_server.methods.services import Services
from schemas.params import EmptyParams
from schemas.results import VersionInfo


def specs(services: Services) -> list[MethodSpec]:
    """The method of this module."""

    async def version(call: Call, params: EmptyParams) -> Any:
        return {
            "protocol_version": versions.MTHDS_PROTOCOL,
            "runner_version": versions.SERVER,
            "implementation": "mthds-rpc",
            "implementation_version": versions.SERVER,
            "runtime_version": versions.PIPELEX,
            "python_version": ".".join(str(part) for part in sys.version_info[:3]),
            "orchestration_mode": services.settings.orchestration_mode,
        }

    return [
        MethodSpec(
            name="version",
            params=EmptyParams,
            handler=version,
            summary="Say what is running: server, runtime and protocol versions, and the configured mode.",
            result=VersionInfo,
        )
    ]
