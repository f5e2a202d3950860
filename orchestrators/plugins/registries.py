"""What is registered, by token: orchestrators and validators built at first use, error mappers, teardown."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

from orchestrators.plugins.contract import (
    BundleValidator,
    FoundToken,
    Orchestrator,
    PluginContext,
    PluginFault,
    TokenSource,
    Worker,
)
from orchestrators.plugins.mcp_features import Features
from orchestrators.plugins.registrar import (
    ErrorMapper,
    OrchestratorOffer,
    PluginOrigin,
    Registered,
    Registrations,
)
from schemas.problem import Problem, ProblemError, problem_error

logger = logging.getLogger(__name__)

TEARDOWN_S = 5.0

ContextFactory = Callable[[PluginOrigin, str], PluginContext]
"""Makes the context of a plugin for a token."""
Locks = dict[str, anyio.Lock]
"""One for each plugin, by its name."""
Built = TypeVar("Built")


class ErrorMappers:
    """The plugins' mappers. Those of a plugin count from its first use, so that no SDK is imported to ask them."""

    def __init__(self, mappers: list[Registered[ErrorMapper]]) -> None:
        self._mappers = mappers
        self._used: set[str] = set()
        self._by_type: dict[type[BaseException], Registered[ErrorMapper]] | None = {}

    def use(self, plugin: str) -> None:
        """Let the mappers of `plugin` count from now on."""
        if plugin not in self._used:
            self._used.add(plugin)
            self._by_type = None

    def map(self, error: BaseException) -> ProblemError | None:
        """The problem of `error` by the mapper of its most specific known type, or None. Never raises."""
        try:
            by_type = self._resolved()
        except PluginFault as fault:
            return _misconfigured(fault)
        for kind in type(error).__mro__:
            if kind in by_type:
                return _mapped(by_type[kind], error)
        return None

    def _resolved(self) -> Mapping[type[BaseException], Registered[ErrorMapper]]:
        if self._by_type is None:
            self._by_type = _by_type([mapper for mapper in self._mappers if mapper.origin.name in self._used])
        return self._by_type


class _Registry(Generic[Built]):
    """Values built once each, at first use; a failed build is tried again at the next use."""

    def __init__(self, context_of: ContextFactory, errors: ErrorMappers, locks: Locks | None = None) -> None:
        """Registries that share `locks` build what one plugin offers one after the other."""
        self._context_of = context_of
        self._errors = errors
        self._locks = {} if locks is None else locks
        self._factories: dict[str, Registered[Callable[[PluginContext], Built]]] = {}
        self._built: dict[str, Built] = {}

    def modes(self) -> list[str]:
        """Every token that is known to be served, sorted."""
        return sorted(self._factories)

    def has(self, mode: str) -> bool:
        """Whether `mode` is known to be served."""
        return mode in self._factories

    def add(self, mode: str, factory: Registered[Callable[[PluginContext], Built]]) -> None:
        """Serve `mode` unless it is served already."""
        self._factories.setdefault(mode, factory)

    async def get(self, mode: str) -> Built:
        """What serves `mode`. Raises `ProblemError`: nothing does, or its plugin could not begin."""
        if mode in self._built:
            return self._built[mode]
        if mode not in self._factories:
            raise _not_served(mode, self.modes())
        factory = self._factories[mode]
        # An SDK that two threads import at once breaks in both.
        async with self._locks.setdefault(factory.origin.name, anyio.Lock()):
            if mode not in self._built:
                self._built[mode] = await self._build(mode, factory)
        return self._built[mode]

    async def _build(self, mode: str, factory: Registered[Callable[[PluginContext], Built]]) -> Built:
        context = self._context_of(factory.origin, mode)
        try:
            return await self._made(factory, context)
        except ProblemError:
            raise
        except Exception as error:
            known = self._errors.map(error)
            if known is None:
                logger.exception("the plugin %s failed while it built what serves '%s'", factory.origin, mode)
            raise known or _cannot_begin(factory.origin, mode) from error

    async def _made(self, factory: Registered[Callable[[PluginContext], Built]], context: PluginContext) -> Built:
        try:
            # In a thread: a factory imports what may take seconds.
            return await anyio.to_thread.run_sync(factory.value, context)
        finally:
            # Not before: to ask a mapper's type imports the same.
            self._errors.use(factory.origin.name)


