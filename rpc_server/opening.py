"""Opening what the wire methods work with: plugins, engines, workspace."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from platformdirs import user_state_path

from orchestrators.contract import PluginContext, PluginFault
from orchestrators.discovery import load_plugins
from orchestrators.pool import EnginePool, PoolSettings
from orchestrators.registrar import PluginOrigin
from orchestrators.registries import ContextFactory, Plugins
from rpc_server.config import Settings, load_plugin_settings
from rpc_server.documents import ConfigurationFault, Document
from rpc_server.methods.services import Services
from rpc_server.redaction import Redactor
from rpc_server.workspace.paths import Root
from rpc_server.workspace.workspace import Workspace


@asynccontextmanager
async def open_services(settings: Settings, redactor: Redactor) -> AsyncIterator[Services]:
    """The services for the block; at its end every run, engine and plugin has ended.

    What engines print goes to stderr through `redactor`. The first engine begins to boot at once. Raises
    `ConfigurationFault`.
    """
    state_dir = user_state_path("mthds-rpc", appauthor=False)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(EnginePool.open(_pool_settings(settings, redactor, state_dir)))
        pool.prestart()
        documents: dict[str, Document] = {}

        def context_of(origin: PluginOrigin, mode: str) -> PluginContext:
            return PluginContext(
                settings=documents[origin.name].values,
                state_dir=state_dir,
                pool=pool,
                logger=logging.getLogger(f"mthds_rpc.plugins.{origin.name}"),
                mode=mode,
            )

        plugins = await _plugins(settings, context_of)
        stack.push_async_callback(plugins.aclose)
        for origin in plugins.origins:
            documents[origin.name] = load_plugin_settings(origin.name, origin.settings_file, settings.layers)
        left_running = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(left_running.cancel_scope.cancel)
        yield Services(
            settings=settings,
            workspace=Workspace(Root(settings.workspace_dir, settings.workspace_refusal), settings.workspace),
            pool=pool,
            plugins=plugins,
            left_running=left_running,
        )


async def _plugins(settings: Settings, context_of: ContextFactory) -> Plugins:
    try:
        plugins = await load_plugins(settings.disabled_plugins, context_of)
    except PluginFault as fault:
        raise ConfigurationFault("plugins", str(fault)) from fault
    return plugins


def _pool_settings(settings: Settings, redactor: Redactor, state_dir: Path) -> PoolSettings:
    return PoolSettings(
        state_dir=state_dir,
        max_engines=settings.engine.max_engines,
        max_lanes=settings.engine.max_lanes,
        allow_python=settings.engine.allow_python,
        cancel_grace_s=settings.engine.cancel_grace_s,
        boot_timeout_s=settings.engine.boot_timeout_s,
        project_config_dir=settings.project_config_dir,
        environment=dict(settings.environment),
        report=lambda line: print(redactor.text(line), file=sys.stderr),  # noqa: T201
    )
