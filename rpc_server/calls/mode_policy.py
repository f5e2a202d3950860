"""Where a run happens: the policy on orchestration modes, then what the installed plugins serve."""

from typing import Protocol

from rpc_server.settings.settings import Settings
from schemas.problem import ProblemError, problem_error


class Modes(Protocol):
    """What a registry knows of the installed modes."""

    def modes(self) -> list[str]:
        """Every registered token, sorted."""
        ...

    def has(self, mode: str) -> bool: ...


class OrchestratorModes(Modes, Protocol):
    """The same of orchestrators."""

    def supports_fire_and_forget(self, mode: str) -> bool: ...


KNOWN_PLUGINS = {
    "temporal": "pip install --upgrade 'mthds-rpc[temporal]'",
}
"""Our modes that need an extra, and how to install it."""


def resolve_orchestration_mode(requested: str | None, settings: Settings, registry: Modes) -> str:
    """The mode of an `execute` or a `validate`: policy first, then whether anything serves it.

    Raises `ProblemError` coded `pipelex.deployment.orchestration_override_forbidden`, `runtime.unsupported` (the caller
    named the mode) or `pipelex.plugin.not_found` (the deployment did).
    """
    mode = allowed_mode(requested, settings)
    if not registry.has(mode):
        raise no_such_mode(mode, settings, registry.modes())
    return mode


def resolve_start_mode(requested: str | None, settings: Settings, registry: OrchestratorModes) -> str:
    """The mode of a `start`; raises also where the orchestrator cannot run without a waiting caller."""
    mode = resolve_orchestration_mode(requested, settings, registry)
    if not registry.supports_fire_and_forget(mode):
        capable = [name for name in registry.modes() if registry.supports_fire_and_forget(name)]
        raise _start_unsupported(mode, settings, capable)
    return mode


def allowed_mode(requested: str | None, settings: Settings) -> str:
    """The mode that counts by the policy alone. Raises `ProblemError` for an override that is not allowed."""
    default = settings.orchestration_mode
    if requested is None or requested == default:
        return default
    if settings.allow_request_orchestration_mode_override:
        return requested
    raise problem_error(
        "pipelex.deployment.orchestration_override_forbidden",
        f"This server runs everything in the mode '{default}', and the request asks for '{requested}'.",
        next_step=(
            "change_input",
            f"Leave `orchestration_mode` out of the request, or start the server with --orchestration-mode {requested}"
            " or --allow-override.",
        ),
        params={"requested_mode": requested},
    )


def no_such_mode(mode: str, settings: Settings, installed: list[str]) -> ProblemError:
    install = KNOWN_PLUGINS.get(mode)
    remedy = f"Install it with `{install}`" if install else "Install a plugin that serves it"
    detail = f"No installed plugin serves the orchestration mode '{mode}'. Installed: {', '.join(installed) or 'none'}."
    if mode != settings.orchestration_mode:
        return problem_error(
            "runtime.unsupported",
            detail,
            next_step=("change_input", f"{remedy}, or name a mode that is installed."),
            params={"capability": f"orchestration_mode {mode}", "available": installed},
        )
    return problem_error(
        "pipelex.plugin.not_found",
        detail,
        next_step=(
            "fix_configuration",
            f"{remedy}, or set `orchestration_mode` in api_override.toml to an installed one.",
        ),
        params={"setting": "orchestration_mode", "value": mode, "available": installed},
    )


def _start_unsupported(mode: str, settings: Settings, capable: list[str]) -> ProblemError:
    others = [name for name in capable if settings.allow_request_orchestration_mode_override or name == mode]
    remedy = f"name one of {', '.join(others)} as `orchestration_mode`" if others else "use a server in a durable mode"
    return problem_error(
        "runtime.unsupported",
        f"The orchestration mode '{mode}' does not support `start`.",
        next_step=("change_input", f"Call `execute`, which waits, or {remedy}."),
        params={"capability": "start", "orchestration_mode": mode},
    )
