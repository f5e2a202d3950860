"""Finding the methods of a folder: bounded in entries, depth and time, never following a link."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import tomli

from rpc_server.workspace.method_folders import BUNDLE_SUFFIX, MANIFEST_NAME
from rpc_server.workspace.paths import TooLarge, Unreadable, read_file
from schemas.problem import Location, NextStep, Problem, ProblemItem
from schemas.results import MethodEntry

_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages"})
_VENV_MARKER = "pyvenv.cfg"


@dataclass(frozen=True)
class ScanBounds:
    """How much one scan looks at: directory entries, levels, seconds, and bytes of one file it reads."""

    entries: int
    depth: int
    seconds: float
    file_bytes: int


@dataclass(frozen=True)
class Scan:
    """What was found, by path; `truncated` where a bound stopped it."""

    methods: list[MethodEntry]
    truncated: bool


@dataclass(frozen=True)
class _Head:
    """What a TOML file says of itself, or why it cannot be read."""

    values: dict[str, Any]
    problem: Problem | None = None

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None


@dataclass
class _Folder:
    """One folder on the way: its bundles, its manifest, the folders below it. Paths are relative to the scan's root."""

    path: str
    bundles: list[str] = field(default_factory=list)
    has_manifest: bool = False
    children: list["_Folder"] = field(default_factory=list)


def scan_methods(root: Path, bounds: ScanBounds) -> Scan:
    """Every package, and every bundle outside packages: its folder where that has one `main_pipe`, else the file."""
    deadline = time.monotonic() + bounds.seconds
    top, truncated = _walk(root, bounds, deadline)
    heads = _Heads(root, bounds.file_bytes, deadline)
    methods = sorted(_methods(top, heads), key=lambda entry: entry.path)
    return Scan(methods=methods, truncated=truncated or heads.out_of_time)


def _walk(root: Path, bounds: ScanBounds, deadline: float) -> tuple[_Folder, bool]:
    top = _Folder(path="")
    pending = deque([(top, 0)])
    seen = 0
    truncated = False
    while pending:
        folder, depth = pending.popleft()
        names = _entries(root / folder.path, bounds.entries - seen)
        seen += max(1, len(names))
        if seen >= bounds.entries or time.monotonic() > deadline:
            return top, True
        if _VENV_MARKER in names and depth > 0:
            continue
        for name, is_folder in sorted(names.items()):
            path = f"{folder.path}/{name}" if folder.path else name
            if not is_folder:
                _note_file(folder, name, path)
            elif depth + 1 > bounds.depth:
                truncated = True
            else:
                child = _Folder(path=path)
                folder.children.append(child)
                pending.append((child, depth + 1))
    return top, truncated


def _note_file(folder: _Folder, name: str, path: str) -> None:
    if name == MANIFEST_NAME:
        folder.has_manifest = True
    elif name.endswith(BUNDLE_SUFFIX):
        folder.bundles.append(path)


def _entries(directory: Path, most: int) -> dict[str, bool]:
    """Name -> whether it is a folder, of the entries worth a look; nothing for a folder that cannot be read."""
    found: dict[str, bool] = {}
    try:
        with os.scandir(directory) as entries:
            for entry in islice(entries, most):
                if entry.name.startswith(".") or entry.name in _SKIPPED:
                    continue
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
                    found[entry.name] = entry.is_dir(follow_symlinks=False)
    except OSError:
        return found
    return found


@dataclass
class _Heads:
    """Reads the files' heads, each once."""

    root: Path
    file_bytes: int
    deadline: float
    out_of_time: bool = False
    _read: dict[str, _Head] = field(default_factory=dict)

    def of(self, path: str) -> _Head:
        head = self._read.get(path)
        if head is None:
            head = self._read[path] = self._parse(path)
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
