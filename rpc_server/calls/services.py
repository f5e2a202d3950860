"""What the handlers of the wire methods work with, and the mode of each call.

Invariant: the policy is asked before a plugin or an engine is, so that a refused mode starts nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from orchestrators.engines.pool import EnginePool
from orchestrators.plugins.contract import BackgroundTasks
from orchestrators.plugins.registries import Plugins
from rpc_server.calls.mode_policy import (
    allowed_mode,
    no_such_mode,
    resolve_orchestration_mode,
    resolve_start_mode,
)
from rpc_server.settings.settings import Settings
from rpc_server.workspace.workspace import Workspace


@dataclass(frozen=True)
class Services:
    """One server's parts, for the life of the server."""

    settings: Settings
    workspace: Workspace
    pool: EnginePool
    plugins: Plugins
    state_dir: Path
    """The user's state directory of mthds-rpc; may not exist yet."""
    left_running: BackgroundTasks
    """Holds the runs whose caller has stopped waiting."""


async def mode_of_run(services: Services, requested: str | None) -> str:
    """The orchestration mode of an `execute`. Raises `ProblemError`, by the policy first."""
    await _look_up(services, requested)
    return resolve_orchestration_mode(requested, services.settings, services.plugins.orchestrators)


async def mode_of_start(services: Services, requested: str | None) -> str:
    """The orchestration mode of a `start`; refused also where runs need a caller that waits."""
    await _look_up(services, requested)
    return resolve_start_mode(requested, services.settings, services.plugins.orchestrators)


async def mode_of_validation(services: Services, requested: str | None) -> str:
    """The orchestration mode of a `validate`."""
    await _look_up(services, requested)
    return resolve_orchestration_mode(requested, services.settings, services.plugins.validators)


async def mode_of_reading(services: Services, requested: str | None) -> str:
    """The mode whose ledger is asked; reading is exempt from the policy, so that a run outlives a change of it."""
    mode = requested or services.settings.orchestration_mode
    await services.plugins.look_up(mode)
    if not services.plugins.orchestrators.has(mode):
        raise no_such_mode(mode, services.settings, services.plugins.orchestrators.modes())
    return mode


async def _look_up(services: Services, requested: str | None) -> None:
    # Before anything is asked of an engine, the policy has had its say.
    await services.plugins.look_up(allowed_mode(requested, services.settings))
