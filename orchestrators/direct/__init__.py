"""Runs on this machine, now, in the engine pool of the server that was asked."""

from typing import TYPE_CHECKING

from orchestrators.plugins.contract import PLUGIN_API_VERSION, BundleValidator, Orchestrator, PluginContext

if TYPE_CHECKING:
    from orchestrators.plugins.registrar import Registrar

MODE = "direct"


class DirectPlugin:
    """Serves the token `direct`."""

    name = "direct"
    targets_api = PLUGIN_API_VERSION

    def register(self, registrar: "Registrar") -> None:
        """Register the orchestrator and the validator of this machine."""
        registrar.add_orchestrator(MODE, _orchestrator, supports_fire_and_forget=False)
        registrar.add_bundle_validator(MODE, _validator)


def _orchestrator(context: PluginContext) -> Orchestrator:
    from orchestrators.direct.orchestrator import DirectOrchestrator
    from orchestrators.engines.pool import pool_of

    return DirectOrchestrator(pool_of(context))


def _validator(context: PluginContext) -> BundleValidator:
    return context.engines


plugin = DirectPlugin()
