"""Booting Pipelex once in this process: quiet, private, with the credentials that exist."""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrators.engine.options import EngineOptions
from orchestrators.private_files import private_folder

if TYPE_CHECKING:
    from pipelex.pipelex import Pipelex

    from orchestrators.engine.model_decks import TwoDeckModelManager

_SILENCE = {
    "DO_NOT_TRACK": "1",
    "PIPELEX_USAGE_STATS": "0",
    "PIPELEX_METHODS_FETCH_ON_MISS": "0",
}


@dataclass(frozen=True)
class BootedPipelex:
    """A running Pipelex and its models."""

    pipelex: "Pipelex"
    models: "TwoDeckModelManager"


def boot(options: EngineOptions) -> BootedPipelex:
    """Boot in `options.work_dir`. Raises Pipelex's own errors where its configuration is broken."""
    _enter_work_dir(options)
    # The files and inputs of runs may be private.
    os.umask(0o077)
    artifacts = Path(options.artifacts_dir)
    private_folder(artifacts, within=artifacts.parent)
    _set_environment(options.environment)
    # Importing pipelex loads `.env` files over the real variables; those are put back.
    real = dict(os.environ)
    pipelex_module = importlib.import_module("pipelex.pipelex")
    os.environ.update(real)
    from orchestrators.engine.model_decks import TwoDeckModelManager

    models = TwoDeckModelManager(Path(options.work_dir))
    pipelex = pipelex_module.Pipelex.make(
        models_manager=models,
        boot_orchestrator=options.boot_orchestrator,
        telemetry_manager=_no_telemetry(),
        config_overrides=_config_overrides(options),
    )
    return BootedPipelex(pipelex=pipelex, models=models)


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
