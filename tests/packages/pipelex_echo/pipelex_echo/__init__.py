"""A plugin of Pipelex that knows nothing of mthds-rpc."""

from pipelex.base_exceptions import PipelexError
from pipelex.plugins.contract import PLUGIN_API_VERSION
from pipelex.plugins.registrar import PluginRegistrar

MODES = ("pipelex-echo", "echo")


class EchoPlugin:
    """Serves its tokens only in a process that was booted under its name."""

    name = "pipelex_echo"
    targets_api = PLUGIN_API_VERSION

    def register(self, registrar: PluginRegistrar) -> None:
        """Register an orchestrator, a validator and an HTTP error mapper."""
        from pipelex_echo.orchestrator import EchoOrchestrator, EchoValidator

        orchestrator = EchoOrchestrator(is_booted=registrar.boot_orchestrator == self.name)
        for mode in MODES:
            registrar.add_orchestrator(mode=mode, orchestrator=orchestrator)
            registrar.add_bundle_validator(mode=mode, validator=EchoValidator())
        registrar.add_http_error_mapper(exc_type_provider=_transport_error, to_pipelex_error=_pipelex_error)


def _transport_error() -> type[Exception]:
    from pipelex_echo.orchestrator import TransportError

    return TransportError


def _pipelex_error(error: Exception) -> PipelexError:
    from pipelex_echo.orchestrator import EchoUnavailableError

    return EchoUnavailableError(f"the transport said: {error}")
