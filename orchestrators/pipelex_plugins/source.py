"""Which tokens the installed Pipelex plugins serve: an engine is asked, since they exist only after Pipelex booted."""

from importlib.metadata import entry_points
from typing import Any

from orchestrators.engines.pool import EnginePool, Lane
from orchestrators.pipelex_plugins.bridge import BridgedOrchestrator, BridgedValidator
from orchestrators.plugins.contract import BundleValidator, FoundToken, Orchestrator, PluginContext

PIPELEX_GROUP = "pipelex.plugins.interpreter"


class PipelexTokens:
    """Implements `TokenSource`."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._plugin_of: dict[str, str] = {}

    async def tokens(self) -> list[FoundToken]:
        """Boot an engine and ask it, where any Pipelex plugin is installed. Raises `ProblemError` if none boots."""
        if not entry_points(group=PIPELEX_GROUP):
            return []
        answer: dict[str, dict[str, Any]] = await self._pool.ask("bridge_tokens", {})
        self._plugin_of = {token: facts["plugin"] for token, facts in answer.items()}
        return [
            FoundToken(
                mode=token,
                provider=f"the Pipelex plugin '{facts['plugin']}'",
                orchestrates=facts["orchestrates"],
                supports_fire_and_forget=facts["fire_and_forget"],
                validates=facts["validates"],
            )
            for token, facts in answer.items()
        ]

    def orchestrator(self, context: PluginContext) -> Orchestrator:
        """The orchestrator of a token that was found."""
        return BridgedOrchestrator(self._pool, self._lane(context.mode))

    def validator(self, context: PluginContext) -> BundleValidator:
        """The validator of a token that was found."""
        return BridgedValidator(self._pool, self._lane(context.mode))

    def _lane(self, mode: str) -> Lane:
        # Some plugins take effect only in a process that was booted under their name, and may keep state there.
        plugin = self._plugin_of[mode]
        return Lane(key=f"pipelex:{plugin}", max_engines=1, boot_orchestrator=plugin)
