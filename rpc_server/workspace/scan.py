"""Finding the methods of a folder: bounded in entries, depth and time, never following a link."""

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from rpc_server.settings.settings import WorkspaceSettings
from rpc_server.workspace.held_folder import FileState, HeldFolder, Kind, TooLarge, Unreadable
from rpc_server.workspace.method_folders import BUNDLE_SUFFIX, MANIFEST_NAME, MAX_TOML_BYTES
from rpc_server.workspace.names import shown, why_odd
from schemas.foreign_toml import BadToml, parse_toml_bytes
from schemas.problem import Location, Problem, ProblemItem, problem
from schemas.results import MethodEntry

# A file that changed this short a time ago may change again without another time of change.
_TICK_NS = 100_000_000
_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages"})
_VENV_MARKER = "pyvenv.cfg"


@dataclass(frozen=True)
class ScanBounds:
    """How much one scan looks at: directory entries, levels, seconds, and bytes of one file it reads."""

    entries: int
    depth: int
    seconds: float
    file_bytes: int

    @classmethod
    def of(cls, settings: WorkspaceSettings) -> Self:
        """The bounds that are configured."""
        return cls(
            entries=settings.max_scan_entries,
            depth=settings.max_scan_depth,
            seconds=settings.max_scan_s,
            file_bytes=settings.max_file_bytes,
        )


@dataclass(frozen=True)
class Stamp:
    """The state of a method's files as their metadata tells it: it differs where any of them changed.

    What is not `settled` changed a moment ago, and may change again without a visible difference.
    """

    files: tuple[tuple[str, FileState], ...]
    settled: bool


@dataclass(frozen=True)
class Scan:
    """What was found, by path; `truncated` where a bound stopped it."""

    methods: list[MethodEntry]
    truncated: bool
    stamps: dict[str, Stamp]
    """Path of the method -> the state of its files; empty for a scan that remembers nothing."""


@dataclass(frozen=True)
class _Head:
    """What a TOML file says of itself, or why it cannot be read."""

    values: dict[str, Any]
    problem: Problem | None = None

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None


@dataclass
class ScanMemory:
    """What scans of one root hand on to the next: the heads of files that have not changed since."""

    heads: dict[str, tuple[Stamp, _Head]] = field(default_factory=dict)


@dataclass
class _Folder:
    """One folder on the way: its bundles, its manifest, the folders below it. Paths are relative to the scan's root."""

    held: HeldFolder
    parts: tuple[str, ...] = ()
    names: list[str] = field(default_factory=list)
    """Of every file in it."""
    bundles: list[str] = field(default_factory=list)
    """The paths of its bundles, those that are no files included."""
    no_files: set[str] = field(default_factory=set)
    """The paths of those."""
    has_manifest: bool = False
    children: list["_Folder"] = field(default_factory=list)

    @cached_property
    def path(self) -> str:
        return "/".join(self.parts)

    def path_of(self, name: str) -> str:
        return f"{self.path}/{name}" if self.parts else name

    @cached_property
    def states(self) -> dict[str, FileState]:
        """How its files are, by name; those that are gone are missing."""
        return self.held.states(self.parts, self.names)

    def tree(self) -> Iterator["_Folder"]:
        """Itself and every folder below it, in an order that only names decide."""
        yield self
        for child in self.children:
            yield from child.tree()

    def stamp(self, names: Iterable[str], now: int) -> tuple[list[tuple[str, FileState]], bool]:
        """The state of some of its files, and whether it is settled."""
        states = []
        settled = True
        for name in names:
            state = self.states.get(name)
            if state is not None:
                states.append((self.path_of(name), state))
            settled = settled and state is not None and state.changed_ns < now - _TICK_NS
        return states, settled


def scan_methods(
    root: Path, bounds: ScanBounds, memory: ScanMemory | None = None, *, below: tuple[str, ...] = ()
) -> Scan:
    """Every package, and every bundle outside packages: its folder where that has one `main_pipe`, else the file.

    Searched is `root`, or the folder `below` it, to which no link leads.

    With a `memory`, kept by the caller for this root, a file that has not changed is not read again.
    """
    deadline = time.monotonic() + bounds.seconds
    try:
        # The walk and the heads keep the time limit themselves, so that what they found by then is returned.
        with HeldFolder.open(root, math.inf, below) as held:
            return _scan(held, (below or root.parts)[-1], bounds, deadline, memory)
    except Unreadable:
        return Scan(methods=[], truncated=False, stamps={})


