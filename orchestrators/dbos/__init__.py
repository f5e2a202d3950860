"""Durable runs on an embedded database: SQLite on this machine, Postgres for many."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrators.plugins.contract import (
    PLUGIN_API_VERSION,
    BundleValidator,
    Orchestrator,
    PluginContext,
    SettingFault,
    Worker,
)

if TYPE_CHECKING:
    from orchestrators.plugins.registrar import Registrar

MODE = "dbos"


class DbosPlugin:
    """Serves the token `dbos`."""

    name = "dbos"
    targets_api = PLUGIN_API_VERSION

    def register(self, registrar: "Registrar") -> None:
        """Register the orchestrator, its worker, and where its runs are kept."""
        registrar.add_orchestrator(MODE, _orchestrator, supports_fire_and_forget=True)
        registrar.add_bundle_validator(MODE, _validator)
        registrar.add_worker(MODE, _worker)
        registrar.add_local_ledger(MODE, _is_there)
        registrar.add_settings_check(_check)


def _orchestrator(context: PluginContext) -> Orchestrator:
    from orchestrators.dbos.orchestrator import open_orchestrator

    return open_orchestrator(context)


def _validator(context: PluginContext) -> BundleValidator:
    return context.engines


def _worker(context: PluginContext) -> Worker:
    from orchestrators.dbos.worker import DbosWorker

    return DbosWorker(context)


def _is_there(context: PluginContext) -> bool:
    from orchestrators.dbos.settings import DbosSettings, sqlite_file

    try:
        file = sqlite_file(DbosSettings.of(context.settings), context.state_dir, context.environment)
    except SettingFault:
        # A caller that needs this database gets the fault; a reader of another mode does not need it.
        return False
    return file is not None and file.is_file()


def _check(settings: Mapping[str, Any]) -> None:
    from orchestrators.dbos.settings import DbosSettings

    DbosSettings.of(settings)


plugin = DbosPlugin()
