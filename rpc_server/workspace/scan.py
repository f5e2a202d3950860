"""Finding the methods of a folder: bounded in entries, depth and time, never following a link."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

import tomli

from rpc_server.config import WorkspaceSettings
from rpc_server.workspace.method_folders import BUNDLE_SUFFIX, MANIFEST_NAME
from rpc_server.workspace.paths import TooLarge, Unreadable, read_file
from schemas.problem import Location, NextStep, Problem, ProblemItem
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

    What is not `settled` changed a moment ago, and may change again without being told from this.
    """

    files: tuple[tuple[str, int, int, int], ...]
    """Of each file its path, time of change in nanoseconds, size in bytes, and inode."""
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


_Entries = dict[str, "os.DirEntry[str]"]


@dataclass
class _Folder:
    """One folder on the way: its bundles, its manifest, the folders below it. Paths are relative to the scan's root."""

    path: str
    files: _Entries = field(default_factory=dict)
    """Every file in it, by its path."""
    bundles: list[str] = field(default_factory=list)
    has_manifest: bool = False
    children: list["_Folder"] = field(default_factory=list)

    def tree(self) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        """Every file in and below it, in an order that only names decide."""
        yield from self.files.items()
        for child in self.children:
            yield from child.tree()


def scan_methods(root: Path, bounds: ScanBounds, memory: ScanMemory | None = None) -> Scan:
    """Every package, and every bundle outside packages: its folder where that has one `main_pipe`, else the file.

    With a `memory`, kept by the caller for this root, a file that has not changed is not read again.
    """
    deadline = time.monotonic() + bounds.seconds
    top, truncated = _walk(root, bounds, deadline)
    files = dict(top.tree())
    heads = _Heads(root, bounds.file_bytes, deadline, files, {} if memory is None else memory.heads)
    methods = sorted(_methods(top, heads), key=lambda entry: entry.path)
    if memory is not None:
        memory.heads = heads.stamped
    return Scan(
        methods=methods,
        truncated=truncated or heads.out_of_time,
        stamps={} if memory is None else _stamps(top, methods),
    )


def _walk(root: Path, bounds: ScanBounds, deadline: float) -> tuple[_Folder, bool]:
    top = _Folder(path="")
    pending = deque([(top, 0)])
    seen = 0
    truncated = False
    while pending:
        folder, depth = pending.popleft()
        entries = _entries(f"{root}/{folder.path}", bounds.entries - seen)
        seen += max(1, len(entries))
        if seen >= bounds.entries or time.monotonic() > deadline:
            return top, True
        if _VENV_MARKER in entries and depth > 0:
            continue
        for name in sorted(entries):
            path = f"{folder.path}/{name}" if folder.path else name
            if not entries[name].is_dir(follow_symlinks=False):
                _note_file(folder, path, entries[name])
            elif depth + 1 > bounds.depth:
                truncated = True
            else:
                child = _Folder(path=path)
                folder.children.append(child)
                pending.append((child, depth + 1))
    return top, truncated


def _note_file(folder: _Folder, path: str, entry: "os.DirEntry[str]") -> None:
    folder.files[path] = entry
    if entry.name == MANIFEST_NAME:
        folder.has_manifest = True
    elif entry.name.endswith(BUNDLE_SUFFIX):
        folder.bundles.append(path)


def _entries(directory: str, most: int) -> _Entries:
    """The entries worth a look, by name; nothing for a folder that cannot be read."""
    found: _Entries = {}
    try:
        with os.scandir(directory) as entries:
            for entry in islice(entries, most):
                if entry.name.startswith(".") or entry.name in _SKIPPED:
                    continue
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
                    found[entry.name] = entry
    except OSError:
        return found
    return found


def _stamps(top: _Folder, methods: list[MethodEntry]) -> dict[str, Stamp]:
    """The state of every method's files: of all in its folder, or of the one file that it is."""
    now = time.time_ns()
    wanted = {"" if entry.path == "." else entry.path for entry in methods}
    stamps: dict[str, Stamp] = {}
    pending = [top]
    while pending:
        folder = pending.pop()
        pending.extend(folder.children)
        if folder.path in wanted:
            stamps[folder.path or "."] = _stamp(folder.tree(), now)
        for path in wanted.intersection(folder.bundles):
            stamps[path] = _stamp([(path, folder.files[path])], now)
    return stamps


def _stamp(files: Iterable[tuple[str, "os.DirEntry[str]"]], now: int) -> Stamp:
    """`now` is in nanoseconds since the epoch; a file that is gone counts as one that changes."""
    states = []
    settled = True
    for path, entry in files:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            settled = False
            continue
        states.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
        settled = settled and status.st_mtime_ns < now - _TICK_NS
    return Stamp(files=tuple(states), settled=settled)


