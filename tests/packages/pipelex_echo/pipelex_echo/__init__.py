"""A plugin of Pipelex that knows nothing of mthds-rpc."""

from pipelex.base_exceptions import PipelexError
from pipelex.plugins.contract import PLUGIN_API_VERSION
from pipelex.plugins.registrar import PluginRegistrar

MODE = "pipelex-echo"


class EchoPlugin:
    """Serves the token `pipelex-echo`; runs only in a process that was booted under its name."""

    name = "pipelex_echo"
    targets_api = PLUGIN_API_VERSION

    def register(self, registrar: PluginRegistrar) -> None:
        """Register an orchestrator, a validator and an HTTP error mapper."""
        from pipelex_echo.orchestrator import EchoOrchestrator, EchoValidator

        registrar.add_orchestrator(
            mode=MODE, orchestrator=EchoOrchestrator(is_booted=registrar.boot_orchestrator == self.name)
        )
        registrar.add_bundle_validator(mode=MODE, validator=EchoValidator())
        registrar.add_http_error_mapper(exc_type_provider=_transport_error, to_pipelex_error=_pipelex_error)


def _transport_error() -> type[Exception]:
    from pipelex_echo.orchestrator import TransportError

    return TransportError


def _pipelex_error(error: Exception) -> PipelexError:
    from pipelex_echo.orchestrator import EchoUnavailableError

    return EchoUnavailableError(f"the transport said: {error}")
