"""Reading a method of the workspace: the whole tree a file or a folder belongs to, as the MTHDS standard draws it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mthds.method_tree.discovery import find_manifest_directory
from mthds.method_tree.exceptions import TreeSourceError
from mthds.method_tree.vocabulary import TreeRefusalCode

from rpc_server.workspace.held_folder import Changed, HeldFolder, Kind, TooLarge, Unreadable
from rpc_server.workspace.method_folders import BUNDLE_SUFFIX, MANIFEST_NAME, TreeBounds, file_entry
from rpc_server.workspace.names import shown
from rpc_server.workspace.paths import Root
from rpc_server.workspace.tree import (
    BadManifest,
    PastLimit,
    Refused,
    Tree,
    manifest_folder,
    tree_at,
    tree_of_file,
    tree_of_folder,
)
from schemas.method_source import FileEntry, Files, MethodSource
from schemas.problem import Location, ProblemError, problem_error


def read_method(root: Root, given: str, bounds: TreeBounds, deadline: float) -> MethodSource:
    """The method that a caller names by a `.mthds` file or a folder.

    A folder is the tree rooted at the nearest METHODS.toml at or above it, else at itself. A file is a member of the
    tree rooted at the nearest METHODS.toml above it, else a tree of its own, and the run starts in it. `deadline` is on
    the monotonic clock.

    Raises `ProblemError` coded `method.not_found`, `method.package_invalid`, `method.changed_concurrently` or
    `security.input_path_refused`, and `OutOfTime`.
    """
    path = root.resolve(given)
    parts = root.parts(path)
    with _told(given), root.held(deadline) as held:
        kind = held.kind(parts)
        if kind is not Kind.FOLDER and not (kind is Kind.FILE and path.name.endswith(BUNDLE_SUFFIX)):
            raise _not_found(given, f"There is no {BUNDLE_SUFFIX} file and no folder at '{given}' in the workspace.")
        _check_not_above(root, held, parts if kind is Kind.FOLDER else parts[:-1], given)
        tree = (tree_of_folder if kind is Kind.FOLDER else tree_of_file)(held, parts, bounds)
        if not any(name.endswith(BUNDLE_SUFFIX) for name in tree.files):
            raise _not_found(given, f"The folder '{given}' holds no {BUNDLE_SUFFIX} file.")
        return MethodSource(
            files=_read(held, tree, given, bounds),
            dependencies={},
            origin="/".join(tree.root) or ".",
            name=root.relative(path),
            entry=tree.entry,
        )


def read_package(held: HeldFolder, parts: tuple[str, ...], address: str, bounds: TreeBounds) -> Files:
    """The files of an installed package, rooted at its own folder. Raises as `read_method` does, naming `address`."""
    with _told(address):
        return _read(held, tree_at(held, parts, bounds), address, bounds)


def _check_not_above(root: Root, held: HeldFolder, folder: tuple[str, ...], given: str) -> None:
    """The folders above the workspace are the user's own, so they are looked at by their paths."""
    assert root.directory is not None
    if not manifest_folder(held, folder).goes_on or root.directory.parent == root.directory:
        return
    if _manifest_above(root.directory.parent, given) is not None:
        raise _above_workspace(given)


def _manifest_above(start: Path, given: str) -> Path | None:
    try:
        return find_manifest_directory(start)
    except TreeSourceError as error:
        raise _invalid(given, f"The folders above '{given}' cannot be read.", "tree_unreadable") from error


def _read(held: HeldFolder, tree: Tree, given: str, bounds: TreeBounds) -> Files:
    files: dict[str, FileEntry] = {}
    left = bounds.total_bytes
    for tree_path, parts in tree.files.items():
        try:
            data = held.read(parts, min(bounds.file_bytes, left))
        except Changed as error:
            raise _changed(given, tree_path) from error
        except TooLarge as error:
            # It was within the limits when it was listed.
            raise _changed(given, tree_path) from error
        except Unreadable as error:
            if held.kind(parts) is not Kind.FILE:
                raise _changed(given, tree_path) from error
            detail = f"The file '{tree_path}' of '{given}' {error.reason}."
            raise _invalid(given, detail, "tree_unreadable", path=tree_path) from error
        left -= len(data)
        files[tree_path] = file_entry(data)
    return files


@contextmanager
def _told(given: str) -> Iterator[None]:
    """What goes wrong with a tree, as the problem of a caller who named it `given`."""
    try:
        yield
    except Refused as error:
        if error.code is TreeRefusalCode.EMPTY_TREE:
            raise _not_found(given, f"The folder '{given}' holds no file of a method.") from error
        raise _refused(given, error) from error
    except PastLimit as error:
        detail = f"The method '{given}' passes the limit of {error.limit} {error.what}."
        raise _invalid(given, detail, error.reason, limit=error.limit) from error
    except BadManifest as error:
        detail = f"The {MANIFEST_NAME} of '{given}' cannot be read: {error}."
        raise _invalid(given, detail, "manifest_invalid", path=MANIFEST_NAME) from error
    except Unreadable as error:
        raise _invalid(given, f"A folder of '{given}' {error.reason}.", "tree_unreadable") from error


def _not_found(given: str, detail: str) -> ProblemError:
    return problem_error(
        "method.not_found",
        detail,
        next_step=("change_input", "Correct `method`; `methods/list` names the methods of the workspace."),
        params={"method_ref": given},
    )


def _above_workspace(given: str) -> ProblemError:
    return problem_error(
        "security.input_path_refused",
        f"'{given}' belongs to a method whose {MANIFEST_NAME} lies above the workspace.",
        next_step=("change_input", "Start the server with --workspace at that folder, or send the method's files."),
        params={"rule": "outside_root"},
    )


def _invalid(given: str, detail: str, reason: str, **params: Any) -> ProblemError:
    return problem_error(
        "method.package_invalid",
        detail,
        next_step=("change_method", f"Correct the files of '{given}', then send the request again."),
        params={"reason": reason, **params},
        location=Location(file=params["path"]) if "path" in params else None,
    )


def _refused(given: str, error: Refused) -> ProblemError:
    names = [shown(name) for name in error.names]
    rule = str(error.code)
    named = f" ({', '.join(names)})" if names else ""
    detail = f"The standard refuses the files of '{given}': {rule.replace('_', ' ')}{named}."
    return _invalid(given, detail, rule, **({"path": names[0]} if names else {}))


def _changed(given: str, path: str) -> ProblemError:
    return problem_error(
        "method.changed_concurrently",
        f"The file '{path}' of '{given}' changed while it was read.",
        domain="method",
        next_step=("retry", "Send the request again."),
        params={"path": path},
    )
