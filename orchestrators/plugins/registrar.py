"""What plugins register into: one registrar per plugin, merged into one set of registrations without duplicates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from orchestrators.plugins.contract import (
    ExceptionThunk,
    LedgerIsThere,
    OrchestratorFactory,
    PluginFault,
    SettingsCheck,
    Teardown,
    TokenSourceFactory,
    ToProblem,
    ValidatorFactory,
    WorkerFactory,
)
from orchestrators.plugins.mcp_features import FeaturesFactory

RPC_CODES = range(-31999, -31899)
"""The integers an error mapper may claim as its plugin's own."""

T = TypeVar("T")


@dataclass(frozen=True)
class PluginOrigin:
    """Where a plugin comes from."""

    name: str
    distribution: str
    version: str
    settings_file: Path | None = None
    """Its packaged `rpc_<name>.toml`, where it ships one."""

    def __str__(self) -> str:
        return f"'{self.name}' ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Registered(Generic[T]):
    """A contribution and the plugin that made it."""

    origin: PluginOrigin
    value: T


@dataclass(frozen=True)
class OrchestratorOffer:
    """How to build the orchestrator of a token."""

    factory: OrchestratorFactory
    supports_fire_and_forget: bool


@dataclass(frozen=True)
class ErrorMapper:
    """How a plugin's exceptions of one type become problems."""

    exception_type: ExceptionThunk
    to_problem: ToProblem
    rpc_code: int | None


class Registrar:
    """What one plugin's `register` is given. Nothing it takes counts before `register` has returned."""

    def __init__(self, origin: PluginOrigin) -> None:
        self.origin = origin
        self.orchestrators: list[tuple[str, OrchestratorOffer]] = []
        self.validators: list[tuple[str, ValidatorFactory]] = []
        self.workers: list[tuple[str, WorkerFactory]] = []
        self.local_ledgers: list[tuple[str, LedgerIsThere]] = []
        self.settings_checks: list[SettingsCheck] = []
        self.token_sources: list[TokenSourceFactory] = []
        self.error_mappers: list[ErrorMapper] = []
        self.features: list[FeaturesFactory] = []
        self.teardowns: list[Teardown] = []

    def add_orchestrator(self, mode: str, factory: OrchestratorFactory, *, supports_fire_and_forget: bool) -> None:
        """Serve `mode`. `factory` is called once, in a worker thread, when the mode is first used."""
        self.orchestrators.append((mode, OrchestratorOffer(factory, supports_fire_and_forget)))

    def add_bundle_validator(self, mode: str, factory: ValidatorFactory) -> None:
        """Serve `validate` in `mode`. `factory` is called as an orchestrator's is."""
        self.validators.append((mode, factory))

    def add_worker(self, mode: str, factory: WorkerFactory) -> None:
        """Serve `mthds-rpc worker` in `mode`. `factory` is called as an orchestrator's is."""
        self.workers.append((mode, factory))

    def add_local_ledger(self, mode: str, is_there: LedgerIsThere) -> None:
        """Let a run that the configured mode does not know be looked for in `mode`, where `is_there` says so."""
        self.local_ledgers.append((mode, is_there))

    def add_settings_check(self, check: SettingsCheck) -> None:
        """Have the plugin's merged settings looked at before anything is served."""
        self.settings_checks.append(check)

    def add_token_source(self, factory: TokenSourceFactory) -> None:
        """Serve tokens that are found when asked for. What any plugin registers goes before what a source finds."""
        self.token_sources.append(factory)

    def add_error_mapper(
        self, exception_type: ExceptionThunk, to_problem: ToProblem, *, rpc_code: int | None = None
    ) -> None:
        """Say what an exception means to the caller; the mapper of the most specific type is used.

        `exception_type` is resolved at a failure after this plugin was first used. `rpc_code` is an integer from
        -31999 to -31900 that goes out in place of the problem's usual one. Raises `PluginFault` for another.
        """
        if rpc_code is not None and rpc_code not in RPC_CODES:
            raise PluginFault(
                f"the plugin {self.origin} claims the error code {rpc_code}, which is not from -31999 to -31900"
            )
        self.error_mappers.append(ErrorMapper(exception_type, to_problem, rpc_code))

    def add_features(self, factory: FeaturesFactory) -> None:
        """Offer more tools, resources or prompts to MCP hosts. `factory` is called once, when a host first asks."""
        self.features.append(factory)

    def add_teardown(self, callback: Teardown) -> None:
        """Call `callback` when the server or worker ends; later ones first, each with a few seconds at most."""
        self.teardowns.append(callback)


