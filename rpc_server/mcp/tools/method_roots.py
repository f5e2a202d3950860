"""The folders whose methods become tools, and how the tools are named."""

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rpc_server.mcp.tools.tool_schemas import MAX_NAME, hashed_name
from rpc_server.settings.settings import Settings
from rpc_server.workspace.method_folders import BUNDLE_SUFFIX
from rpc_server.workspace.paths import Root
from rpc_server.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_PLAIN = re.compile(r"[a-zA-Z0-9-]+(_[a-zA-Z0-9-]+)*")
_BETWEEN = "__"
_FILE_MARK = "_mthds"
_WHOLE = "workspace"
"""The name of a method that is the whole folder."""


@dataclass(frozen=True)
class MethodRoot:
    """A folder that is searched for methods."""

    workspace: Workspace
    """What its methods are read by."""
    folder: Path
    """Absolute and resolved."""
    label: str = ""
    """What the names of its tools begin with, where there are several folders."""
    outside: bool = False
    """Whether it lies outside the server's workspace, so that its methods are named by absolute paths."""

    def path_of(self, found: str) -> str:
        """How a method is named to `workspace`, `found` being its path relative to the folder."""
        if found == ".":
            return self._prefix or "."
        return f"{self._prefix}/{found}" if self._prefix else found

    @cached_property
    def _prefix(self) -> str:
        """The folder, as it is named to `workspace`; empty for the workspace itself."""
        prefix = self.folder.as_posix() if self.outside else self.workspace.root.relative(self.folder)
        return "" if prefix == "." else prefix


def method_roots(settings: Settings, workspace: Workspace) -> list[MethodRoot]:
    """The folders of `[mcp] method_folders`, or the workspace where none is configured; none without a workspace.

    A relative folder without a workspace is left out, as is one whose path leads nowhere; one that does not exist yet
    is not.
    """
    directory = workspace.root.directory
    configured = settings.mcp.method_folders
    if not configured:
        return [] if directory is None else [MethodRoot(workspace, directory)]
    folders = dict.fromkeys(folder for given in configured if (folder := _folder(given, directory)) is not None)
    if len(folders) == 1:
        return [_root(folder, workspace, "") for folder in folders]
    return [_root(folder, workspace, _label(folder, folders)) for folder in folders]


def tool_name(root: MethodRoot, path: str, reserved: Collection[str]) -> str:
    """The name of a method's tool, which no other method can change: it depends on nothing but its own path.

    `tools/report` is `tools__report` and `report.mthds` is `report_mthds`. A path from which another could get the same
    name, which is too long, or whose name is `reserved`, ends with a hash of the path.
    """
    is_file = path.endswith(BUNDLE_SUFFIX)
    folders = [] if path == "." else path.removesuffix(BUNDLE_SUFFIX).split("/")
    parts = [*([root.label] if root.label else []), *folders] or [_WHOLE]
    name = _BETWEEN.join(parts) + (_FILE_MARK if is_file else "")
    is_plain = all(_PLAIN.fullmatch(part) for part in parts)
    is_told_apart = is_file or not folders or not (name.endswith(_FILE_MARK) or name == _WHOLE)
    if is_plain and is_told_apart and len(name) <= MAX_NAME and name not in reserved:
        return name
    return hashed_name(name, "/".join([root.label, path]))


def _label(folder: Path, folders: Collection[Path]) -> str:
    """The folder's name, with a hash of where it is where another has the same name."""
    has_twin = any(other.name == folder.name for other in folders if other != folder)
    return hashed_name(folder.name, str(folder)) if has_twin else folder.name


def _folder(given: str, directory: Path | None) -> Path | None:
    try:
        path = Path(given).expanduser()
        if path.is_absolute():
            return path.resolve()
        return None if directory is None else (directory / path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        logger.warning("the method folder %r is left out: %s", given, error)
        return None


def _root(folder: Path, workspace: Workspace, label: str) -> MethodRoot:
    directory = workspace.root.directory
    if directory is not None and folder.is_relative_to(directory):
        return MethodRoot(workspace, folder, label)
    return MethodRoot(Workspace(Root(folder), workspace.settings), folder, label, outside=True)
