"""Which files a method is made of, as the MTHDS standard says, read beneath a folder that is held open.

`mthds` lists a tree by paths, which may lead elsewhere by the time they are opened, and reads what it lists without a
bound. So the walk is our own; its rules, names and refusals are `mthds`'s, and a test compares the two.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from mthds.method_tree.discovery import (
    DEFAULT_DIRECTORY_NAMES,
    GIT_ENTRY_NAME,
    GITIGNORE_NAME,
    RUN_INPUTS_NAMES,
    VENV_MARKER_NAME,
)
from mthds.method_tree.exceptions import MethodTreeRefusedError
from mthds.method_tree.tree_path import (
    MAX_PATH_BYTES,
    case_fold,
    directories_of,
    nfc,
    refuse_path_collisions,
    sorted_tree_paths,
    tree_path_sort_key,
    tree_path_violation,
)
from mthds.method_tree.vocabulary import TreeRefusalCode

from rpc_server.workspace.held_folder import HeldFolder, Kind, TooLarge, Unreadable
from rpc_server.workspace.ignore import BadPattern, IgnoreList
from rpc_server.workspace.method_folders import MANIFEST_NAME, MAX_TOML_BYTES, TreeBounds
from schemas.foreign_toml import BadToml, parse_toml_bytes

Parts = tuple[str, ...]

_MAX_IGNORE_BYTES = 1 << 20


class Refused(Exception):
    """The standard refuses the tree: its code for that, and the tree paths it names."""

    def __init__(self, code: TreeRefusalCode, names: Sequence[str] = ()) -> None:
        super().__init__(code, names)
        self.code = code
        self.names = names


class PastLimit(Exception):
    """The tree is larger than it may be; `what` is what passes `limit`: files, bytes in one file, bytes in all."""

    def __init__(self, reason: str, limit: int, what: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.limit = limit
        self.what = what


class BadManifest(Exception):
    """The METHODS.toml at the root cannot be read; the message completes "It cannot be read: …"."""


@dataclass(frozen=True)
class Tree:
    """The files of a method. Parts lead from the held folder."""

    root: Parts
    files: Mapping[str, Parts]
    """Tree path -> parts, in tree path order."""
    entry: str | None = None
    """The tree path of the bundle that was named, where one was named of a larger tree."""


def tree_of_folder(held: HeldFolder, folder: Parts, bounds: TreeBounds) -> Tree:
    """The tree that a folder belongs to. Raises as `tree_at` does."""
    package = manifest_folder(held, folder).folder
    return tree_at(held, folder if package is None else package, bounds)


def tree_of_file(held: HeldFolder, file: Parts, bounds: TreeBounds) -> Tree:
    """The tree that a bundle belongs to: of the package around it, else its own. Raises as `tree_at` does."""
    folder = file[:-1]
    package = manifest_folder(held, folder).folder
    if package is None:
        return _one_file_tree(held, (*folder, _held_name(held, folder, file[-1])), bounds)
    tree = tree_at(held, package, bounds)
    entry = _held_tree_path(held, package, file)
    if entry not in tree.files:
        raise Refused(TreeRefusalCode.LONE_FILE_EXCLUDED, [entry])
    return Tree(tree.root, tree.files, entry)


def tree_at(held: HeldFolder, root: Parts, bounds: TreeBounds) -> Tree:
    """The tree rooted at a folder. Raises `Refused`, `PastLimit`, `BadManifest`, `Unreadable` and `OutOfTime`."""
    return _Walk(held, root, bounds).tree()


@dataclass(frozen=True)
class Discovery:
    """Where the search for a manifest ended; `goes_on` says that it may lie above the held folder."""

    folder: Parts | None
    goes_on: bool


def manifest_folder(held: HeldFolder, start: Parts) -> Discovery:
    """The nearest folder at or above `start` with a METHODS.toml, up to one with a `.git` and to the held folder."""
    for length in range(len(start), -1, -1):
        folder = start[:length]
        if _kind_of_exact_name(held, folder, MANIFEST_NAME) is Kind.FILE:
            return Discovery(folder, goes_on=False)
        if _kind_of_exact_name(held, folder, GIT_ENTRY_NAME) is not None:
            return Discovery(None, goes_on=False)
    return Discovery(None, goes_on=True)


def _kind_of_exact_name(held: HeldFolder, folder: Parts, name: str) -> Kind | None:
    """A file system that ignores letter case answers to other names as well."""
    kind = held.kind((*folder, name))
    return None if kind is None else _entries(held, folder).get(name)


def _held_name(held: HeldFolder, folder: Parts, name: str) -> str:
    """The name by which the file system has what it found by `name`."""
    entries = _entries(held, folder)
    same = [entry for entry in entries if case_fold(entry) == case_fold(name)]
    return name if name in entries or len(same) != 1 else same[0]


def _held_tree_path(held: HeldFolder, root: Parts, file: Parts) -> str:
    names: Parts = ()
    for name in file[len(root) :]:
        names = (*names, _held_name(held, (*root, *names), name))
    return "/".join(map(nfc, names))


def _one_file_tree(held: HeldFolder, file: Parts, bounds: TreeBounds) -> Tree:
    tree_path = nfc(file[-1])
    if tree_path.startswith("."):
        raise Refused(TreeRefusalCode.LONE_FILE_EXCLUDED, [tree_path])
    walk = _Walk(held, file[:-1], bounds)
    walk.keep(tree_path, file[-1:], held.kind(file))
    return walk.kept()


def _entries(held: HeldFolder, folder: Parts) -> dict[str, Kind]:
    try:
        return held.entries(folder)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from error


@dataclass
class _Folder:
    """A folder that the walk has still to visit. Parts lead from the tree's root."""

    tree_path: str
    parts: Parts
    entries: dict[str, Kind]
    ignored_by: tuple[IgnoreList, ...] = ()

    def path_of(self, name: str) -> str:
        return f"{self.tree_path}/{nfc(name)}" if self.tree_path else nfc(name)


