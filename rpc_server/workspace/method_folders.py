"""Reading a method of the workspace: the whole tree a file or a folder belongs to, as the MTHDS standard draws it."""

import base64
import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli

from rpc_server.workspace.paths import Root, TooLarge, Unreadable, read_file
from schemas.method_source import Base64File, FileEntry, Files, MethodSource
from schemas.problem import Location, ProblemError, problem_error

if TYPE_CHECKING:
    from mthds.method_tree.exceptions import MethodTreeRefusedError, TreeLimitError, TreeSourceError
    from mthds.method_tree.models import MethodTree, TreeLimits

MANIFEST_NAME = "METHODS.toml"
BUNDLE_SUFFIX = ".mthds"


@dataclass(frozen=True)
class TreeBounds:
    """How much one method may hold: files, and bytes in each and in all."""

    files: int
    file_bytes: int
    total_bytes: int

    def to_limits(self) -> "TreeLimits":
        from mthds.method_tree.models import TreeLimits

        return TreeLimits(max_files=self.files, max_file_bytes=self.file_bytes, max_total_bytes=self.total_bytes)


def read_method(root: Root, given: str, bounds: TreeBounds) -> MethodSource:
    """The method that a caller names by a `.mthds` file or a folder.

    A folder is the tree rooted at the nearest METHODS.toml at or above it, else at itself. A file is a member of the
    tree rooted at the nearest METHODS.toml above it, else a tree of its own, and the run starts in it.

    Raises `ProblemError` coded `method.not_found`, `method.package_invalid`, `method.changed_concurrently` or
    `security.input_path_refused`.
    """
    path = root.resolve(given)
    if not _is_method(path):
        raise _not_found(given, f"There is no {BUNDLE_SUFFIX} file and no folder at '{given}' in the workspace.")
    tree = _list(path, given, bounds)
    directory = tree.directory
    assert directory is not None
    if root.directory is None or not directory.is_relative_to(root.directory):
        raise _above_workspace(given)
    if not any(name.endswith(BUNDLE_SUFFIX) for name in tree.tree_paths):
        raise _not_found(given, f"The folder '{given}' holds no {BUNDLE_SUFFIX} file.")
    return MethodSource(
        files=_read(tree, given, bounds),
        dependencies={},
        origin=root.relative(directory),
        name=root.relative(path),
        entry=None if tree.is_one_file else tree.entry,
    )


def read_package(directory: Path, address: str, bounds: TreeBounds) -> Files:
    """The files of an installed package, rooted at its own folder. Raises as `read_method` does, naming `address`."""
    from mthds.method_tree.exceptions import MethodTreeRefusedError, TreeLimitError, TreeSourceError
    from mthds.method_tree.lister import list_method_tree_at_root

    try:
        tree = list_method_tree_at_root(directory, limits=bounds.to_limits())
    except TreeLimitError as error:
        raise _too_large(address, error) from error
    except MethodTreeRefusedError as error:
        raise _refused(address, error) from error
    except TreeSourceError as error:
        raise _unreadable(address, error) from error
    return _read(tree, address, bounds)


def entry_pipe(source: MethodSource) -> str | None:
    """The pipe a run starts at because its caller named one bundle of a larger tree; None where the method decides.

    Raises `ProblemError` coded `request.pipe_unspecified` where that bundle names none.
    """
    if source.entry is None or source.files is None:
        return None
    text = source.files[source.entry]
    try:
        bundle = tomli.loads(text) if isinstance(text, str) else {}
    except tomli.TOMLDecodeError:
        # Loading it gives the caller the fault and its place.
        return None
    domain, main_pipe = bundle.get("domain"), bundle.get("main_pipe")
    if isinstance(domain, str) and isinstance(main_pipe, str):
        return f"{domain}.{main_pipe}"
    pipes = bundle.get("pipe")
    raise problem_error(
        "request.pipe_unspecified",
        "The request does not say which pipe to run",
        f"The bundle '{source.entry}' declares no `main_pipe`, and the request names no pipe.",
        next_step=("change_input", "Name a pipe in `pipe_code`, or give the method's folder instead of the file."),
        params={"candidates": sorted(pipes) if isinstance(pipes, dict) else []},
    )


