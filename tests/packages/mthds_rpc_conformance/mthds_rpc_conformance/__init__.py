"""A plugin that offers what the scenarios of the MCP conformance suite expect of a server under test."""

from orchestrators.plugins.mcp_features import Features
from orchestrators.plugins.registrar import Registrar


class ConformancePlugin:
    """Offers features, and runs nothing."""

    name = "conformance"
    targets_api = 1

    def register(self, registrar: Registrar) -> None:
        """Register the features."""
        registrar.add_features(_features)


def _features() -> Features:
    from mthds_rpc_conformance.features import ConformanceFeatures

    return ConformanceFeatures()


plugin = ConformancePlugin()