@dataclass
class _Walk:
    held: HeldFolder
    root: Parts
    bounds: TreeBounds
    files: dict[str, Parts] = field(default_factory=dict)
    bytes_in_all: int = 0
    spellings: dict[str, set[str]] = field(default_factory=dict)
    """Tree path -> how the file system spells it; one where all is well."""
    excluded: IgnoreList | None = None
    """What the manifest leaves out."""
    spent_s: float = 0.0
    """On matching patterns."""
    patterns_end: float = 0.0

    def tree(self) -> Tree:
        top = _Folder("", (), _entries(self.held, self.root))
        if not _marks_environment(top.entries):
            if top.entries.get(MANIFEST_NAME) is Kind.FILE:
                self.excluded = self._manifest_patterns()
            self._walk(top)
        return self.kept()

    def kept(self) -> Tree:
        """The files that were kept, once they agree with one another."""
        self._refuse_spellings()
        try:
            refuse_path_collisions(list(self.files), what="The method tree")
        except MethodTreeRefusedError as error:
            raise Refused(error.refusal.code, error.refusal.names) from error
        if not self.files:
            raise Refused(TreeRefusalCode.EMPTY_TREE)
        ordered = sorted(self.files, key=tree_path_sort_key)
        return Tree(self.root, {path: (*self.root, *self.files[path]) for path in ordered})

    def keep(self, tree_path: str, parts: Parts, kind: Kind | None) -> None:
        """Take in what no rule leaves out."""
        if kind is Kind.LINK:
            raise Refused(TreeRefusalCode.SYMBOLIC_LINK, [tree_path])
        if kind is Kind.SPECIAL:
            raise Refused(TreeRefusalCode.SPECIAL_FILE, [tree_path])
        if tree_path_violation(tree_path) is not None:
            raise Refused(TreeRefusalCode.INVALID_TREE_PATH, [tree_path])
        self.files[tree_path] = parts
        self._count(parts)

    def _count(self, parts: Parts) -> None:
        state = self.held.states((*self.root, *parts[:-1]), parts[-1:]).get(parts[-1])
        size = 0 if state is None else state.size
        self.bytes_in_all += size
        for reached, limit, reason, what in (
            (size, self.bounds.file_bytes, "file_too_large", "bytes in one file"),
            (len(self.files), self.bounds.files, "too_many_files", "files"),
            (self.bytes_in_all, self.bounds.total_bytes, "tree_too_large", "bytes in all"),
        ):
            if reached > limit:
                raise PastLimit(reason, limit, what)

    def _walk(self, top: _Folder) -> None:
        pending = [top]
        while pending:
            self.held.check_time()
            folder = pending.pop()
            folder.ignored_by += self._ignore_file(folder)
            pending.extend(reversed(list(self._visit(folder))))

    def _visit(self, folder: _Folder) -> Iterator[_Folder]:
        """Keep the files of a folder; the folders in it that are no less the method's."""
        for name in sorted(folder.entries, key=lambda name: tree_path_sort_key(nfc(name))):
            tree_path, kind = folder.path_of(name), folder.entries[name]
            parts = (*folder.parts, name)
            if nfc(name).startswith("."):
                continue
            if kind is Kind.FOLDER:
                entries = self._entries_if_kept(folder, name, tree_path, parts)
                if entries is not None:
                    self._note_spelling(tree_path, parts)
                    yield _Folder(tree_path, parts, entries, folder.ignored_by)
                continue
            if name in RUN_INPUTS_NAMES and kind in (Kind.FILE, Kind.LINK):
                continue
            if not self._is_ignored(folder, tree_path, is_folder=False):
                self._note_spelling(tree_path, parts)
                self.keep(tree_path, parts, kind)

    def _entries_if_kept(self, folder: _Folder, name: str, tree_path: str, parts: Parts) -> dict[str, Kind] | None:
        """What a folder holds; None where a rule leaves it out."""
        if nfc(name) in DEFAULT_DIRECTORY_NAMES:
            return None
        if len(tree_path_sort_key(tree_path)) > MAX_PATH_BYTES:
            raise Refused(TreeRefusalCode.INVALID_TREE_PATH, [tree_path])
        try:
            entries = _entries(self.held, (*self.root, *parts))
        except Unreadable:
            # It need not be readable where it is left out.
            if self._is_ignored(folder, tree_path, is_folder=True):
                return None
            raise
        is_another = GIT_ENTRY_NAME in entries or entries.get(MANIFEST_NAME) is Kind.FILE
        if is_another or _marks_environment(entries) or self._is_ignored(folder, tree_path, is_folder=True):
            return None
        return entries

    def _is_ignored(self, folder: _Folder, tree_path: str, *, is_folder: bool) -> bool:
        manifest = () if self.excluded is None else (self.excluded,)
        lists = (*reversed(folder.ignored_by), *manifest)
        verdicts = (patterns.verdict(tree_path, is_folder=is_folder) for patterns in lists)
        with self._pattern_time():
            decided = next((verdict for verdict in verdicts if verdict is not None), False)
        return decided  # noqa: RET504 - mypy takes the block for one that may swallow an error

    @contextmanager
    def _pattern_time(self) -> Iterator[None]:
        """Counts the time of the block as spent on patterns."""
        began = time.monotonic()
        self.patterns_end = began + self.bounds.pattern_s - self.spent_s
        yield
        self.spent_s += time.monotonic() - began

    def _check_patterns(self) -> None:
        self.held.check_time()
        if time.monotonic() > self.patterns_end:
            raise Unreadable("has ignore patterns that take too long to apply")

    def _ignore_file(self, folder: _Folder) -> tuple[IgnoreList, ...]:
        if folder.entries.get(GITIGNORE_NAME) is not Kind.FILE:
            return ()
        tree_path = folder.path_of(GITIGNORE_NAME)
        try:
            data = self.held.read((*self.root, *folder.parts, GITIGNORE_NAME), _MAX_IGNORE_BYTES)
            with self._pattern_time():
                patterns = IgnoreList.of_file(data, folder.tree_path, self._check_patterns)
        except UnicodeDecodeError as error:
            raise Refused(TreeRefusalCode.GITIGNORE_NOT_UTF8, [tree_path]) from error
        except (Unreadable, TooLarge, BadPattern) as error:
            raise Unreadable(f"has a file {tree_path} that {_why(error)}") from error
        return (patterns,)

    def _manifest_patterns(self) -> IgnoreList | None:
        try:
            data = self.held.read((*self.root, MANIFEST_NAME), MAX_TOML_BYTES)
            package = parse_toml_bytes(data).get("package")
            exclude = package.get("exclude") if isinstance(package, dict) else None
            if exclude is None:
                return None
            with self._pattern_time():
                patterns = IgnoreList.of_entries(_patterns(exclude), self._check_patterns)
        except BadToml as error:
            raise BadManifest(str(error)) from error
        except (Unreadable, TooLarge, BadPattern) as error:
            raise BadManifest(f"it {_why(error)}") from error
        return patterns

    def _note_spelling(self, tree_path: str, parts: Parts) -> None:
        self.spellings.setdefault(tree_path, set()).add("/".join(parts))

    def _refuse_spellings(self) -> None:
        """Two names that differ only before normalization, on the way to a file that was kept."""
        prefixes = {prefix for path in self.files for prefix in (*directories_of(path), path)}
        colliding = {
            spelling
            for prefix in prefixes
            if len(spellings := self.spellings.get(prefix, set())) > 1
            for spelling in spellings
        }
        if colliding:
            raise Refused(TreeRefusalCode.NORMALIZATION_COLLISION, sorted_tree_paths(colliding))


def _marks_environment(entries: Mapping[str, Kind]) -> bool:
    return entries.get(VENV_MARKER_NAME) in (Kind.FILE, Kind.LINK)


def _patterns(exclude: object) -> list[str]:
    if not isinstance(exclude, list) or not all(isinstance(pattern, str) for pattern in exclude):
        _refuse_patterns("its `exclude` is not a list of patterns")
    if any("\n" in pattern or "\r" in pattern for pattern in exclude):
        _refuse_patterns("a pattern of its `exclude` holds a line break")
    return exclude


def _refuse_patterns(why: str) -> NoReturn:
    raise BadManifest(why)


def _why(error: Unreadable | TooLarge | BadPattern) -> str:
    if isinstance(error, Unreadable):
        return error.reason
    if isinstance(error, TooLarge):
        return f"holds {error.size} bytes, more than {error.limit}"
    return str(error)
