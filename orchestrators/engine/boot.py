"""Booting Pipelex once in this process: quiet, private, with whatever credentials exist."""

import contextlib
import importlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli

from orchestrators.engine.options import EngineOptions

if TYPE_CHECKING:
    from pipelex.pipelex import Pipelex

_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")
_SILENCE = {
    "DO_NOT_TRACK": "1",
    "PIPELEX_USAGE_STATS": "0",
    "PIPELEX_METHODS_FETCH_ON_MISS": "0",
}


@dataclass(frozen=True)
class BootedPipelex:
    """A running Pipelex and what it lacks."""

    pipelex: "Pipelex"
    missing_credentials: dict[str, list[str]]
    """Each backend that was disabled -> the variables it needs."""


def boot(options: EngineOptions) -> BootedPipelex:
    """Boot in `options.work_dir`. Raises Pipelex's own errors where its configuration is broken."""
    _enter_work_dir(options)
    _set_environment(options.environment)
    # Importing pipelex loads `.env` files over the real variables; those are put back.
    real = dict(os.environ)
    pipelex_module = importlib.import_module("pipelex.pipelex")
    os.environ.update(real)
    models_manager, missing = _models_manager(Path(options.work_dir))
    pipelex = pipelex_module.Pipelex.make(
        models_manager=models_manager,
        boot_orchestrator=options.boot_orchestrator,
        telemetry_manager=_no_telemetry(),
        config_overrides=_config_overrides(options),
    )
    return BootedPipelex(pipelex=pipelex, missing_credentials=missing)


def _enter_work_dir(options: EngineOptions) -> None:
    config_dir = Path(options.work_dir) / ".pipelex"
    if options.project_config_dir is None:
        config_dir.mkdir(exist_ok=True)
    else:
        config_dir.symlink_to(options.project_config_dir)
    os.chdir(options.work_dir)


def _set_environment(extra: Mapping[str, str]) -> None:
    for name, value in extra.items():
        os.environ.setdefault(name, value)
    os.environ.update(_SILENCE)
    # Methods come with the request alone, never from a path of the host.
    os.environ.pop("PIPELEXPATH", None)


def _config_overrides(options: EngineOptions) -> dict[str, Any]:
    return {
        "runtime": {
            "log": {
                "default_log_level": "ERROR",
                "console_print_target": "stderr",
                "console_log_target": "stderr",
                "pretty_print_mode": "silent",
                "package_log_levels": {"pipelex": "CRITICAL"},
            },
            "storage": {"method": "local", "local": {"local_storage_path": options.artifacts_dir}},
            "tracing": {"is_enabled": False},
            "reporting": {"is_log_costs_to_console": False, "is_generate_cost_report_file_enabled": False},
        },
        "interpreter": {
            "pipeline_execution": {"is_generate_graph": False, "is_generate_usage": False},
            "methods": {"fetch_on_miss": False},
        },
        "inference": {"model_deck": {"missing_presets_reaction": "none"}},
    }


def _no_telemetry() -> Any:
    return importlib.import_module("pipelex.system.telemetry.telemetry_manager_abstract").TelemetryManagerNoOp()


def _models_manager(work_dir: Path) -> tuple[Any, dict[str, list[str]]]:
    """A model manager that leaves out each backend whose variables are not set, and the list of those."""
    from pipelex.cogt.exceptions import InferenceBackendCredentialsError
    from pipelex.cogt.models.model_manager import ModelManager
    from pipelex.system.configuration.config_loader import config_manager

    disabled_file = work_dir / "backends_without_credentials.toml"
    missing: dict[str, list[str]] = {}

    class CredentialTolerantModelManager(ModelManager):
        """Disables what lacks its credentials instead of refusing to boot."""

        def setup(self, **kwargs: Any) -> None:
            paths = [*config_manager.backends_file_paths(), disabled_file]
            missing.update(_backends_missing_variables(paths[:-1]))
            while True:
                _write_disabled(disabled_file, missing)
                try:
                    super().setup(**{**kwargs, "backends_library_paths": paths})
                except InferenceBackendCredentialsError as error:
                    if error.backend_name is None or error.backend_name in missing:
                        raise
                    missing[error.backend_name] = [error.key_name]
                else:
                    return

    return CredentialTolerantModelManager(), missing


def _write_disabled(path: Path, backends: Mapping[str, Sequence[str]]) -> None:
    path.write_text("".join(f"[{name}]\nenabled = false\n" for name in backends), encoding="utf-8")


def _backends_missing_variables(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Each enabled backend of the merged files that names a variable which is not set -> those variables."""
    merged: dict[str, dict[str, Any]] = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            for name, table in tomli.load(file).items():
                if isinstance(table, dict):
                    merged.setdefault(name, {}).update(table)
    found = {
        name: sorted({variable for variable in _variables(table) if not os.environ.get(variable)})
        for name, table in merged.items()
        if table.get("enabled", True)
    }
    return {name: variables for name, variables in found.items() if variables}


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        for placeholder in _PLACEHOLDER.findall(value):
            yield placeholder.removeprefix("env:").split("|")[0]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from _variables(item)
