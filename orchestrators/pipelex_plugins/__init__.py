"""Runs orchestrator plugins written for Pipelex, unmodified. They run in engines; this process imports none of their
code."""

from typing import TYPE_CHECKING

from orchestrators.plugins.contract import PLUGIN_API_VERSION, PluginContext, TokenSource

if TYPE_CHECKING:
    from orchestrators.plugins.registrar import Registrar


class PipelexPluginsPlugin:
    """Serves the tokens of the installed Pipelex plugins that no plugin of mthds-rpc serves."""

    name = "pipelex"
    targets_api = PLUGIN_API_VERSION

    def register(self, registrar: "Registrar") -> None:
        """Register the source of tokens."""
        registrar.add_token_source(_source)


def _source(context: PluginContext) -> TokenSource:
    from orchestrators.engines.pool import pool_of
    from orchestrators.pipelex_plugins.source import PipelexTokens

    return PipelexTokens(pool_of(context))


plugin = PipelexPluginsPlugin()