@dataclass
class Registrations:
    """What every plugin contributed, in the order of registration."""

    orchestrators: dict[str, Registered[OrchestratorOffer]] = field(default_factory=dict)
    validators: dict[str, Registered[ValidatorFactory]] = field(default_factory=dict)
    workers: dict[str, Registered[WorkerFactory]] = field(default_factory=dict)
    local_ledgers: dict[str, Registered[LedgerIsThere]] = field(default_factory=dict)
    settings_checks: list[Registered[SettingsCheck]] = field(default_factory=list)
    token_sources: list[Registered[TokenSourceFactory]] = field(default_factory=list)
    error_mappers: list[Registered[ErrorMapper]] = field(default_factory=list)
    features: list[Registered[FeaturesFactory]] = field(default_factory=list)
    teardowns: list[Registered[Teardown]] = field(default_factory=list)

    def merge(self, registrar: Registrar) -> None:
        """Take everything one plugin registered, or nothing. Raises `PluginFault` that names both of a duplicate."""
        origin = registrar.origin
        orchestrators = _distinct(origin, registrar.orchestrators, self.orchestrators, "the orchestration mode")
        validators = _distinct(origin, registrar.validators, self.validators, "the bundle validator")
        workers = _distinct(origin, registrar.workers, self.workers, "the worker of the mode")
        ledgers = _distinct(origin, registrar.local_ledgers, self.local_ledgers, "the local ledger of the mode")
        self._check_rpc_codes(registrar)
        self.orchestrators.update(orchestrators)
        self.validators.update(validators)
        self.workers.update(workers)
        self.local_ledgers.update(ledgers)
        self.settings_checks.extend(_all(origin, registrar.settings_checks))
        self.token_sources.extend(_all(origin, registrar.token_sources))
        self.error_mappers.extend(_all(origin, registrar.error_mappers))
        self.features.extend(_all(origin, registrar.features))
        self.teardowns.extend(_all(origin, registrar.teardowns))

    def _check_rpc_codes(self, registrar: Registrar) -> None:
        claimed = {mapper.rpc_code for mapper in registrar.error_mappers} - {None}
        for mapper in self.error_mappers:
            if mapper.value.rpc_code in claimed:
                raise _duplicate(f"the error code {mapper.value.rpc_code}", mapper.origin, registrar.origin)


def _distinct(
    origin: PluginOrigin, added: list[tuple[str, T]], known: Mapping[str, Registered[T]], what: str
) -> dict[str, Registered[T]]:
    found: dict[str, Registered[T]] = {}
    for mode, value in added:
        earlier = found.get(mode) or known.get(mode)
        if earlier is not None:
            raise _duplicate(f"{what} '{mode}'", earlier.origin, origin)
        found[mode] = Registered(origin, value)
    return found


def _all(origin: PluginOrigin, values: list[T]) -> Iterator[Registered[T]]:
    return (Registered(origin, value) for value in values)


def _duplicate(what: str, first: PluginOrigin, second: PluginOrigin) -> PluginFault:
    if first == second:
        return PluginFault(f"{what} is registered twice by the plugin {first}")
    return PluginFault(
        f"{what} is registered by two plugins, {first} and {second}; disable one of them under [plugins] in"
        " rpc_override.toml"
    )
