"""Runs on a Temporal cluster: the extra `mthds-rpc[temporal]`."""

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from orchestrators.plugins.contract import (
    PLUGIN_API_VERSION,
    BundleValidator,
    Orchestrator,
    PluginContext,
    Worker,
)

if TYPE_CHECKING:
    from orchestrators.plugins.registrar import Registrar

MODE = "temporal"


class TemporalPlugin:
    """Serves the token `temporal` where the extra is installed; without it the mode is unknown, as its hint says."""

    name = "temporal"
    targets_api = PLUGIN_API_VERSION

    def register(self, registrar: "Registrar") -> None:
        """Register the orchestrator, its worker, its validator, and what Temporal's errors mean."""
        registrar.add_settings_check(_check)
        if find_spec("temporalio") is None:
            return
        registrar.add_orchestrator(MODE, _orchestrator, supports_fire_and_forget=True)
        registrar.add_bundle_validator(MODE, _validator)
        registrar.add_worker(MODE, _worker)
        for name in ("RPCError", "FailureError", "WorkflowFailureError"):
            registrar.add_error_mapper(partial(_error_type, name), _problem)


def _orchestrator(context: PluginContext) -> Orchestrator:
    from orchestrators.temporal.orchestrator import TemporalOrchestrator

    return TemporalOrchestrator.of(context)


def _validator(context: PluginContext) -> BundleValidator:
    from orchestrators.temporal.validator import TemporalValidator

    return TemporalValidator.of(context)


def _worker(context: PluginContext) -> Worker:
    from orchestrators.temporal.worker import TemporalWorker

    return TemporalWorker(context)


def _error_type(name: str) -> type[BaseException]:
    from orchestrators.temporal import problems

    return problems.MAPPED[name]


def _problem(error: BaseException) -> Any:
    from orchestrators.temporal.problems import problem_of

    return problem_of(error)


def _check(settings: Mapping[str, Any]) -> None:
    from orchestrators.temporal.settings import TemporalSettings

    TemporalSettings.of(settings)


plugin = TemporalPlugin()