def file_entry(data: bytes) -> FileEntry:
    """A file as it travels: its text where it is UTF-8, else its bytes in Base64."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return Base64File(base64=base64.b64encode(data).decode("ascii"))


def _is_method(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and path.name.endswith(BUNDLE_SUFFIX))


def _list(path: Path, given: str, bounds: TreeBounds) -> "MethodTree":
    from mthds.method_tree.exceptions import (
        EmptyMethodTreeError,
        MethodTreeRefusedError,
        TreeLimitError,
        TreeSourceError,
    )
    from mthds.method_tree.lister import list_method_tree

    try:
        return list_method_tree(path, limits=bounds.to_limits())
    except TreeLimitError as error:
        raise _too_large(given, error) from error
    except EmptyMethodTreeError as error:
        raise _not_found(given, f"The folder '{given}' holds no file of a method.") from error
    except MethodTreeRefusedError as error:
        raise _refused(given, error) from error
    except TreeSourceError as error:
        raise _unreadable(given, error) from error


def _read(tree: "MethodTree", given: str, bounds: TreeBounds) -> Files:
    files: dict[str, FileEntry] = {}
    for file in tree.files:
        try:
            data = read_file(tree.file_location(file.path), bounds.file_bytes)
        except (Unreadable, TooLarge) as error:
            raise _changed(given, file.path) from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise _changed(given, file.path)
        files[file.path] = file_entry(data)
    return files


def _not_found(given: str, detail: str) -> ProblemError:
    return problem_error(
        "method.not_found",
        "No method at this address",
        detail,
        next_step=("change_input", "Correct `method`; `methods/list` names the methods of the workspace."),
        params={"method_ref": given},
    )


def _above_workspace(given: str) -> ProblemError:
    return problem_error(
        "security.input_path_refused",
        "A path the caller supplied was refused",
        f"'{given}' belongs to a method whose {MANIFEST_NAME} lies above the workspace.",
        next_step=("change_input", "Start the server with --workspace at that folder, or send the method's files."),
        params={"rule": "outside_root"},
    )


def _invalid(given: str, detail: str, reason: str, **params: Any) -> ProblemError:
    return problem_error(
        "method.package_invalid",
        "The method's package breaks a package rule",
        detail,
        domain="method",
        next_step=("change_method", f"Correct the files of '{given}', then send the request again."),
        params={"reason": reason, **params},
        location=Location(file=params["path"]) if "path" in params else None,
    )


def _refused(given: str, error: "MethodTreeRefusedError") -> ProblemError:
    names = error.refusal.names
    rule = str(error.refusal.code)
    named = f" ({', '.join(names)})" if names else ""
    detail = f"The standard refuses the files of '{given}': {rule.replace('_', ' ')}{named}."
    return _invalid(given, detail, rule, **({"path": names[0]} if names else {}))


def _too_large(given: str, error: "TreeLimitError") -> ProblemError:
    reason = {"file_count": "too_many_files", "file_bytes": "file_too_large"}.get(str(error.kind), "tree_too_large")
    detail = f"The method '{given}' passes the limit of {error.limit} {error.kind.description}."
    return _invalid(given, detail, reason, limit=error.limit)


def _unreadable(given: str, error: "TreeSourceError") -> ProblemError:
    cause = error.__cause__
    if isinstance(cause, OSError):
        return _invalid(given, f"The files of '{given}' cannot be read ({cause.strerror}).", "tree_unreadable")
    why = "its `exclude` is not a list of patterns" if cause is None else str(cause)
    detail = f"The {MANIFEST_NAME} of '{given}' cannot be read: {why}."
    return _invalid(given, detail, "manifest_invalid", path=MANIFEST_NAME)


def _changed(given: str, path: str) -> ProblemError:
    return problem_error(
        "method.changed_concurrently",
        "The method changed while it was read",
        f"The file '{path}' of '{given}' changed while it was read.",
        domain="method",
        retry="yes",
        next_step=("retry", "Send the request again."),
        params={"path": path},
    )
