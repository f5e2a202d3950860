"""What the handlers of the wire methods work with."""

from dataclasses import dataclass

from anyio.abc import TaskGroup
from orchestrators.registries import BundleValidatorRegistry, OrchestratorRegistry

from orchestrators.pool import EnginePool
from rpc_server.config import Settings
from rpc_server.workspace import Workspace


@dataclass(frozen=True)
class Services:
    """One server's parts, for the life of the server."""

    settings: Settings
    workspace: Workspace
    pool: EnginePool
    orchestrators: OrchestratorRegistry
    validators: BundleValidatorRegistry
    left_running: TaskGroup
    """Holds the runs whose caller has stopped waiting."""
