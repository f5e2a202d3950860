"""Finding the installed plugins: the entry points of one group, each loaded and registered on its own."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import anyio.to_thread

from orchestrators.plugins.contract import ENTRY_POINT_GROUP, PLUGIN_API_VERSION, Plugin, PluginFault
from orchestrators.plugins.registrar import PluginOrigin, Registrar, Registrations
from orchestrators.plugins.registries import ContextFactory, Plugins, tear_down

logger = logging.getLogger(__name__)

OUR_DISTRIBUTION = "mthds-rpc"


@dataclass(frozen=True)
class PluginRow:
    """One installed plugin, as `mthds-rpc plugins` shows it."""

    origin: PluginOrigin
    state: Literal["enabled", "disabled", "failed"]
    orchestrators: dict[str, bool] = field(default_factory=dict)
    """Token -> whether a run may be started without waiting."""
    validators: tuple[str, ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class Discovery:
    """What is installed and what of it works."""

    rows: list[PluginRow]
    registrations: Registrations
    unknown_disabled: list[str]
    """Names that are disabled and not installed."""

    @property
    def faults(self) -> list[str]:
        """Why plugins failed, one line each."""
        return [row.fault for row in self.rows if row.fault is not None]

    @property
    def enabled(self) -> list[PluginOrigin]:
        """The plugins that registered."""
        return [row.origin for row in self.rows if row.state == "enabled"]


def discover(disabled: Collection[str] = ()) -> Discovery:
    """Load every plugin but the disabled ones; ours come first. Takes tens of milliseconds and reads many small files.

    Never raises for a plugin: a broken one is a row of the state `failed`, and contributes nothing.
    """
    found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=_order)
    registrations = Registrations()
    rows: list[PluginRow] = []
    for entry_point in found:
        rows.append(_row(entry_point, disabled, registrations, [row.origin for row in rows]))
    unknown = sorted(set(disabled) - {entry_point.name for entry_point in found})
    return Discovery(rows=rows, registrations=registrations, unknown_disabled=unknown)


async def load_plugins(disabled: Collection[str], context_of: ContextFactory) -> Plugins:
    """Discover in a worker thread and open the registries; the caller closes what it gets.

    Raises `PluginFault` for the first plugin that failed, once what the others registered is torn down. A disabled
    name that is not installed is logged.
    """
    discovery = await anyio.to_thread.run_sync(discover, disabled)
    if discovery.unknown_disabled:
        logger.warning("no installed plugin is named %s, yet it is disabled", ", ".join(discovery.unknown_disabled))
    if discovery.faults:
        await tear_down(discovery.registrations)
        raise PluginFault(discovery.faults[0])
    return Plugins(discovery.registrations, discovery.enabled, context_of)


def _order(entry_point: EntryPoint) -> tuple[bool, str, str]:
    distribution = _distribution(entry_point)[0]
    return distribution != OUR_DISTRIBUTION, entry_point.name, distribution


def _distribution(entry_point: EntryPoint) -> tuple[str, str]:
    if entry_point.dist is None:
        return "unknown distribution", ""
    return entry_point.dist.name, entry_point.dist.version


def _row(
    entry_point: EntryPoint, disabled: Collection[str], registrations: Registrations, earlier: list[PluginOrigin]
) -> PluginRow:
    origin = PluginOrigin(entry_point.name, *_distribution(entry_point))
    if entry_point.name in disabled:
        return PluginRow(origin, "disabled")
    try:
        _refuse_second(origin, earlier)
        registrar = _registered(entry_point, origin)
        registrations.merge(registrar)
    except PluginFault as fault:
        return PluginRow(origin, "failed", fault=str(fault))
    return PluginRow(
        registrar.origin,
        "enabled",
        orchestrators={mode: offer.supports_fire_and_forget for mode, offer in registrar.orchestrators},
        validators=tuple(mode for mode, _ in registrar.validators),
    )


def _refuse_second(origin: PluginOrigin, earlier: list[PluginOrigin]) -> None:
    for other in earlier:
        if other.name == origin.name:
            raise PluginFault(
                f"two plugins are named '{origin.name}', one of {other.distribution} {other.version} and one of"
                f" {origin.distribution} {origin.version}; uninstall one of them"
            )


def _registered(entry_point: EntryPoint, origin: PluginOrigin) -> Registrar:
    """Load and register one plugin. Raises `PluginFault` for any exception of the plugin."""
    try:
        plugin: Plugin = entry_point.load()
        _check(plugin, origin)
        registrar = Registrar(
            PluginOrigin(origin.name, origin.distribution, origin.version, _settings_file(entry_point))
        )
        plugin.register(registrar)
    except PluginFault:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin is foreign code that may fail in any way
        logger.debug("the plugin %s failed", origin, exc_info=error)
        raise PluginFault(
            f"the plugin {origin} cannot be loaded: {_one_line(error)}; fix it, or disable it under [plugins] in"
            " rpc_override.toml"
        ) from error
    return registrar


def _check(plugin: Plugin, origin: PluginOrigin) -> None:
    if plugin.targets_api != PLUGIN_API_VERSION:
        raise PluginFault(
            f"the plugin {origin} is made for version {plugin.targets_api} of the plugin API, and this is version"
            f" {PLUGIN_API_VERSION}; install a release of {origin.distribution} that fits"
        )
    if plugin.name != origin.name:
        raise PluginFault(f"the plugin {origin} calls itself '{plugin.name}'; its entry point must have the same name")


def _settings_file(entry_point: EntryPoint) -> Path | None:
    spec = find_spec(entry_point.module)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).with_name(f"rpc_{entry_point.name}.toml")
    return file if file.is_file() else None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
