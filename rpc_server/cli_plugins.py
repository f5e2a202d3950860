"""`mthds-rpc plugins`: what is installed and which modes it serves."""

from importlib.metadata import entry_points
from typing import Any

from orchestrators.discovery import Discovery, PluginRow, discover
from rpc_server.cli_flags import add_settings_flags, flags_of, parser
from rpc_server.cli_output import print_json, table
from rpc_server.config import Settings, load_settings
from rpc_server.modes import KNOWN_PLUGINS

_DESCRIPTION = """\
Lists the installed plugins, the orchestration modes they serve, and what could be installed.

`start` works in the modes marked with a star: their runs go on without a caller."""

_PIPELEX_GROUP = "pipelex.plugins.interpreter"


def run(arguments: list[str]) -> int:
    """Print the plugins; status 1 where one of them failed. Raises `ConfigurationFault`."""
    options = parser("plugins", _DESCRIPTION)
    options.add_argument("--json", action="store_true", help="print them as one JSON object")
    add_settings_flags(options)
    chosen = options.parse_args(arguments)
    settings = load_settings(flags_of(chosen))
    discovery = discover(settings.disabled_plugins)
    if chosen.json:
        print_json(_document(discovery, settings))
    else:
        _print(discovery, settings)
    return 1 if discovery.faults else 0


def _print(discovery: Discovery, settings: Settings) -> None:
    heading = ("PLUGIN", "FROM", "STATE", "MODES", "VALIDATES")
    print(table([heading, *(_cells(row) for row in discovery.rows)]))
    for fault in discovery.faults:
        print(f"\n{fault}")
    for name in discovery.unknown_disabled:
        print(f"\n'{name}' is disabled under [plugins], and no such plugin is installed")
    print(f"\nconfigured mode: {settings.orchestration_mode}")
    for name, install in _installable(discovery).items():
        print(f"not installed: {name}; {install}")
    bridged = _pipelex_plugins()
    if bridged:
        print(
            f"\nPipelex plugins: {', '.join(bridged)}. The modes they serve are found once one is asked for that no"
            " plugin above serves; a mode served above stays there until that plugin is disabled by name."
        )


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


def _document(discovery: Discovery, settings: Settings) -> dict[str, Any]:
    return {
        "plugins": [_row(row) for row in discovery.rows],
        "configured_mode": settings.orchestration_mode,
        "unknown_disabled": discovery.unknown_disabled,
        "not_installed": _installable(discovery),
        "pipelex_plugins": _pipelex_plugins(),
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
    installed = {row.origin.name for row in discovery.rows}
    return {name: install for name, install in KNOWN_PLUGINS.items() if name not in installed}


def _pipelex_plugins() -> list[str]:
    return sorted(entry_point.name for entry_point in entry_points(group=_PIPELEX_GROUP))
