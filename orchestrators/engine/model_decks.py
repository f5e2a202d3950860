"""Which models there are: those whose credentials exist for live runs, all that are configured for everything else."""

import contextlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import tomli
from pipelex.base_exceptions import PipelexError
from pipelex.cogt.exceptions import InferenceBackendCredentialsError
from pipelex.cogt.model_backends.model_type import ModelType
from pipelex.cogt.models.model_deck import ModelDeck
from pipelex.cogt.models.model_manager import ModelManager
from pipelex.system.configuration.config_loader import config_manager

from schemas.overlay import lay_over
from schemas.problem import NextStep, Problem

_INTERNAL = '"internal"'
_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")
_every_model: ContextVar[bool] = ContextVar("every_model", default=False)


@contextmanager
def every_model() -> Iterator[None]:
    """Within the block, in this task and its threads, a model counts as served although its key is missing."""
    token = _every_model.set(True)
    try:
        yield
    finally:
        _every_model.reset(token)


class TwoDeckModelManager(ModelManager):
    """Disables a backend that lacks its credentials instead of refusing to boot, and still knows its models."""

    def __init__(self, directory: Path) -> None:
        """`directory` takes the override files that say what is left out."""
        super().__init__()
        self.missing_credentials: dict[str, list[str]] = {}
        """Each disabled backend -> the variables it needs."""
        self._disabled_file = directory / "backends_without_credentials.toml"
        self._unrouted_file = directory / "routes_without_credentials.toml"
        self._everything = ModelManager()

    def setup(self, **kwargs: Any) -> None:
        """Called by Pipelex's boot; raises what it raises, but for a missing credential."""
        self._everything.setup(**{**kwargs, "needs_inference": False})
        backends = config_manager.backends_file_paths()
        profiles = config_manager.routing_profiles_file_paths()
        paths = {
            "backends_library_paths": [*backends, self._disabled_file],
            "routing_profile_library_paths": [*profiles, self._unrouted_file],
        }
        self.missing_credentials = _backends_missing_variables(backends)
        while True:
            _write_disabled(self._disabled_file, self.missing_credentials)
            _write_unrouted(self._unrouted_file, _merged(profiles), self.missing_credentials)
            try:
                super().setup(**{**kwargs, **paths})
            except InferenceBackendCredentialsError as error:
                name = error.backend_name
                if name is None or name in self.missing_credentials:
                    raise
                self.missing_credentials[name] = [error.key_name]
            else:
                return

    def get_model_deck(self) -> ModelDeck:
        """The deck that counts in the current context."""
        return self._everything.get_model_deck() if _every_model.get() else super().get_model_deck()

    def explain(self, problem: Problem) -> Problem:
        """Say which variable is missing, where that is why a model is not served; else the problem as it is."""
        params = problem.params or {}
        if problem.code != "model.unavailable" or params.get("reason") != "not_served":
            return problem
        backend = self._backend_of(str(params.get("model", "")), str(params.get("model_type", "")))
        variables = self.missing_credentials.get(backend or "", [])
        if not variables:
            return problem
        names = " and ".join(variables)
        return problem.model_copy(
            update={
                "detail": f"{problem.detail} Its key is not set: {names}.",
                "params": {**params, "missing_variables": variables},
                "next_step": NextStep(
                    kind="fix_configuration",
                    detail=f'Set {names} where the server starts, or run with `run_mode: "dry"`.',
                ),
            }
        )

    def _backend_of(self, handle: str, model_type: str) -> str | None:
        """The backend that would serve the model if every key were set."""
        try:
            model = self._everything.get_inference_model(handle, model_type=ModelType(model_type))
        except (PipelexError, ValueError):
            return None
        return model.backend_name


def _write_disabled(path: Path, backends: Mapping[str, Sequence[str]]) -> None:
    path.write_text("".join(f"[{name}]\nenabled = false\n" for name in backends), encoding="utf-8")


def _write_unrouted(path: Path, library: Mapping[str, Any], disabled: Collection[str]) -> None:
    """Route what a disabled backend would have served to the internal one, which serves none of it.

    Another provider may serve a model of the same name, but the user has not chosen to send it there.
    """
    active = library.get("active")
    profile = library.get("profiles", {}).get(active, {})
    lines = []
    if profile.get("default") in disabled:
        lines.append(f"[profiles.{json.dumps(active)}]\ndefault = {_INTERNAL}\n")
    routes = [pattern for pattern, backend in profile.get("routes", {}).items() if backend in disabled]
    if routes:
        lines.append(f"[profiles.{json.dumps(active)}.routes]\n")
        lines.extend(f"{json.dumps(pattern)} = {_INTERNAL}\n" for pattern in routes)
    path.write_text("".join(lines), encoding="utf-8")


def _merged(paths: Sequence[Path]) -> dict[str, Any]:
    """The tables of the files that exist, later ones over earlier ones."""
    merged: dict[str, Any] = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            lay_over(merged, tomli.load(file))
    return merged


def _backends_missing_variables(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Each enabled backend of the merged files that names a variable which is not set -> those variables."""
    found = {
        name: sorted({variable for variable in _variables(table) if not os.environ.get(variable)})
        for name, table in _merged(paths).items()
        if isinstance(table, dict) and table.get("enabled", True)
    }
    return {name: variables for name, variables in found.items() if variables}


def _variables(value: Any) -> Iterator[str]:
    """The plain variables of a configured value; Pipelex checks those with a fallback."""
    if isinstance(value, str):
        for placeholder in _PLACEHOLDER.findall(value):
            if "|" not in placeholder and not placeholder.startswith("secret:"):
                yield placeholder.removeprefix("env:").strip()
    elif isinstance(value, dict):
        for item in value.values():
            yield from _variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from _variables(item)
