"""The methods that can be tools: found on disk, each with what it takes and gives, and kept up to date.

A look at the disk reads again only what changed. An engine says what a method takes and gives, a few at a time,
and kept by the method's content, so that the next server knows it at once. One method that cannot be a tool is left
out alone.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from orchestrators.engines.pool import EnginePool
from orchestrators.plugins.contract import BackgroundTasks
from rpc_server import versions
from rpc_server.mcp.tools.left_out import clash, inexpressible, invalid, may_pass, not_understood, too_slow, unexpected
from rpc_server.mcp.tools.method_roots import MethodRoot, tool_name
from rpc_server.mcp.tools.signature_cache import SignatureCache
from rpc_server.mcp.tools.tool_schemas import Inexpressible, Schema, portable_input, portable_output
from rpc_server.workspace.method_folders import entry_pipe
from rpc_server.workspace.scan import Scan, ScanBounds, ScanMemory, Stamp
from rpc_server.workspace.workspace import Workspace
from schemas.canonical import digest_of
from schemas.method_source import MethodSource
from schemas.params import MethodParams
from schemas.problem import Problem, ProblemError
from schemas.results import MethodEntry, MethodSignature
from schemas.validation import ValidateRequest

logger = logging.getLogger(__name__)

AskSignature = Callable[[MethodSource, str | None], Awaitable[MethodSignature]]
"""Takes a method and the pipe to start at, None for its entry pipe; raises `ProblemError`."""

CACHE_VERSION = f"{versions.PIPELEX}/{versions.SERVER}/1"
"""The versions that made a signature on disk. The last number counts the changes of `MethodSignature`."""

_NOT_ITS_OWN = ("runtime.", "run.")
"""Problems of an engine, not of the method that it was asked about."""
_SHORTEST_PAUSE_S = 2.0
_PAUSES_PER_LOOK = 50
_RETRY_S = 30.0
_MOST_DOUBLINGS = 7
_TOLD_AT_MOST_EVERY_S = 10.0


@dataclass(frozen=True)
class IndexedMethod:
    """A method that can be a tool."""

    name: str
    """Of the tool."""
    path: str
    """As its callers name it: relative to the workspace, or absolute where it lies outside."""
    title: str
    about: str | None
    """What its main bundle or its manifest says of it."""
    root: MethodRoot
    signature: MethodSignature
    inputs: Schema
    """The portable schema of the arguments."""
    original_keys: dict[str, str]
    """Key of that schema -> the key the method knows, where they differ."""
    output: Schema
    """The portable schema of `RunResult.output`."""


@dataclass(frozen=True)
class IndexLimits:
    """How the index goes about it. Durations in seconds."""

    scan: ScanBounds
    asked_at_once: int = 2
    """Signatures that are asked of engines at the same time."""
    read_at_once: int = 4
    """Methods that are read at the same time."""
    read_s: float = 10.0
    """How long reading one may take."""
    answer_s: float = 60.0
    """How long an engine may take for one."""


@dataclass(frozen=True)
class _Found:
    """A method as one look found it."""

    root: MethodRoot
    entry: MethodEntry
    stamp: Stamp
    path: str
    """As its callers name it."""


@dataclass
class _Known:
    """What is known of one method; exactly one of `method`, `problem` and `pending` holds."""

    found: _Found
    key: str = ""
    """The content that it describes; empty where it could not be read."""
    method: IndexedMethod | None = None
    problem: Problem | None = None
    pending: bool = False
    has_packages: bool = False
    """Whether files outside its folder are part of it."""
    failures: int = 0
    """How often engines could not tell, one after the other."""
    retry_at: float | None = None
    """On the monotonic clock; None where asking again would change nothing."""


def signatures_of(pool: EnginePool) -> AskSignature:
    """Asks the engines of a pool, which refuse a method that does not load or does not validate.

    A method with Python is only loaded: its validation would take a further engine for every such method.
    """

    async def ask(source: MethodSource, pipe_code: str | None) -> MethodSignature:
        payload = {"method": source.model_dump(mode="json"), "pipe_code": pipe_code}
        signature = MethodSignature.model_validate(await pool.ask("signature", payload, method=source))
        if not source.python_files:
            request = ValidateRequest(method=source, orchestration_mode="direct", allow_signatures=True, include=[])
            verdict = await pool.validate(request)
            if not verdict.is_valid:
                raise ProblemError(invalid(verdict))
        return signature

    return ask


class MethodIndex:
    """The methods of some folders. All of it runs on one event loop."""

    def __init__(
        self,
        roots: Sequence[MethodRoot],
        ask: AskSignature,
        cache: SignatureCache,
        limits: IndexLimits,
        tasks: BackgroundTasks,
        *,
        changed: Callable[[], None] = lambda: None,
        reserved: Collection[str] = (),
    ) -> None:
        """`tasks` holds the watching once it has begun: its owner cancels it in the end. `changed` is called when the
        methods are no longer those that `current` gave first, or that it was called for. No tool has a `reserved` name.
        """
        self._changed = changed
        self._roots = [(root, ScanMemory()) for root in roots]
        self._ask = ask
        self._cache = cache
        self._limits = limits
        self._tasks = tasks
        self._reserved = frozenset(reserved)
        self._limiter = anyio.CapacityLimiter(limits.asked_at_once)
        self._readers = anyio.Semaphore(limits.read_at_once)
        self._known: dict[str, _Known] = {}
        self._methods: tuple[IndexedMethod, ...] = ()
        self._by_name: dict[str, IndexedMethod] = {}
        self._clashes: list[tuple[str, Problem]] = []
        self._next_look = anyio.Event()
        """Set once the next look, which has not begun, is done."""
        self._wanted = anyio.Event()
        self._answered = anyio.Event()
        self._watching = False
        self._told: tuple[IndexedMethod, ...] | None = None
        self._told_at = 0.0

    @property
    def problems(self) -> list[tuple[str, Problem]]:
        """The methods that are left out, by path, each with the reason."""
        problems = [(path, known.problem) for path, known in self._known.items() if known.problem is not None]
        return sorted([*problems, *self._clashes], key=lambda pair: pair[0])

    @property
    def is_complete(self) -> bool:
        """Whether every method of the last look is known, for good or ill."""
        return not any(known.pending for known in self._known.values())

    async def current(self, wait_s: float) -> tuple[IndexedMethod, ...]:
        """The methods by name, as they are on disk now; the same object as long as nothing changes.

        Waits at most `wait_s` seconds for the look at the disk and for what engines still have to tell; what comes
        later is announced by `changed`.
        """
        if not self._watching:
            self._watching = True
            self._tasks.start_soon(self.watch, name="method index")
        look = self._next_look
        self._wanted.set()
        with anyio.move_on_after(wait_s):
            await look.wait()
            while not self.is_complete:
                await self._answered.wait()
        if self._told is None:
            self._told, self._told_at = self._methods, time.monotonic()
        return self._methods

    def named(self, name: str) -> IndexedMethod | None:
        """The method behind a tool, as far as it is known now."""
        return self._by_name.get(name)

    def workspace_of(self, path: str) -> Workspace | None:
        """What a method is read by, `path` being how `IndexedMethod` names it."""
        known = self._known.get(path)
        return None if known is None else known.found.root.workspace

    async def watch(self) -> None:
        """Look at the disk again and again, as often as takes a fiftieth of the time; at once where a caller waits."""
        while True:
            look, self._next_look = self._next_look, anyio.Event()
            self._wanted = anyio.Event()
            began = time.perf_counter()
            try:
                await self._take_in()
                shortest_pause_s = _SHORTEST_PAUSE_S
            except Exception:
                logger.exception("A look at the methods failed; the next one follows.")
                shortest_pause_s = _RETRY_S
            look.set()
            took = time.perf_counter() - began
            with anyio.move_on_after(max(shortest_pause_s, _PAUSES_PER_LOOK * took)):
                await self._wanted.wait()

    async def _take_in(self) -> None:
        """One look: what is gone is forgotten, what is new or has changed is read."""
        found: dict[str, _Found] = {}
        is_whole = True
        for root, memory in self._roots:
            scan = await self._scan(root, memory)
            is_whole = is_whole and not scan.truncated
            for one in _candidates(root, scan):
                found.setdefault(one.path, one)
        if is_whole:
            self._known = {path: known for path, known in self._known.items() if path in found}
        # Side by side, so that one that cannot be read in time does not hold up the others.
        async with anyio.create_task_group() as reading:
            for path, one in found.items():
                known = self._known.get(path)
                if known is None or not _still_holds(known, one):
                    await self._readers.acquire()
                    reading.start_soon(self._read_and_release, path, one)
        self._rebuild()

    async def _scan(self, root: MethodRoot, memory: ScanMemory) -> Scan:
        try:
            return await root.workspace.scan(root.folder, self._limits.scan, memory)
        except ProblemError as error:
            logger.warning("the methods of a folder are not looked for now: %s", error)
            return Scan(methods=[], truncated=True, stamps={})

    async def _read_and_release(self, path: str, found: _Found) -> None:
        try:
            await self._read(path, found)
        except Exception as error:  # noqa: BLE001 - one method is left out, not all of them
            self._known[path] = _Known(found, problem=not_understood(path, error))
        finally:
            self._readers.release()

    async def _read(self, path: str, found: _Found) -> None:
        before = self._known.get(path)
        if found.entry.problem is not None:
            self._known[path] = _Known(found, problem=found.entry.problem)
            return
        try:
            source = await found.root.workspace.method_source(MethodParams(method=path), self._limits.read_s)
            pipe_code = entry_pipe(source)
        except ProblemError as error:
            self._known[path] = known = _Known(found)
            self._fail(known, error.problem)
            return
        known = _Known(found, key=f"{digest_of(source)}:{pipe_code or ''}", has_packages=bool(source.dependencies))
        if before is not None and before.key == known.key and not _is_due(before):
            before.found = found
            return
        if before is not None and before.key == known.key:
            known.failures = before.failures
        self._known[path] = known
        signature = await anyio.to_thread.run_sync(self._cache.read, known.key)
        if signature is not None:
            self._settle(known, signature)
        else:
            known.pending = True
            self._tasks.start_soon(self._learn, known, source, pipe_code, name=f"signature of {path}")

    async def _learn(self, known: _Known, source: MethodSource, pipe_code: str | None) -> None:
        """Ask an engine what a method takes and gives; callers that wait for it continue in any case."""
        try:
            async with self._limiter:
                if self._known.get(known.found.path) is known:
                    await self._ask_for(known, source, pipe_code)
        finally:
            known.pending = False
            self._answered.set()
            self._answered = anyio.Event()
            self._rebuild()

    async def _ask_for(self, known: _Known, source: MethodSource, pipe_code: str | None) -> None:
        try:
            with anyio.fail_after(self._limits.answer_s):
                signature = await self._ask(source, pipe_code)
        except ProblemError as error:
            self._fail(known, error.problem)
        except TimeoutError:
            self._fail(known, too_slow(known.found.path, self._limits.answer_s))
        except Exception as error:  # noqa: BLE001 - a problem of this method alone
            self._fail(known, unexpected(known.found.path, error))
        else:
            self._settle(known, signature)
            await anyio.to_thread.run_sync(self._cache.write, known.key, signature)

    def _settle(self, known: _Known, signature: MethodSignature) -> None:
        try:
            known.method = self._indexed(known.found, signature)
        except Inexpressible as error:
            known.problem = inexpressible(known.found.path, error.reason)
        except Exception as error:  # noqa: BLE001 - it may come from a cache, or from an engine of a newer release
            known.problem = not_understood(known.found.path, error)

    def _indexed(self, found: _Found, signature: MethodSignature) -> IndexedMethod:
        inputs, original_keys = portable_input(signature.inputs)
        return IndexedMethod(
            name=tool_name(found.root, found.entry.path, self._reserved),
            path=found.path,
            title=found.entry.name,
            about=found.entry.description,
            root=found.root,
            signature=signature,
            inputs=inputs,
            original_keys=original_keys,
            output=portable_output(signature.output),
        )

    def _fail(self, known: _Known, problem: Problem) -> None:
        known.problem = problem
        if problem.code.startswith(_NOT_ITS_OWN):
            # A method that takes engines too long may cost one each time.
            known.retry_at = time.monotonic() + _RETRY_S * 2 ** min(known.failures, _MOST_DOUBLINGS)
            known.failures += 1

    def _rebuild(self) -> None:
        self._clashes = []
        by_name: dict[str, IndexedMethod] = {}
        for path in sorted(self._known):
            method = self._known[path].method
            if method is None:
                continue
            if by_name.setdefault(method.name, method) is not method:
                self._clashes.append((path, clash(path, method.name)))
        methods = tuple(by_name[name] for name in sorted(by_name))
        if methods != self._methods:
            self._methods, self._by_name = methods, by_name
        self._announce()

    def _announce(self) -> None:
        """Tell of a difference once all is known, or now and then where that takes long: each time costs its reader."""
        if self._told is None or self._told is self._methods:
            return
        now = time.monotonic()
        if not self.is_complete and now - self._told_at < _TOLD_AT_MOST_EVERY_S:
            return
        differs = self._told != self._methods
        self._told, self._told_at = self._methods, now
        if differs:
            try:
                self._changed()
            except Exception:
                logger.exception("A change of the methods could not be announced.")


def _candidates(root: MethodRoot, scan: Scan) -> list[_Found]:
    """What a look found that starts somewhere, or would if it could be read."""
    return [
        _Found(root, entry, scan.stamps.get(entry.path, Stamp((), settled=False)), root.path_of(entry.path))
        for entry in scan.methods
        if entry.main_pipe is not None or entry.problem is not None
    ]


def _still_holds(known: _Known, found: _Found) -> bool:
    """Whether nothing that makes up the method can have changed since it was read.

    A method with packages, or with a problem that a package would solve, depends on files outside its folder.
    """
    if known.retry_at is not None and not known.key:
        # It could not be read in time: a further try at once would only hold up the others again.
        return not _is_due(known)
    if known.found.stamp != found.stamp or not found.stamp.settled:
        return False
    return not known.has_packages and (known.problem is None or not may_pass(known.problem))


def _is_due(known: _Known) -> bool:
    return known.retry_at is not None and time.monotonic() >= known.retry_at
