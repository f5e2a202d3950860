"""`mthds-rpc config`: every setting and where it comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rpc_server.commands.flags import add_settings_flags, flags_of, parser
from rpc_server.commands.output import print_json, table
from rpc_server.redaction import masked_setting
from rpc_server.settings.layers import Document, Key
from rpc_server.settings.settings import Settings, load_plugin_settings, load_settings

_DESCRIPTION = """\
Shows every setting, its value and the file it comes from, lowest first of these layers, the last one winning:
  the shipped defaults
  ~/.pipelex/NAME_{PIPELEX_ENV}.toml, then ~/.pipelex/NAME_override.toml (PIPELEX_HOME names another folder)
  the same two in the project's .pipelex, in a trusted project
  --config FILE, then the flags
NAME is `api` (where runs happen), `rpc` (everything else), or `rpc_PLUGIN`. Passwords and keys are not shown."""


@dataclass(frozen=True)
class Row:
    """One setting, its secrets masked. `line` is one-based, None where the value comes from no file."""

    key: str
    value: Any
    origin: str
    line: int | None


def run(arguments: list[str]) -> int:
    """Print the settings. Raises `ConfigurationFault`."""
    options = parser("config", _DESCRIPTION)
    options.add_argument("--json", action="store_true", help="print them as one JSON object")
    add_settings_flags(options)
    chosen = options.parse_args(arguments)
    settings = load_settings(flags_of(chosen))
    rows = list(_rows(settings))
    if chosen.json:
        print_json({"settings": {row.key: _facts(row) for row in rows}, **_surroundings(settings)})
    else:
        print(table((row.key, _shown(row.value), _place(row)) for row in rows))
        print()
        print(table((name, str(value)) for name, value in _surroundings(settings).items()))
    return 0


def _rows(settings: Settings) -> Iterator[Row]:
    documents: Mapping[str, Document] = {**settings.documents, **_plugin_documents(settings)}
    for name, document in documents.items():
        for key, layer in document.origins.items():
            line = layer.line_of(key)
            yield Row(".".join((name, *key)), masked_setting(key[-1], _value(document.values, key)), layer.origin, line)


def _plugin_documents(settings: Settings) -> dict[str, Document]:
    from orchestrators.plugins.discovery import discover

    origins = discover(settings.disabled_plugins).enabled
    return {
        f"rpc_{origin.name}": load_plugin_settings(origin.name, origin.settings_file, settings.layers)
        for origin in origins
    }


def _value(values: Any, key: Key) -> Any:
    for name in key:
        values = values[name]
    return values


def _surroundings(settings: Settings) -> dict[str, Any]:
    project = settings.project
    return {
        "home": str(settings.home_dir),
        "environment": settings.layers.environment,
        "workspace": None if settings.workspace_dir is None else str(settings.workspace_dir),
        "project": None if project is None else str(project.directory),
        "project_trusted": None if project is None else project.trusted,
        # Names alone: the values are keys, mostly.
        "variables_from_files": sorted(settings.environment),
    }


def _facts(row: Row) -> dict[str, Any]:
    return {"value": row.value, "origin": row.origin, "line": row.line}


def _place(row: Row) -> str:
    return row.origin if row.line is None else f"{row.origin}:{row.line}"


def _shown(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
