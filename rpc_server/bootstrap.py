"""Opening what the wire methods work with: plugins, engines, workspace."""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
from platformdirs import user_state_path

import mthds_rpc_start
from orchestrators.engines.pool import EnginePool, PoolSettings
from orchestrators.plugins.contract import PluginContext, PluginFault, SettingFault
from orchestrators.plugins.discovery import load_plugins
from orchestrators.plugins.registrar import PluginOrigin
from orchestrators.plugins.registries import ContextFactory, Plugins
from rpc_server.background import Background
from rpc_server.calls.services import Services
from rpc_server.redaction import Redactor
from rpc_server.settings.layers import ConfigurationFault, Document
from rpc_server.settings.settings import Settings, as_arguments, load_plugin_settings
from rpc_server.settings.state_folder import check_state
from rpc_server.workspace.paths import Root
from rpc_server.workspace.workspace import Workspace
from schemas.problem import ProblemError

_WORKER = (*mthds_rpc_start.command("rpc_server.cli"), "worker", "--until-stdin-ends")

_RESUME_AFTER_S = 1.0
logger = logging.getLogger(__name__)

Role = Literal["server", "worker", "reader"]
"""What a process is for: it answers calls, runs what others started, or looks at what was run."""


@asynccontextmanager
async def open_services(settings: Settings, redactor: Redactor, role: Role = "server") -> AsyncIterator[Services]:
    """The services for the block; at its end every run, engine and plugin has ended.

    What engines print goes to stderr through `redactor`. The first engine begins to boot at once, but for a reader,
    which needs none. Raises `ConfigurationFault`.
    """
    state_dir = user_state_path("mthds-rpc", appauthor=False)
    check_state(state_dir)
    async with AsyncExitStack() as stack:
        try:
            pool = await stack.enter_async_context(EnginePool.open(_pool_settings(settings, redactor, state_dir)))
        except OSError as error:
            raise ConfigurationFault("TMPDIR", f"no temporary folder can be made: {error.strerror}") from error
        if role != "reader":
            pool.prestart()
        documents: dict[str, Document] = {}

        def context_of(origin: PluginOrigin, mode: str) -> PluginContext:
            return PluginContext(
                settings=documents[origin.name].values,
                state_dir=state_dir,
                engines=pool,
                logger=logging.getLogger(f"mthds_rpc.plugins.{origin.name}"),
                mode=mode,
                environment={**os.environ, **settings.environment},
                redact=redactor.json,
                tasks=left_running,
                resumes=role == "server" and mode == settings.orchestration_mode,
                worker_command=(*_WORKER, *as_arguments(replace(settings.flags, orchestration_mode=mode))),
            )

        plugins = await _plugins(settings, context_of)
        stack.push_async_callback(plugins.aclose)
        for origin in plugins.origins:
            documents[origin.name] = _plugin_document(plugins, origin, settings)
            redactor.learn(documents[origin.name].values)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        left_running = Background(tasks)
        if role == "server":
            left_running.start_soon(_resume, plugins, settings.orchestration_mode)
        yield Services(
            settings=settings,
            workspace=Workspace(Root(settings.workspace_dir, settings.workspace_refusal), settings.workspace),
            pool=pool,
            plugins=plugins,
            state_dir=state_dir,
            left_running=left_running,
        )


async def _resume(plugins: Plugins, mode: str) -> None:
    """Have runs that an earlier server left taken up, without waiting for a call."""
    # A host that only looks whether this server answers, and kills it, starts nothing.
    await anyio.sleep(_RESUME_AFTER_S)
    if plugins.orchestrators.has(mode) and plugins.orchestrators.supports_fire_and_forget(mode):
        try:
            await plugins.orchestrators.get(mode)
        except ProblemError as error:
            logger.warning("runs in the mode '%s' are not taken up yet: %s", mode, error)
        except Exception:
            # The first call that needs them gets the error; the server continues.
            logger.exception("runs in the mode '%s' are not taken up yet", mode)


def _plugin_document(plugins: Plugins, origin: PluginOrigin, settings: Settings) -> Document:
    document = load_plugin_settings(origin.name, origin.settings_file, settings.layers)
    try:
        plugins.check_settings(origin.name, document.values)
    except SettingFault as fault:
        raise document.fault(fault.key, fault.message) from fault
    return document


async def _plugins(settings: Settings, context_of: ContextFactory) -> Plugins:
    try:
        plugins = await load_plugins(settings.disabled_plugins, context_of)
    except PluginFault as fault:
        raise ConfigurationFault("plugins", str(fault)) from fault
    return plugins


def _pool_settings(settings: Settings, redactor: Redactor, state_dir: Path) -> PoolSettings:
    return PoolSettings(
        state_dir=state_dir,
        engine=settings.engine,
        project_config_dir=settings.project_config_dir,
        environment=dict(settings.environment),
        report=partial(_report, redactor),
        redact=redactor.json,
        safe_cut=redactor.safe_cut,
    )


def _report(redactor: Redactor, line: str) -> None:
    """Pass on what an engine printed; a stderr that cannot be written costs the line, and never stops the engine."""
    with suppress(OSError, ValueError):
        print(redactor.line(line), file=sys.stderr)  # noqa: T201
