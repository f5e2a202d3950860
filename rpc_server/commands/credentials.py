"""Which model backends are configured and which variables they need; names only, never a value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpc_server.settings.layers import read_layer
from schemas.overlay import lay_over

_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")


@dataclass(frozen=True)
class Backend:
    """An enabled backend. Without `missing` variables live runs can use it."""

    name: str
    variables: tuple[str, ...]
    missing: tuple[str, ...]


def enabled_backends(home: Path, project_config: Path | None, environ: Mapping[str, str]) -> list[Backend] | None:
    """The enabled backends by name, or None before Pipelex has filled its home for the first time.

    Raises `ConfigurationFault` for a file that is not TOML.
    """
    tables = _merged(home / "inference", None if project_config is None else project_config / "inference")
    if tables is None:
        return None
    return [_backend(name, table, environ) for name, table in sorted(tables.items()) if table.get("enabled", True)]


def _merged(home: Path, project: Path | None) -> dict[str, dict[str, Any]] | None:
    """As Pipelex lays them: the project's base else the home's, then the home's override, then the project's."""
    base = (project and read_layer(project / "backends.toml")) or read_layer(home / "backends.toml")
    if base is None:
        return None
    overrides = [read_layer(directory / "backends_override.toml") for directory in (home, project) if directory]
    merged: dict[str, Any] = {}
    for layer in [base, *overrides]:
        lay_over(merged, layer.values if layer is not None else {})
    return {name: table for name, table in merged.items() if isinstance(table, dict)}


def _backend(name: str, table: Mapping[str, Any], environ: Mapping[str, str]) -> Backend:
    variables = tuple(sorted(set(_variables(table))))
    return Backend(name, variables, tuple(variable for variable in variables if not environ.get(variable)))


def _variables(value: Any) -> Iterator[str]:
    """The plain variables of a configured value; one with a fallback is left to Pipelex."""
    if isinstance(value, str):
        names = (name.removeprefix("env:").strip() for name in _PLACEHOLDER.findall(value))
        yield from (name for name in names if re.fullmatch(r"\w+", name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from _variables(item)
