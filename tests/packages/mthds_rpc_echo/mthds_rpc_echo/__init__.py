"""A plugin of mthds-rpc as somebody else would write it: it runs nothing and answers what it was asked."""

from pathlib import Path

from orchestrators.plugins.contract import BundleValidator, Orchestrator, PluginContext
from orchestrators.plugins.registrar import Registrar
from schemas.problem import NextStep, Problem

MODE = "echo"


class EchoPlugin:
    """Serves the token `echo`."""

    name = "echo"
    targets_api = 1

    def __init__(self) -> None:
        self._marker: Path | None = None

    def register(self, registrar: Registrar) -> None:
        """Register everything a plugin can."""
        registrar.add_orchestrator(MODE, self._orchestrator, supports_fire_and_forget=True)
        registrar.add_bundle_validator(MODE, self._validator)
        registrar.add_error_mapper(_unreachable, _problem, rpc_code=-31901)
        registrar.add_teardown(self._end)

    def _orchestrator(self, context: PluginContext) -> Orchestrator:
        from mthds_rpc_echo.orchestrator import EchoOrchestrator

        if context.settings["marker"]:
            self._marker = Path(context.settings["marker"])
        return EchoOrchestrator(context.settings["greeting"])

    def _validator(self, context: PluginContext) -> BundleValidator:
        from mthds_rpc_echo.orchestrator import EchoValidator

        return EchoValidator()

    async def _end(self) -> None:
        if self._marker is not None:
            self._marker.write_text("ended")


def _unreachable() -> type[BaseException]:
    from mthds_rpc_echo.orchestrator import EchoUnreachable

    return EchoUnreachable


def _problem(error: BaseException) -> Problem:
    return Problem(
        code="echo.unreachable",
        title="There is no echo",
        detail=f"Nothing came back from {error}.",
        next_step=NextStep(kind="retry", detail="Shout louder."),
    )


plugin = EchoPlugin()
