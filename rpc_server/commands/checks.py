"""What is right and wrong with this machine: a list of findings, each with what to do about it."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import anyio
from platformdirs import user_state_path

from orchestrators.plugins.registries import Plugins
from rpc_server import versions
from rpc_server.bootstrap import open_services
from rpc_server.commands.client import ServerEnded, call
from rpc_server.commands.credentials import enabled_backends
from rpc_server.redaction import Redactor
from rpc_server.settings.layers import ConfigurationFault
from rpc_server.settings.settings import Flags, Settings, as_arguments
from rpc_server.settings.state_folder import check_state
from rpc_server.wire.exception_groups import first_of
from rpc_server.workspace.scan import ScanBounds, scan_methods
from schemas.problem import ProblemError
from schemas.runs import RunQuery

Mark = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `ok`, worth a `note`, or a `fault` that keeps something from working."""

    mark: Mark
    text: str
    remedy: str | None = None


def examine(flags: Flags, settings: Settings) -> Iterator[Finding]:
    """Look at everything, what is quick first; the engine takes a few seconds."""
    yield from _installation()
    yield from _place(settings)
    yield from _project(settings)
    yield from _directories(settings)
    yield from _plugins(settings)
    yield from _kept_runs(settings)
    yield from _engine(flags)
    yield from _credentials(settings)
    yield from _refusals(settings)


def _installation() -> Iterator[Finding]:
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("ok", f"mthds-rpc {versions.SERVER}, Python {python} on {sys.platform}, in {sys.prefix}")
    try:
        pipelex = version("pipelex")
    except PackageNotFoundError:
        yield Finding("fault", "Pipelex is not installed", "Install mthds-rpc anew: uv tool install mthds-rpc")
        return
    if pipelex == versions.PIPELEX:
        yield Finding("ok", f"Pipelex {pipelex}, MTHDS protocol {versions.MTHDS_PROTOCOL}")
    else:
        remedy = "Install mthds-rpc into an environment of its own: uv tool install mthds-rpc"
        yield Finding("fault", f"Pipelex {pipelex} is installed, and {versions.PIPELEX} is needed", remedy)
    if sys.prefix == sys.base_prefix:
        yield Finding(
            "note",
            "mthds-rpc shares the Python of the system, where another package may be called `schemas` too",
            "Install it into an environment of its own: uv tool install mthds-rpc, or pipx install mthds-rpc",
        )
    if shutil.which("mthds-rpc") is None:
        yield Finding(
            "note", "mthds-rpc is not on PATH", "Hosts need its absolute path anyway, as in the entries below."
        )


def _place(settings: Settings) -> Iterator[Finding]:
    if settings.workspace_dir is None:
        yield Finding(
            "note",
            f"no workspace: {settings.workspace_refusal}; a request that names a path is refused",
            "Start the server with --workspace DIR, as the entries below do.",
        )
        return
    workspace = settings.workspace
    bounds = ScanBounds(
        workspace.max_scan_entries, workspace.max_scan_depth, workspace.max_scan_s, workspace.max_file_bytes
    )
    scan = scan_methods(settings.workspace_dir, bounds)
    broken = [entry.path for entry in scan.methods if entry.problem is not None]
    yield Finding("ok", f"workspace {settings.workspace_dir}, {len(scan.methods)} methods in it")
    if broken:
        yield Finding(
            "note", f"methods that cannot be read: {', '.join(broken)}", "mthds-rpc call validate --method PATH"
        )
    if scan.truncated:
        yield Finding(
            "note", "the workspace is too large to be searched whole", "Point --workspace at a smaller folder."
        )


def _project(settings: Settings) -> Iterator[Finding]:
    project = settings.project
    if project is None:
        return
    if project.trusted:
        yield Finding("ok", f"the settings in {project.config_dir} count: the project is trusted")
    elif project.notice is not None:
        remedy = f"If you trust the project: mthds-rpc trust {project.directory}"
        yield Finding("note", f"the settings in {project.config_dir} are ignored: the project is not trusted", remedy)


def _directories(settings: Settings) -> Iterator[Finding]:
    yield _writable("Pipelex's home", settings.home_dir, "Set PIPELEX_HOME to a folder you may write to.")
    state = user_state_path("mthds-rpc", appauthor=False)
    yield _writable("the state of mthds-rpc", state, "Set XDG_STATE_HOME to a folder you may write to.")
    try:
        check_state(state)
    except ConfigurationFault as fault:
        yield Finding("fault", str(fault), "Until then no server and no worker starts.")


