"""`mthds-rpc plugins`: what is installed and which modes it serves."""

import os
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import anyio

from orchestrators.plugins.discovery import Discovery, PluginRow, discover
from orchestrators.plugins.registries import FoundMode
from rpc_server.bootstrap import open_services
from rpc_server.calls.mode_policy import KNOWN_PLUGINS
from rpc_server.commands.flags import add_settings_flags, flags_of, parser
from rpc_server.commands.output import print_json, table
from rpc_server.redaction import Redactor
from rpc_server.server import log_to_stderr
from rpc_server.settings.settings import Settings, load_settings
from schemas.problem import ProblemError

_DESCRIPTION = """\
Lists the installed plugins, the orchestration modes they serve, and what could be installed.

`start` works in the modes marked with a star: their runs continue without a caller."""

_PIPELEX_GROUP = "pipelex.plugins.interpreter"


def run(arguments: list[str]) -> int:
    """Print the plugins; status 1 where one of them failed. Raises `ConfigurationFault`."""
    options = parser("plugins", _DESCRIPTION)
    options.add_argument("--json", action="store_true", help="print them as one JSON object")
    add_settings_flags(options)
    chosen = options.parse_args(arguments)
    settings = load_settings(flags_of(chosen))
    redactor = Redactor({**os.environ, **settings.environment})
    log_to_stderr(redactor)
    discovery = discover(settings.disabled_plugins)
    bridged = _bridged(discovery, settings, redactor)
    if chosen.json:
        print_json(_document(discovery, settings, bridged))
    else:
        _print(discovery, settings, bridged)
    return 1 if discovery.faults or bridged.fault else 0


@dataclass(frozen=True)
class _Bridged:
    """What the installed Pipelex plugins serve, or why that is unknown."""

    plugins: list[str]
    modes: list[FoundMode] = field(default_factory=list)
    fault: str | None = None


def _bridged(discovery: Discovery, settings: Settings, redactor: Redactor) -> _Bridged:
    """Boots an engine to ask, where any Pipelex plugin is installed and the bridge to them works."""
    plugins = sorted(entry_point.name for entry_point in entry_points(group=_PIPELEX_GROUP))
    works = "pipelex" in [origin.name for origin in discovery.enabled] and not discovery.faults
    return anyio.run(_ask, settings, redactor, plugins) if plugins and works else _Bridged(plugins)


async def _ask(settings: Settings, redactor: Redactor, plugins: list[str]) -> _Bridged:
    async with open_services(settings, redactor) as services:
        try:
            return _Bridged(plugins, await services.plugins.found())
        except ProblemError as error:
            return _Bridged(plugins, fault=error.problem.detail)


def _print(discovery: Discovery, settings: Settings, bridged: _Bridged) -> None:
    heading = ("PLUGIN", "FROM", "STATE", "MODES", "VALIDATES")
    print(table([heading, *(_cells(row) for row in discovery.rows)]))
    for fault in discovery.faults:
        print(f"\n{fault}")
    for name in discovery.unknown_disabled:
        print(f"\n'{name}' is disabled under [plugins], and no such plugin is installed")
    print(f"\nconfigured mode: {settings.orchestration_mode}")
    for name, install in _installable(discovery).items():
        print(f"not installed: {name}; {install}")
    if bridged.plugins:
        print(f"\nPipelex plugins: {', '.join(bridged.plugins)}")
    if bridged.fault:
        print(f"which modes they serve is unknown: {bridged.fault}")
    if bridged.modes:
        print(table([("MODE", "FROM", ""), *(_bridged_cells(found) for found in bridged.modes)]))


def _bridged_cells(found: FoundMode) -> tuple[str, ...]:
    token = found.token
    note = f"goes to {found.shadowed_by} until that is disabled" if found.shadowed_by else ""
    return f"{token.mode}*" if token.supports_fire_and_forget else token.mode, token.provider, note


def _cells(row: PluginRow) -> tuple[str, ...]:
    modes = [f"{mode}*" if forgets else mode for mode, forgets in row.orchestrators.items()]
    origin = row.origin
    return (
        origin.name,
        f"{origin.distribution} {origin.version}",
        row.state,
        ", ".join(modes) or "-",
        ", ".join(row.validators) or "-",
    )


def _document(discovery: Discovery, settings: Settings, bridged: _Bridged) -> dict[str, Any]:
    return {
        "plugins": [_row(row) for row in discovery.rows],
        "configured_mode": settings.orchestration_mode,
        "unknown_disabled": discovery.unknown_disabled,
        "not_installed": _installable(discovery),
        "pipelex_plugins": bridged.plugins,
        "pipelex_modes": [_bridged_row(found) for found in bridged.modes],
        "pipelex_fault": bridged.fault,
    }


def _bridged_row(found: FoundMode) -> dict[str, Any]:
    token = found.token
    return {
        "mode": token.mode,
        "provider": token.provider,
        "start": token.supports_fire_and_forget,
        "validates": token.validates,
        "shadowed_by": found.shadowed_by.name if found.shadowed_by else None,
    }


def _row(row: PluginRow) -> dict[str, Any]:
    return {
        "name": row.origin.name,
        "distribution": row.origin.distribution,
        "version": row.origin.version,
        "state": row.state,
        "orchestrators": {mode: {"start": forgets} for mode, forgets in row.orchestrators.items()},
        "validators": list(row.validators),
        "fault": row.fault,
    }


def _installable(discovery: Discovery) -> dict[str, str]:
    served = {mode for row in discovery.rows for mode in row.orchestrators}
    disabled = {row.origin.name for row in discovery.rows if row.state == "disabled"}
    return {mode: install for mode, install in KNOWN_PLUGINS.items() if mode not in served | disabled}
