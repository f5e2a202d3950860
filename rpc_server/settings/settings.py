"""The settings: layered files and flags."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrators.engines.engine_settings import EngineSettings
from rpc_server.settings.environment import Environment, read_environment, user_home
from rpc_server.settings.layers import ConfigurationFault, Document, Layer, merge, nearest, read_layer
from rpc_server.settings.projects import Project, find_project
from schemas.setting_bounds import Key, number_fault

if TYPE_CHECKING:
    from rpc_server.wire.connection import Limits

_PACKAGE = Path(__file__).parents[1]
# An engine in which nothing runs has half of it.
_LEAST_MEMORY_MB = 512
# Numbers of rpc.toml that may be zero: no waiting at all.
_MAY_BE_ZERO: frozenset[Key] = frozenset(
    {
        ("limits", "drain_s"),
        ("limits", "stop_grace_s"),
        ("engine", "cancel_grace_s"),
        ("engine", "max_memory_mb"),
        ("mcp", "max_method_tools"),
        ("mcp", "list_wait_s"),
    }
)


@dataclass(frozen=True)
class Flags:
    """What the command line sets; None leaves a setting to the files."""

    orchestration_mode: str | None = None
    allow_override: bool | None = None
    allow_python: bool | None = None
    workspace: Path | None = None
    trust_project: bool = False
    config: Path | None = None
    env_files: tuple[Path, ...] = ()


def as_arguments(flags: Flags) -> list[str]:
    """The flags as another command line gives them."""
    arguments: list[str] = []
    for name, value in (
        ("--workspace", flags.workspace),
        ("--orchestration-mode", flags.orchestration_mode),
        ("--config", flags.config),
        *(("--env-file", file) for file in flags.env_files),
    ):
        if value is not None:
            arguments += [name, str(value)]
    for name, chosen in (("allow-override", flags.allow_override), ("allow-python", flags.allow_python)):
        if chosen is not None:
            arguments.append(f"--{name}" if chosen else f"--no-{name}")
    if flags.trust_project:
        arguments.append("--trust-project")
    return arguments


@dataclass(frozen=True)
class RunSettings:
    """[runs] of rpc.toml."""

    max_timeout_s: float


@dataclass(frozen=True)
class WorkspaceSettings:
    """[workspace] of rpc.toml. Sizes in bytes, durations in seconds."""

    max_file_bytes: int
    max_total_bytes: int
    max_method_files: int
    max_read_s: float
    max_scan_entries: int
    max_scan_depth: int
    max_scan_s: float


@dataclass(frozen=True)
class McpSettings:
    """[mcp] of rpc.toml. Sizes in bytes, durations in seconds."""

    method_folders: list[str]
    max_method_tools: int
    inline_bytes: int
    wait_s: float
    wait_with_progress_s: float
    list_wait_s: float


@dataclass(frozen=True)
class Layers:
    """Where the files of every settings document are looked for, lowest first."""

    directories: tuple[Path, ...]
    """The home's, then the trusted project's."""
    environment: str
    """`PIPELEX_ENV`."""
    config: Layer | None = None
    """The file given with --config: a table per document."""

    def of(self, name: str) -> list[Layer]:
        """The layers of `<name>.toml`. Raises `ConfigurationFault` for a file that cannot be read."""
        names = (f"{name}_{self.environment}.toml", f"{name}_override.toml")
        files = [read_layer(directory / file) for directory in self.directories for file in names]
        return [layer for layer in [*files, self._configured(name)] if layer is not None]

    def _configured(self, name: str) -> Layer | None:
        if self.config is None or name not in self.config.values:
            return None
        values = self.config.values[name]
        if not isinstance(values, dict):
            raise self.config.fault((name,), "expected a table")
        return Layer(origin=self.config.origin, values=values, text=self.config.text, prefix=(name,))


@dataclass(frozen=True)
class Settings:
    """Everything that is configured, in force for the life of a server."""

    orchestration_mode: str
    allow_request_orchestration_mode_override: bool
    limits: "Limits"
    runs: RunSettings
    engine: EngineSettings
    workspace: WorkspaceSettings
    mcp: McpSettings
    disabled_plugins: tuple[str, ...]
    workspace_dir: Path | None
    """Absolute and resolved; None where there is no workspace, for the reason in `workspace_refusal`."""
    workspace_refusal: str | None
    home_dir: Path
    """`PIPELEX_HOME`, else ~/.pipelex; may not exist."""
    project: Project | None
    """The project around the workspace that holds a `.pipelex`, trusted or not."""
    environment: Mapping[str, str]
    """Variables from --env-file and from the `.env` of the home, those that are really set left out."""
    layers: Layers
    flags: Flags
    """What the command line set, to be handed on to another command."""
    documents: Mapping[str, Document] = field(repr=False)
    """`api` and `rpc`, with the origin of each value."""

    @property
    def project_config_dir(self) -> Path | None:
        """The trusted project's `.pipelex`, whose settings of Pipelex count as well."""
        return self.project.config_dir if self.project is not None and self.project.trusted else None