class OrchestratorRegistry(_Registry[Orchestrator]):
    """The orchestrators by token."""

    def __init__(self, context_of: ContextFactory, errors: ErrorMappers, locks: Locks | None = None) -> None:
        super().__init__(context_of, errors, locks)
        self._fire_and_forget: set[str] = set()

    def supports_fire_and_forget(self, mode: str) -> bool:
        """Whether `start` is possible in `mode`."""
        return mode in self._fire_and_forget

    def offer(self, mode: str, offer: Registered[OrchestratorOffer]) -> None:
        """Serve `mode` unless it is served already."""
        if not self.has(mode):
            self.add(mode, Registered(offer.origin, offer.value.factory))
            if offer.value.supports_fire_and_forget:
                self._fire_and_forget.add(mode)


class BundleValidatorRegistry(_Registry[BundleValidator]):
    """The bundle validators by token."""


class WorkerRegistry(_Registry[Worker]):
    """The workers by token."""


@dataclass(frozen=True)
class FoundMode:
    """A token that a source found."""

    token: FoundToken
    shadowed_by: PluginOrigin | None
    """The plugin that registered it, which goes before the source until it is disabled."""


class Plugins:
    """Everything the installed plugins offer, for the life of a server or a worker."""

    def __init__(
        self, registrations: Registrations, origins: Sequence[PluginOrigin], context_of: ContextFactory
    ) -> None:
        self.origins = origins
        """The plugins that registered."""
        self.errors = ErrorMappers(registrations.error_mappers)
        locks: Locks = {}
        self.orchestrators = OrchestratorRegistry(context_of, self.errors, locks)
        self.validators = BundleValidatorRegistry(context_of, self.errors, locks)
        self.workers = WorkerRegistry(context_of, self.errors, locks)
        self._context_of = context_of
        self._unasked = list(registrations.token_sources)
        self._found: list[FoundMode] = []
        self._asking = anyio.Lock()
        self._registrations = registrations
        for mode, offer in registrations.orchestrators.items():
            self.orchestrators.offer(mode, offer)
        for mode, factory in registrations.validators.items():
            self.validators.add(mode, factory)
        for mode, worker in registrations.workers.items():
            self.workers.add(mode, worker)

    def local_ledgers(self) -> list[str]:
        """The modes of which this machine keeps runs, as far as can be told without opening anything."""
        return [
            mode
            for mode, is_there in self._registrations.local_ledgers.items()
            if is_there.value(self._context_of(is_there.origin, mode))
        ]

    def check_settings(self, plugin: str, settings: Mapping[str, Any]) -> None:
        """Raise `SettingFault` where the plugin refuses its merged settings."""
        for check in self._registrations.settings_checks:
            if check.origin.name == plugin:
                check.value(settings)

    async def look_up(self, mode: str) -> None:
        """Ask the token sources, each once, where no plugin registered `mode`; the registries then know what is found.

        Raises `ProblemError` where a source cannot be asked; it is asked again the next time.
        """
        if not (self.orchestrators.has(mode) or self.validators.has(mode)):
            await self.found()

    async def found(self) -> list[FoundMode]:
        """Every token that the sources can serve, those among them that plugins registered. Raises like `look_up`."""
        async with self._asking:
            while self._unasked:
                self._found += await self._ask(self._unasked[0])
                del self._unasked[0]
        return self._found

    async def _ask(self, source: Registered[Callable[[PluginContext], TokenSource]]) -> list[FoundMode]:
        self.errors.use(source.origin.name)
        serving = source.value(self._context_of(source.origin, ""))
        tokens = await serving.tokens()
        for token in tokens:
            if token.orchestrates:
                offer = OrchestratorOffer(serving.orchestrator, token.supports_fire_and_forget)
                self.orchestrators.offer(token.mode, Registered(source.origin, offer))
            if token.validates:
                self.validators.add(token.mode, Registered(source.origin, serving.validator))
        return [FoundMode(token, self._registered_by(token.mode)) for token in tokens]

    def _registered_by(self, mode: str) -> PluginOrigin | None:
        registered = self._registrations.orchestrators.get(mode) or self._registrations.validators.get(mode)
        return None if registered is None else registered.origin

    def features(self) -> list[Features]:
        """What the plugins offer MCP hosts. A plugin that cannot offer its features is logged, and left out."""
        offered = []
        for registered in self._registrations.features:
            self.errors.use(registered.origin.name)
            try:
                offered.append(registered.value())
            except Exception:  # noqa: BLE001 - one plugin's failure does not affect the others' features
                logger.exception("the plugin %s could not offer its features", registered.origin)
        return offered

    async def aclose(self) -> None:
        """Tear down, the plugin that registered last first. A teardown that fails or hangs is logged."""
        await tear_down(self._registrations)