def _writable(what: str, directory: Path, remedy: str) -> Finding:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Finding("ok", f"{what}: {directory}")
    return Finding("fault", f"{what}, {directory}, cannot be written to", remedy)


def _kept_runs(settings: Settings) -> Iterator[Finding]:
    """Whether runs that are kept outside this process can be read: in the configured mode, and on this machine."""

    async def look() -> list[Finding]:
        async with open_services(settings, Redactor({**os.environ, **settings.environment}), "reader") as services:
            plugins, mode = services.plugins, settings.orchestration_mode
            keeps = plugins.orchestrators.has(mode) and plugins.orchestrators.supports_fire_and_forget(mode)
            modes = dict.fromkeys([*([mode] if keeps else []), *plugins.local_ledgers()])
            return [await _readable(plugins, mode) for mode in modes]

    findings: list[Finding] = []
    try:
        findings = anyio.run(look)
    except (ConfigurationFault, BaseExceptionGroup) as error:
        if first_of(error, ConfigurationFault) is None:
            raise
        # The engine's server says it in full.
    yield from findings


async def _readable(plugins: Plugins, mode: str) -> Finding:
    try:
        await (await plugins.orchestrators.get(mode)).ledger.list(RunQuery(limit=1))
    except ProblemError as error:
        return Finding("fault", f"the runs of '{mode}': {error}", error.problem.next_step.detail)
    return Finding("ok", f"the runs of '{mode}' can be read")


def _plugins(settings: Settings) -> Iterator[Finding]:
    from orchestrators.plugins.discovery import discover

    discovery = discover(settings.disabled_plugins)
    for fault in discovery.faults:
        yield Finding("fault", fault)
    modes = sorted(mode for row in discovery.rows for mode in row.orchestrators)
    yield Finding("ok", f"orchestration modes: {', '.join(modes) or 'none'}; configured: {settings.orchestration_mode}")
    if settings.orchestration_mode not in modes:
        remedy = "`mthds-rpc plugins` lists what is installed; `mthds-rpc config` says where the mode is set."
        yield Finding("note", f"no plugin of mthds-rpc serves '{settings.orchestration_mode}'", remedy)


def _engine(flags: Flags) -> Iterator[Finding]:
    started = time.monotonic()
    try:
        response = call(as_arguments(flags), "models", {})
    except ServerEnded as error:
        yield Finding("fault", f"the server ended before it answered ({error})", "Its last line above says why.")
        return
    seconds = time.monotonic() - started
    if "error" in response:
        problem = response["error"].get("data", {})
        remedy = problem.get("next_step", {}).get("detail")
        yield Finding("fault", f"no engine could be started: {response['error']['message']}", remedy)
        return
    yield Finding("ok", f"a server and its engine answered in {seconds:.1f} s")


def _credentials(settings: Settings) -> Iterator[Finding]:
    backends = enabled_backends(settings.home_dir, settings.project_config_dir, environment_of(settings)) or []
    usable = [backend for backend in backends if not backend.missing]
    for backend in usable:
        held = f" ({', '.join(backend.variables)} set)" if backend.variables else ""
        yield Finding("ok", f"backend {backend.name}: enabled{held}")
    without = [f"{backend.name} ({', '.join(backend.missing)})" for backend in backends if backend.missing]
    if without:
        remedy = f"Set the variables, or put NAME=value lines into {settings.home_dir / '.env'} or an --env-file."
        yield Finding("note", f"backends left out, since these are not set: {', '.join(without)}", remedy)


def _refusals(settings: Settings) -> Iterator[Finding]:
    if not settings.engine.allow_python:
        yield Finding(
            "note", "refused: methods with Python of their own", "--allow-python lets them run, with your rights."
        )
    if not settings.allow_request_orchestration_mode_override:
        text = f"refused: a request that names another orchestration_mode than '{settings.orchestration_mode}'"
        yield Finding("note", text, "--allow-override permits it.")
    if settings.workspace_dir is not None:
        yield Finding("note", f"refused: paths outside {settings.workspace_dir}, links that lead out included")


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables an engine will see."""
    return {**settings.environment, **os.environ}


def key_names(settings: Settings) -> list[str]:
    """The variables of enabled backends that are set in the environment itself, by name."""
    backends = enabled_backends(settings.home_dir, settings.project_config_dir, environment_of(settings)) or []
    return sorted({name for backend in backends for name in backend.variables if os.environ.get(name)})