def _scan(held: HeldFolder, name: str, bounds: ScanBounds, deadline: float, memory: ScanMemory | None) -> Scan:
    top, truncated = _walk(held, bounds, deadline)
    heads = _Heads(name, bounds.file_bytes, deadline, None if memory is None else memory.heads)
    found = {shown(entry.path): entry for entry in _methods(top, heads)}
    stamps = {} if memory is None else _stamps(top, found)
    if memory is not None:
        memory.heads = heads.stamped
    return Scan(
        methods=[_nameable(found[path]) for path in sorted(found)],
        truncated=truncated or heads.out_of_time,
        stamps=stamps,
    )


def _walk(held: HeldFolder, bounds: ScanBounds, deadline: float) -> tuple[_Folder, bool]:
    top = _Folder(held)
    pending = deque([top])
    seen = 0
    truncated = False
    while pending:
        folder = pending.popleft()
        entries = _entries(held, folder.parts, bounds.entries - seen)
        seen += max(1, len(entries))
        if seen >= bounds.entries or time.monotonic() > deadline:
            return top, True
        if _VENV_MARKER in entries and folder.parts:
            continue
        for name in sorted(entries):
            if entries[name] is not Kind.FOLDER:
                _note_file(folder, name, entries[name])
            elif len(folder.parts) + 1 > bounds.depth:
                truncated = True
            else:
                child = _Folder(held, (*folder.parts, name))
                folder.children.append(child)
                pending.append(child)
    return top, truncated


def _note_file(folder: _Folder, name: str, kind: Kind) -> None:
    path = folder.path_of(name)
    if kind is Kind.FILE:
        folder.names.append(name)
    if name.endswith(BUNDLE_SUFFIX):
        folder.bundles.append(path)
        if kind is not Kind.FILE:
            folder.no_files.add(path)
    elif name == MANIFEST_NAME and kind is Kind.FILE:
        folder.has_manifest = True


def _entries(held: HeldFolder, parts: tuple[str, ...], most: int) -> dict[str, Kind]:
    """The entries worth a look, by name; nothing for a folder that cannot be read."""
    try:
        entries = held.entries(parts, most)
    except OSError:
        return {}
    return {
        name: kind
        for name, kind in entries.items()
        if not name.startswith(".")
        and name not in _SKIPPED
        and (kind in (Kind.FILE, Kind.FOLDER) or name.endswith(BUNDLE_SUFFIX))
    }


def _stamps(top: _Folder, methods: dict[str, MethodEntry]) -> dict[str, Stamp]:
    """The state of every method's files: of all in its folder, or of the one file that it is."""
    now = time.time_ns()
    wanted = {"" if entry.path == "." else entry.path: path for path, entry in methods.items()}
    stamps: dict[str, Stamp] = {}
    for folder in top.tree():
        if folder.path in wanted:
            found = [below.stamp(below.names, now) for below in folder.tree()]
            states = tuple(state for states, _ in found for state in states)
            stamps[wanted[folder.path]] = Stamp(states, settled=all(settled for _, settled in found))
        for path in folder.bundles:
            if path in wanted:
                states_of_one, settled = folder.stamp([path.rsplit("/", 1)[-1]], now)
                stamps[wanted[path]] = Stamp(tuple(states_of_one), settled=settled or path in folder.no_files)
    return stamps


def _nameable(entry: MethodEntry) -> MethodEntry:
    """The entry as text; a name that no caller can write is its problem."""
    why = why_odd(entry.path)
    if why is None:
        return entry
    path = shown(entry.path)
    return MethodEntry(path=path, name=shown(entry.name), problem=_broken(path, f"it {why}"))


@dataclass
class _Heads:
    """Reads the files' heads, each once."""

    root_name: str
    file_bytes: int
    deadline: float
    before: dict[str, tuple[Stamp, _Head]] | None
    """What the scan before this one knew; None where nothing is remembered."""
    out_of_time: bool = False
    stamped: dict[str, tuple[Stamp, _Head]] = field(default_factory=dict)
    """What the next scan may know."""
    _read: dict[str, _Head] = field(default_factory=dict)

    def of(self, folder: _Folder, path: str) -> _Head:
        """The head of a file of a folder, by its path."""
        head = self._read.get(path)
        if head is None:
            head = self._read[path] = self._head(folder, path)
        return head

    def _head(self, folder: _Folder, path: str) -> _Head:
        if path in folder.no_files:
            return _Head({}, _broken(path, "it is not a regular file"))
        name = path.rsplit("/", 1)[-1]
        if self.before is None:
            return self._parse(folder, name)
        # How the file is is noted before it is read: what changes in between is read again the next time.
        states, settled = folder.stamp([name], time.time_ns())
        stamp = Stamp(tuple(states), settled)
        known = self.before.get(path)
        is_known = known is not None and known[0] == stamp and settled
        head = known[1] if known is not None and is_known else self._parse(folder, name)
        if not self.out_of_time:
            self.stamped[path] = (stamp, head)
        return head

    def _parse(self, folder: _Folder, name: str) -> _Head:
        if time.monotonic() > self.deadline:
            self.out_of_time = True
            return _Head({})
        path = folder.path_of(name)
        try:
            data = folder.held.read((*folder.parts, name), min(self.file_bytes, MAX_TOML_BYTES))
            return _Head(parse_toml_bytes(data))
        except BadToml as error:
            return _Head({}, _broken(path, error.reason, line=error.line, column=error.column))
        except Unreadable as error:
            return _Head({}, _broken(path, f"it {error.reason}"))
        except TooLarge as error:
            return _Head({}, _broken(path, f"it holds {error.size} bytes, more than {error.limit}"))