async def tear_down(registrations: Registrations) -> None:
    """Call every teardown once, in reverse order, each for `TEARDOWN_S` seconds at most, even under cancellation."""
    while registrations.teardowns:
        teardown = registrations.teardowns.pop()
        with anyio.CancelScope(shield=True):
            try:
                with anyio.fail_after(TEARDOWN_S):
                    await _finished(teardown.value())
            except TimeoutError:
                logger.error("the teardown of the plugin %s took more than %g s", teardown.origin, TEARDOWN_S)
            except Exception:  # noqa: BLE001 - one plugin's failure keeps no other from its teardown
                logger.exception("the teardown of the plugin %s failed", teardown.origin)


async def _finished(outcome: Awaitable[None] | None) -> None:
    if inspect.isawaitable(outcome):
        await outcome


def _by_type(mappers: list[Registered[ErrorMapper]]) -> dict[type[BaseException], Registered[ErrorMapper]]:
    found: dict[type[BaseException], Registered[ErrorMapper]] = {}
    for mapper in mappers:
        try:
            kind = mapper.value.exception_type()
        except Exception:  # noqa: BLE001 - a type that cannot be had cannot have been raised
            logger.exception("the plugin %s could not name an exception type it maps", mapper.origin)
            continue
        if kind in found:
            raise PluginFault(
                f"errors of {kind.__qualname__} are mapped twice, by {found[kind].origin} and {mapper.origin}"
            )
        found[kind] = mapper
    return found


def _mapped(mapper: Registered[ErrorMapper], error: BaseException) -> ProblemError | None:
    try:
        problem: Problem = mapper.value.to_problem(error)
    except Exception:  # noqa: BLE001 - a mapper that fails must not hide the failure it was asked about
        logger.exception("the plugin %s failed to map an error", mapper.origin)
        return None
    return ProblemError(problem, rpc_code=mapper.value.rpc_code)


def _misconfigured(fault: PluginFault) -> ProblemError:
    logger.error("%s", fault)
    return problem_error(
        "pipelex.plugin.conflict",
        f"The call failed, and what it means cannot be told: {fault}.",
        next_step=("fix_configuration", "Disable one of the two under [plugins] in rpc_override.toml."),
    )


def _not_served(mode: str, served: list[str]) -> ProblemError:
    return problem_error(
        "runtime.unsupported",
        f"No installed plugin serves the orchestration mode '{mode}'. Installed: {', '.join(served) or 'none'}.",
        next_step=("change_input", "Name a mode that is installed; `mthds-rpc plugins` lists them."),
        params={"capability": f"orchestration_mode {mode}", "available": served},
    )


def _cannot_begin(origin: PluginOrigin, mode: str) -> ProblemError:
    return problem_error(
        "pipelex.plugin.broken",
        f"The plugin {origin}, which serves the orchestration mode '{mode}', failed when it was first used.",
        next_step=("fix_configuration", "Look at the server's stderr for the reason, and fix or disable the plugin."),
        params={"plugin": origin.name},
    )
