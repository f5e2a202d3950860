"""The workspace: what a request names by path, read and put into the request, so that it is complete."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from rpc_server.settings.environment import user_home
from rpc_server.settings.projects import project_root
from rpc_server.settings.settings import Settings, WorkspaceSettings
from rpc_server.workspace.dependencies import Store, addresses_in, find_packages, stores_for
from rpc_server.workspace.file_threads import in_thread, too_slow
from rpc_server.workspace.held_folder import OutOfTime
from rpc_server.workspace.input_files import holds_file, inlined
from rpc_server.workspace.method_folders import BUNDLE_SUFFIX, TreeBounds, file_entry
from rpc_server.workspace.paths import FileReader, Root
from rpc_server.workspace.scan import Scan, ScanBounds, ScanMemory, scan_methods
from schemas.method_source import Base64File, FileEntry, Files, MethodSource
from schemas.params import Base64Entry, FileParam, MethodParams, PathFile
from schemas.problem import problem_error
from schemas.results import MethodsPage

T = TypeVar("T")

_FEW_CHARACTERS = 100_000
"""That are gone through on the event loop."""
_GRACE_S = 2.0


@dataclass(frozen=True)
class Workspace:
    """The folder a server reads for its callers, always off the event loop."""

    root: Root
    settings: WorkspaceSettings

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The workspace that is configured, or one that refuses every path."""
        return cls(Root(settings.workspace_dir, settings.workspace_refusal), settings.workspace)

    async def method_source(self, params: MethodParams, seconds: float | None = None) -> MethodSource:
        """The method of a request: complete, the packages it calls included; `seconds` is less than is configured.

        Raises `ProblemError` coded `request.invalid`, `method.*`, `input.file_unreadable`, `input.too_large` or
        `security.input_path_refused`, and `runtime.unavailable` where reading takes too long.
        """
        _check_one_method(params)
        if params.method is None and not _names_a_path(params) and _characters(params) <= _FEW_CHARACTERS:
            source = _given_source(params, _no_path)
            if not _missing_packages(source):
                return source
        what = "the files of the request" if params.method is None else f"the method '{params.method}'"
        return await self._in_thread(what, lambda deadline: self._read_source(params, deadline), seconds)

    async def inputs(self, inputs: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The inputs, each `{path, mime_type?, filename?}` replaced by a document or an image that carries its bytes.

        Inside an envelope `{concept, content}` only the content of a Document or an Image is taken for a file. Raises
        `ProblemError` coded `input.file_unreadable`, `input.too_large` or `security.input_path_refused`.
        """
        if inputs is None:
            return None
        if not any(holds_file(value) for value in inputs.values()):
            return dict(inputs)
        return await self._in_thread("the files among the inputs", lambda end: self._read_inputs(inputs, end))

    async def list_methods(self, cursor: str | None, limit: int) -> MethodsPage:
        """The methods of the workspace, by path. Raises `ProblemError` where there is no workspace."""
        if self.root.directory is None:
            raise self.root.no_root("has no methods to list")
        scan = await self.scan(self.root.directory, ScanBounds.of(self.settings))
        after = [entry for entry in scan.methods if cursor is None or entry.path > cursor]
        page = after[:limit]
        return MethodsPage(
            methods=page,
            next_cursor=page[-1].path if len(after) > limit else None,
            truncated=scan.truncated,
        )

    async def scan(self, folder: Path, bounds: ScanBounds, memory: ScanMemory | None = None) -> Scan:
        """The methods of a folder. Raises `ProblemError` coded `runtime.unavailable` where the disk does not answer."""
        # The scan itself ends in time, but for what never comes back from the disk.
        longest = max(self.settings.max_read_s, 2 * bounds.seconds)
        assert self.root.directory is not None
        top, below = self.root.directory, self.root.parts(folder)
        return await in_thread(
            f"the folder '{folder.name}'", lambda: scan_methods(top, bounds, memory, below=below), longest
        )

    async def _in_thread(self, what: str, read: Callable[[float], T], at_most: float | None = None) -> T:
        """What `read` returns, which takes the time by which it should end, on the monotonic clock."""
        seconds = min(self.settings.max_read_s, at_most or math.inf)
        try:
            # A thread that is not stuck ends by itself before it is given up.
            return await in_thread(what, lambda: read(time.monotonic() + seconds), seconds + _GRACE_S)
        except OutOfTime as error:
            raise too_slow(what, seconds) from error

    def _read_source(self, params: MethodParams, deadline: float) -> MethodSource:
        from rpc_server.workspace.reading import read_method

        source = _given_source(params, self._files(deadline).read)
        if params.method is not None:
            read = read_method(self.root, params.method, self._tree_bounds(), deadline)
            source = read.model_copy(update={"dependencies": source.dependencies})
        missing = _missing_packages(source)
        if missing:
            source.dependencies |= find_packages(missing, self._stores(source.origin), self._tree_bounds(), deadline)
        return source

    def _read_inputs(self, inputs: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        files = self._files(deadline)
        return {name: inlined(value, name, files) for name, value in inputs.items()}

    def _stores(self, origin: str | None) -> list[Store]:
        """Where the packages of a method may be installed, `origin` being the folder it was read from."""
        directory = self.root.directory
        if directory is None:
            return stores_for(None, None, user_home())
        return stores_for(directory / (origin or ""), project_root(directory) or directory, user_home())

    def _files(self, deadline: float) -> FileReader:
        return FileReader(self.root, self.settings.max_file_bytes, self.settings.max_total_bytes, deadline)

    def _tree_bounds(self) -> TreeBounds:
        return TreeBounds(
            files=self.settings.max_method_files,
            file_bytes=self.settings.max_file_bytes,
            total_bytes=self.settings.max_total_bytes,
        )


_Read = Callable[[str, str], bytes]
"""Reads a path for a place in the request."""


def _check_one_method(params: MethodParams) -> None:
    given = [name for name in ("files", "method", "mthds_contents") if getattr(params, name) is not None]
    if len(given) == 1:
        return
    what = f"gives the method {len(given)} times ({', '.join(given)})" if given else "gives no method"
    raise problem_error(
        "request.invalid",
        f"The request {what}.",
        next_step=(
            "change_input",
            "Give the method once: as `method` (a path in the workspace), as `files`, or as `mthds_contents`.",
        ),
        params={"field": given[1] if given else "method"},
    )


def _names_a_path(params: MethodParams) -> bool:
    trees = [params.files or {}, *(params.dependencies or {}).values()]
    return any(isinstance(entry, PathFile) for tree in trees for entry in tree.values())


def _characters(params: MethodParams) -> int:
    trees = [params.files or {}, *(params.dependencies or {}).values()]
    texts = [*(params.mthds_contents or []), *(entry for tree in trees for entry in tree.values())]
    return sum(len(text) for text in texts if isinstance(text, str))


def _no_path(path: str, place: str) -> bytes:
    raise AssertionError(f"{place} names no path")


def _given_source(params: MethodParams, read: _Read) -> MethodSource:
    """What the request itself holds of its method."""
    packages = params.dependencies or {}
    return MethodSource(
        files=None if params.files is None else _files(params.files, "files", read),
        mthds_contents=params.mthds_contents,
        dependencies={address: _files(files, f"dependencies.{address}", read) for address, files in packages.items()},
    )


def _files(files: Mapping[str, FileParam], place: str, read: _Read) -> Files:
    return {path: _entry(entry, f"{place}.{path}", read) for path, entry in files.items()}


def _entry(entry: FileParam, place: str, read: _Read) -> FileEntry:
    if isinstance(entry, PathFile):
        return file_entry(read(entry.path, place))
    return Base64File(base64=entry.base64) if isinstance(entry, Base64Entry) else entry


def _missing_packages(source: MethodSource) -> set[str]:
    """The addresses a method calls whose packages did not come with it."""
    bundles = [text for path, text in (source.files or {}).items() if path.endswith(BUNDLE_SUFFIX)]
    called = addresses_in([text for text in [*bundles, *(source.mthds_contents or [])] if isinstance(text, str)])
    held = {address.casefold() for address in source.dependencies}
    return {address for address in called if address.casefold() not in held}