_Loose = tuple[_Folder, str]
"""A bundle, and the folder that it is in."""


def _methods(folder: _Folder, heads: _Heads) -> Iterator[MethodEntry]:
    if folder.has_manifest:
        yield _package(folder, heads)
        for child in _packages_below(folder):
            yield from _methods(child, heads)
        return
    loose = list(_loose_bundles(folder))
    mains = [bundle for bundle in loose if heads.of(*bundle).text("main_pipe")]
    if folder.path and folder.bundles and len(mains) == 1:
        yield _loose_folder(folder, mains[0], loose, heads)
        for child in _packages_below(folder):
            yield from _methods(child, heads)
        return
    if not loose and not folder.children and folder.path.endswith(BUNDLE_SUFFIX):
        yield _entry(folder.path, Path(folder.path).stem, _Head({}, _broken(folder.path, "it is a folder")))
    for path in folder.bundles:
        yield _entry(path, Path(path).stem, heads.of(folder, path))
    for child in folder.children:
        yield from _methods(child, heads)


def _packages_below(folder: _Folder) -> Iterator[_Folder]:
    for child in folder.children:
        if child.has_manifest:
            yield child
        else:
            yield from _packages_below(child)


def _loose_bundles(folder: _Folder) -> Iterator[_Loose]:
    """The bundles of a folder's own tree: those of packages inside it are not its own."""
    for path in folder.bundles:
        yield folder, path
    for child in folder.children:
        if not child.has_manifest:
            yield from _loose_bundles(child)


def _package(folder: _Folder, heads: _Heads) -> MethodEntry:
    manifest = heads.of(folder, folder.path_of(MANIFEST_NAME))
    package = _Head(_table(manifest.values.get("package")), manifest.problem)
    bundles = list(_loose_bundles(folder))
    main_pipe = package.text("main_pipe")
    main = _main_bundle(bundles, main_pipe, heads)
    return MethodEntry(
        path=folder.path or ".",
        name=package.text("name") or Path(folder.path).name or heads.root_name,
        description=package.text("description"),
        main_pipe=main_pipe or main.text("main_pipe"),
        domain=main.text("domain"),
        problem=package.problem or _first_problem(bundles, heads),
    )


def _main_bundle(bundles: list[_Loose], main_pipe: str | None, heads: _Heads) -> _Head:
    """Where a package starts: the bundle that defines the manifest's pipe, else the only one with a `main_pipe`."""
    of_bundles = [heads.of(*bundle) for bundle in bundles]
    if main_pipe is not None:
        defining = [head for head in of_bundles if main_pipe in _table(head.values.get("pipe"))]
        return defining[0] if defining else _Head({})
    mains = [head for head in of_bundles if head.text("main_pipe")]
    return mains[0] if len(mains) == 1 else _Head({})


def _loose_folder(folder: _Folder, main: _Loose, bundles: list[_Loose], heads: _Heads) -> MethodEntry:
    entry = _entry(folder.path, Path(folder.path).name, heads.of(*main))
    entry.problem = _first_problem(bundles, heads)
    return entry


def _entry(path: str, name: str, head: _Head) -> MethodEntry:
    return MethodEntry(
        path=path,
        name=name,
        description=head.text("description"),
        main_pipe=head.text("main_pipe"),
        domain=head.text("domain"),
        problem=head.problem,
    )


def _first_problem(bundles: Iterable[_Loose], heads: _Heads) -> Problem | None:
    return next((problem for bundle in bundles if (problem := heads.of(*bundle).problem) is not None), None)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _broken(path: str, why: str, line: int | None = None, column: int | None = None) -> Problem:
    path = shown(path)
    location = Location(file=path, line=line, column=column)
    return problem(
        "method.invalid",
        f"{path} cannot be read: {why}.",
        next_step=("change_method", f"Correct {path}."),
        errors=[ProblemItem(code="method.syntax", detail=why, location=location)],
    )