def load_settings(flags: Flags, *, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read every layer. Raises `ConfigurationFault`."""
    environment = read_environment(os.environ if environ is None else environ, flags.env_files)
    workspace_dir, refusal = workspace_of(flags.workspace, cwd)
    project = find_project(workspace_dir, environment.home_dir, trust=flags.trust_project)
    layers = _layers(environment, project, flags.config)
    api = merge(_packaged("api"), [*layers.of("api"), *_api_flags(flags)])
    rpc = merge(_packaged("rpc"), [*layers.of("rpc"), *_rpc_flags(flags)])
    if not api.values["orchestration_mode"]:
        raise api.fault(("orchestration_mode",), "names no mode; give a token such as `direct`")
    _check_numbers(rpc)
    # Here, so that a command that only passes flags on need not load the server's parts.
    from rpc_server.wire.connection import Limits

    return Settings(
        orchestration_mode=api.values["orchestration_mode"],
        allow_request_orchestration_mode_override=api.values["allow_request_orchestration_mode_override"],
        limits=Limits(**rpc.values["limits"]),
        runs=RunSettings(**rpc.values["runs"]),
        engine=EngineSettings(**rpc.values["engine"]),
        workspace=WorkspaceSettings(**rpc.values["workspace"]),
        mcp=McpSettings(**rpc.values["mcp"]),
        disabled_plugins=tuple(rpc.values["plugins"]["disabled"]),
        workspace_dir=workspace_dir,
        workspace_refusal=refusal,
        home_dir=environment.home_dir,
        project=project,
        environment=environment.added,
        layers=layers,
        flags=flags,
        documents={"api": api, "rpc": rpc},
    )


def load_plugin_settings(name: str, packaged: Path | None, layers: Layers) -> Document:
    """The merged `rpc_<name>.toml` of a plugin, `packaged` being its defaults.

    Raises `ConfigurationFault`, also for any setting of a plugin that ships no defaults: it would have no reader.
    """
    defaults = None if packaged is None else read_layer(packaged)
    return merge(defaults or Layer(origin=f"plugin {name}", values={}), layers.of(f"rpc_{name}"))


def workspace_of(asked: Path | None, cwd: Path | None = None) -> tuple[Path | None, str | None]:
    """The workspace, or the reason why there is none. Raises `ConfigurationFault` for --workspace that is no folder."""
    if asked is not None:
        directory = asked.expanduser().resolve()
        if not directory.is_dir():
            raise ConfigurationFault("--workspace", f"{asked} is not a folder")
        return directory, None
    try:
        directory = (cwd or Path.cwd()).resolve()
    except FileNotFoundError:
        return None, "the working directory of the server no longer exists"
    if directory == Path(directory.anchor):
        return None, f"the server was started in {directory}, which is no project"
    if directory == user_home():
        return None, "the server was started in your home directory, which is no project"
    return directory, None


def _layers(environment: Environment, project: Project | None, config: Path | None) -> Layers:
    directories = [environment.home_dir]
    if project is not None and project.trusted:
        directories.append(project.config_dir)
    return Layers(
        directories=tuple(directories), environment=environment.name, config=None if config is None else _config(config)
    )


def _config(path: Path) -> Layer:
    layer = read_layer(path.expanduser())
    if layer is None:
        raise ConfigurationFault(path, "there is no such file (--config)")
    for name in layer.values:
        _check_document_name(layer, name)
    return layer


def _check_document_name(config: Layer, name: str) -> None:
    if name in ("api", "rpc"):
        return
    # Looked up only here: it reads a file of every installed distribution.
    from importlib.metadata import entry_points

    from orchestrators.plugins.contract import ENTRY_POINT_GROUP

    plugins = [f"rpc_{entry_point.name}" for entry_point in entry_points(group=ENTRY_POINT_GROUP)]
    if name not in plugins:
        raise config.fault((name,), f"unknown table; {nearest(name, ['api', 'rpc', *plugins])}")


def _packaged(name: str) -> Layer:
    # A wheel carries api.toml in the package; a source checkout has it at its root.
    found = read_layer(_PACKAGE / f"{name}.toml") or read_layer(_PACKAGE.parent / f"{name}.toml")
    if found is None:
        raise ConfigurationFault(_PACKAGE / f"{name}.toml", "the packaged defaults are missing; install mthds-rpc anew")
    return found


def _api_flags(flags: Flags) -> list[Layer]:
    given = {
        "orchestration_mode": ("--orchestration-mode", flags.orchestration_mode),
        "allow_request_orchestration_mode_override": ("--allow-override", flags.allow_override),
    }
    return [Layer(origin=flag, values={key: value}) for key, (flag, value) in given.items() if value is not None]


def _rpc_flags(flags: Flags) -> list[Layer]:
    if flags.allow_python is None:
        return []
    return [Layer(origin="--allow-python", values={"engine": {"allow_python": flags.allow_python}})]


def _check_numbers(rpc: Document) -> None:
    fault = number_fault(rpc.values, _MAY_BE_ZERO)
    if fault is not None:
        raise rpc.fault(*fault)
    if 0 < rpc.values["engine"]["max_memory_mb"] < _LEAST_MEMORY_MB:
        raise rpc.fault(("engine", "max_memory_mb"), f"must be 0 or at least {_LEAST_MEMORY_MB}, which an engine needs")