@dataclass
class _Heads:
    """Reads the files' heads, each once."""

    root: Path
    file_bytes: int
    deadline: float
    files: _Entries
    before: dict[str, tuple[Stamp, _Head]]
    """What the scan before this one knew."""
    out_of_time: bool = False
    stamped: dict[str, tuple[Stamp, _Head]] = field(default_factory=dict)
    """What the next scan may know."""
    _read: dict[str, _Head] = field(default_factory=dict)

    def of(self, path: str) -> _Head:
        head = self._read.get(path)
        if head is None:
            head = self._read[path] = self._head(path)
        return head

    def _head(self, path: str) -> _Head:
        # How the file is is noted before it is read: what changes in between is read again the next time.
        stamp = _stamp([(path, self.files[path])], time.time_ns())
        known = self.before.get(path)
        is_known = known is not None and known[0] == stamp and stamp.settled
        head = known[1] if known is not None and is_known else self._parse(path)
        if not self.out_of_time:
            self.stamped[path] = (stamp, head)
        return head

    def _parse(self, path: str) -> _Head:
        if time.monotonic() > self.deadline:
            self.out_of_time = True
            return _Head({})
        try:
            return _Head(tomli.loads(read_file(self.root / path, self.file_bytes).decode("utf-8")))
        except tomli.TOMLDecodeError as error:
            return _Head({}, _broken(path, error.msg, line=error.lineno, column=error.colno))
        except UnicodeDecodeError:
            return _Head({}, _broken(path, "it is not UTF-8 text"))
        except Unreadable as error:
            return _Head({}, _broken(path, f"it {error.reason}"))
        except TooLarge as error:
            return _Head({}, _broken(path, f"it holds {error.size} bytes, more than {error.limit}"))


def _methods(folder: _Folder, heads: _Heads) -> Iterator[MethodEntry]:
    if folder.has_manifest:
        yield _package(folder, heads)
        for child in _packages_below(folder):
            yield from _methods(child, heads)
        return
    loose = list(_loose_bundles(folder))
    mains = [path for path in loose if heads.of(path).text("main_pipe")]
    if folder.path and folder.bundles and len(mains) == 1:
        yield _loose_folder(folder, mains[0], loose, heads)
        for child in _packages_below(folder):
            yield from _methods(child, heads)
        return
    for path in folder.bundles:
        yield _entry(path, Path(path).stem, heads.of(path))
    for child in folder.children:
        yield from _methods(child, heads)


def _packages_below(folder: _Folder) -> Iterator[_Folder]:
    for child in folder.children:
        if child.has_manifest:
            yield child
        else:
            yield from _packages_below(child)


def _loose_bundles(folder: _Folder) -> Iterator[str]:
    """The bundles of a folder's own tree: those of packages inside it are not its own."""
    yield from folder.bundles
    for child in folder.children:
        if not child.has_manifest:
            yield from _loose_bundles(child)


def _package(folder: _Folder, heads: _Heads) -> MethodEntry:
    manifest = heads.of(f"{folder.path}/{MANIFEST_NAME}" if folder.path else MANIFEST_NAME)
    table = manifest.values.get("package")
    package = _Head(table if isinstance(table, dict) else {}, manifest.problem)
    bundles = list(_loose_bundles(folder))
    main_pipe = package.text("main_pipe")
    main = _main_bundle(bundles, main_pipe, heads)
    return MethodEntry(
        path=folder.path or ".",
        name=package.text("name") or Path(folder.path).name or heads.root.name,
        description=package.text("description"),
        main_pipe=main_pipe or main.text("main_pipe"),
        domain=main.text("domain"),
        problem=package.problem or _first_problem(bundles, heads),
    )


def _main_bundle(bundles: list[str], main_pipe: str | None, heads: _Heads) -> _Head:
    """Where a package starts: the bundle that defines the manifest's pipe, else the only one with a `main_pipe`."""
    if main_pipe is not None:
        defining = [head for head in map(heads.of, bundles) if main_pipe in _table(head.values.get("pipe"))]
        return defining[0] if defining else _Head({})
    mains = [head for head in map(heads.of, bundles) if head.text("main_pipe")]
    return mains[0] if len(mains) == 1 else _Head({})


def _loose_folder(folder: _Folder, main: str, bundles: list[str], heads: _Heads) -> MethodEntry:
    entry = _entry(folder.path, Path(folder.path).name, heads.of(main))
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


def _first_problem(paths: Iterable[str], heads: _Heads) -> Problem | None:
    return next((problem for path in paths if (problem := heads.of(path).problem) is not None), None)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _broken(path: str, why: str, line: int | None = None, column: int | None = None) -> Problem:
    location = Location(file=path, line=line, column=column)
    return Problem(
        code="method.invalid",
        title="The method is not valid",
        detail=f"{path} cannot be read: {why}.",
        domain="method",
        next_step=NextStep(kind="change_method", detail=f"Correct {path}."),
        errors=[ProblemItem(code="method.syntax", detail=why, location=location)],
    )
