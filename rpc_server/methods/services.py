"""What the handlers of the wire methods work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anyio.abc import TaskGroup
from orchestrators.registries import BundleValidatorRegistry, OrchestratorRegistry

from orchestrators.contract import Orchestrator
from orchestrators.pool import EnginePool
from rpc_server.config import Settings
from rpc_server.workspace import Workspace


@dataclass(frozen=True)
class Plugins:
    """The registries, once the installed plugins have registered."""

    orchestrators: OrchestratorRegistry
    validators: BundleValidatorRegistry


@dataclass(frozen=True)
class Services:
    """One server's parts, for the life of the server."""

    settings: Settings
    workspace: Workspace
    pool: EnginePool
    plugins: Callable[[], Awaitable[Plugins]]
    """The registries; the first call waits for the plugins."""
    left_running: TaskGroup
    """Holds the runs whose caller has stopped waiting."""


async def orchestrator_of(services: Services, mode: str) -> Orchestrator:
    """The orchestrator that serves `mode`, built at its first use."""
    plugins = await services.plugins()
    return await plugins.orchestrators.get(mode)
