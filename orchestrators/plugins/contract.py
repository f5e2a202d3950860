"""What a plugin implements and what it is given. Import-light: no engine, no SDK."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from anyio import Event

from schemas.problem import Problem
from schemas.runs import RunEvent, RunPage, RunQuery, RunRecord, RunRequest, RunResult, StartAck
from schemas.validation import ValidateRequest, ValidationVerdict

if TYPE_CHECKING:
    from orchestrators.plugins.registrar import Registrar

PLUGIN_API_VERSION = 1
ENTRY_POINT_GROUP = "mthds_rpc.plugins"

EventSink = Callable[[RunEvent], None]
"""Takes each event of a run, in order; must not block. `None` stands for no listener, and costs nothing."""


class RunLedger(Protocol):
    """What an orchestrator remembers of its runs. Every method raises `run.not_found` for a stranger."""

    async def get(self, run_id: str) -> RunRecord: ...

    async def list(self, query: RunQuery) -> RunPage: ...

    async def result(self, run_id: str, wait_s: float) -> RunResult:
        """The result, or the run's own problem raised; `run.not_finished` after `wait_s` seconds without an end."""
        ...

    async def cancel(self, run_id: str) -> RunRecord: ...

    def watch(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """Events with `seq` greater than `after`, then live ones, to the end of the run."""
        ...


@runtime_checkable
class PrunableLedger(RunLedger, Protocol):
    """A ledger that outlives its server, so that it has to be cleared."""

    async def prune(self, keep_s: float | None, keep_runs: int | None) -> int:
        """Forget ended runs older than `keep_s` seconds, and all but the newest `keep_runs`; how many it was."""
        ...


class Orchestrator(Protocol):
    """One way to run a method. anyio cancellation of `execute` cancels the run where the caller owns it.

    Where `supports_fire_and_forget` is true the run owns itself: it continues without its caller.
    """

    @property
    def ledger(self) -> RunLedger: ...

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        """Run to the end. Raises `ProblemError`, or anything an error mapper of the same plugin knows."""
        ...

    async def start(self, run: RunRequest) -> StartAck:
        """Return once the run is safe. Never called where `supports_fire_and_forget` is false."""
        ...


@runtime_checkable
class RemoteOrchestrator(Orchestrator, Protocol):
    """One whose runs go to a server, which may be away."""

    async def reach(self) -> None:
        """Raise `ProblemError` where no run can be given to it now. Asked before a method is loaded to be started."""
        ...


class BundleValidator(Protocol):
    """Judges a method. A verdict is a value; raising means that no verdict could be produced."""

    async def validate(self, request: ValidateRequest) -> ValidationVerdict: ...


class Engines(BundleValidator, Protocol):
    """The engines of this process. They validate methods, so they can be registered as a validator."""

    async def execute(self, run: RunRequest, events: EventSink | None) -> RunResult:
        """Run on this machine, to the end. Raises `ProblemError`. Cancelling it cancels the run."""
        ...


class BackgroundTasks(Protocol):
    """Starts tasks that are not waited for; a task group of anyio is one."""

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], *args: Any, name: object = None) -> object: ...


@dataclass(frozen=True)
class PluginContext:
    """What a factory gets on first use."""

    settings: Mapping[str, Any]
    """The plugin's merged `rpc_<name>.toml`; empty where it ships none."""
    state_dir: Path
    """The user's state directory of mthds-rpc, absolute; not yet created."""
    engines: Engines
    """Run and validate methods on this machine."""
    logger: logging.Logger
    mode: str
    """The token that is being resolved: one factory may serve several. Empty for a token source."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The process's variables and those of the user's files of variables."""
    redact: Callable[[Any], Any] = lambda value: value
    """A copy of a JSON value with the secrets of the environment masked: for what is kept or shown."""
    tasks: "BackgroundTasks | None" = None
    """Holds what the plugin runs in the background; cancelled before teardown. A task that fails is logged."""
    resumes: bool = False
    """Whether this process takes up kept runs: a server whose configured mode is `mode`. A reader never does."""
    worker_command: Sequence[str] = ()
    """What starts a worker of `mode` with the settings in force. It ends, in order, when its stdin does."""


class Worker(Protocol):
    """Runs what was started elsewhere, in a process of its own (`mthds-rpc worker`)."""

    async def run(self, stop: Event, working: Event) -> None:
        """Take up runs until `stop` is set, then hand back what has not ended. Sets `working` once it takes some up."""
        ...


OrchestratorFactory = Callable[[PluginContext], Orchestrator]
ValidatorFactory = Callable[[PluginContext], BundleValidator]
WorkerFactory = Callable[[PluginContext], Worker]
LedgerIsThere = Callable[[PluginContext], bool]
"""Tells, without opening it, whether this machine keeps runs of a mode."""
SettingsCheck = Callable[[Mapping[str, Any]], None]
"""Raises `SettingFault` for merged settings that cannot be used."""
ExceptionThunk = Callable[[], type[BaseException]]
"""Returns the exception type; a thunk so that registering imports nothing."""
ToProblem = Callable[[BaseException], Problem]
Teardown = Callable[[], Awaitable[None] | None]
"""Ends what a plugin started. One that is no coroutine function must not block."""


class SettingFault(Exception):
    """A setting of a plugin that cannot be used: its key, as a path of tables, and why, in a few words."""

    def __init__(self, key: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


class PluginFault(Exception):
    """A plugin that cannot be used as it is installed: a configuration fault. The message is one line and names it."""


@dataclass(frozen=True)
class FoundToken:
    """A token that a source can serve."""

    mode: str
    provider: str
    """What really serves it, for people."""
    orchestrates: bool = True
    supports_fire_and_forget: bool = False
    validates: bool = True


class TokenSource(Protocol):
    """Serves tokens that are known only after a look, such as those of another plugin system."""

    async def tokens(self) -> list[FoundToken]:
        """Look. Asked at the first token that no plugin registered, and never again once it has answered."""
        ...

    def orchestrator(self, context: PluginContext) -> Orchestrator: ...

    def validator(self, context: PluginContext) -> BundleValidator: ...


TokenSourceFactory = Callable[[PluginContext], TokenSource]


class Plugin(Protocol):
    """The object behind an entry point of the group `mthds_rpc.plugins`."""

    name: str
    targets_api: int

    def register(self, registrar: "Registrar") -> None:
        """Side-effect free and import-light."""
        ...
