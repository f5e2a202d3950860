"""Writing a method's files where Pipelex can load them."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mthds.method_tree.discovery import BUNDLE_SUFFIX, MANIFEST_NAME
from mthds.method_tree.exceptions import MethodTreeRefusedError, TreeSourceError
from mthds.method_tree.file_entry import FileMapReading, read_file_map
from mthds.method_tree.models import MethodTree
from mthds.method_tree.vocabulary import TreeRefusalCode
from mthds.package.exceptions import ManifestError
from mthds.package.manifest.parser import parse_methods_toml
from mthds.package.manifest.schema import is_valid_address
from pipelex.core.bundle_resources.bundle_resource import root_escape_of
from pipelex.libraries.written_trees import WRITTEN_METHOD_TREES, write_method_tree
from pydantic import ValidationError

from orchestrators.engine.problems import TOO_DEEP, package_invalid
from schemas.foreign_toml import BadToml, check_words
from schemas.method_source import Base64File, Files, MethodSource
from schemas.problem import ProblemError, problem_error

# A package is written into a folder of that name.
_DIRECTORY = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,128}")
_MOST_SHOWN = 200


class UnreadableFileError(ValueError):
    """A file that no parser is given: `fault` says why. `package` is the dependency it belongs to, if any."""

    def __init__(self, path: str, fault: BadToml, package: str | None = None) -> None:
        super().__init__(f"{path}: {fault}")
        self.path = path
        self.fault = fault
        self.package = package


@dataclass(frozen=True)
class MaterialisedTree:
    """A method ready to load: a written tree in `path`, or loose `contents`."""

    path: Path | None
    tree: MethodTree | None
    contents: list[str] | None
    methods_dirs: list[Path]
    """One directory per dependency, laid out as Pipelex looks packages up."""


@contextmanager
def materialised(source: MethodSource, directory: Path) -> Iterator[MaterialisedTree]:
    """Write `source` under `directory`, hold it as written, and remove it at the end.

    Raises `ProblemError` coded `method.package_invalid` for a map of files that the standard refuses, and
    `UnreadableFileError`.
    """
    with ExitStack() as held:
        held.callback(shutil.rmtree, directory, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)
        _check_words(source.files or {})
        for at, content in enumerate(source.mthds_contents or (), start=1):
            _check_text(f"bundle_{at}.mthds", content)
        methods_dirs = []
        for index, (address, files) in enumerate(source.dependencies.items()):
            _check_package(address, files)
            _check_words(files, address)
            methods_dir = directory / f"methods-{index}"
            _write(files, methods_dir / _package_dir_name(address), held)
            methods_dirs.append(methods_dir)
        tree = _write(source.files, directory / "tree", held) if source.files is not None else None
        yield MaterialisedTree(
            path=tree.directory if tree is not None else None,
            tree=tree,
            contents=source.mthds_contents,
            methods_dirs=methods_dirs,
        )


def _write(files: Files, destination: Path, held: ExitStack) -> MethodTree:
    reading = _read(files)
    written = write_method_tree(contents=reading.contents, destination=destination, expected_digest=reading.tree.digest)
    held.enter_context(WRITTEN_METHOD_TREES.holding(tree=written))
    return written


def _read(files: Files) -> FileMapReading:
    document = {
        path: {"base64": entry.base64} if isinstance(entry, Base64File) else entry for path, entry in files.items()
    }
    try:
        return read_file_map(json.dumps(document))
    except MethodTreeRefusedError as error:
        raise _refused(error) from error
    except TreeSourceError as error:
        raise problem_error(
            "request.invalid",
            error.message,
            next_step=("change_input", "Correct `files`, then send the request again."),
            params={"field": "files"},
        ) from error


def _refused(error: MethodTreeRefusedError) -> ProblemError:
    refusal = error.refusal
    if refusal.code is TreeRefusalCode.INVALID_TREE_PATH:
        for name in refusal.names:
            escape = root_escape_of(path=name)
            if escape is not None:
                return problem_error(
                    "security.input_path_refused",
                    f"The key {name!r} of `files` leads out of the method.",
                    next_step=("change_input", "Write each key relative to the method's folder, with forward slashes."),
                    params={"rule": str(escape.rule)},
                )
    return problem_error(
        "method.package_invalid",
        error.message,
        next_step=("change_method", "Correct the files of the method, then send the request again."),
        params={"reason": str(refusal.code), **({"path": refusal.names[0]} if refusal.names else {})},
    )


def _check_package(address: str, files: Files) -> None:
    """Refuse an address that names no package, and a manifest that Pipelex would stumble over later."""
    if not is_valid_address(address) or not _DIRECTORY.fullmatch(_package_dir_name(address)):
        raise problem_error(
            "request.invalid",
            f"{address[:_MOST_SHOWN]!r} in `dependencies` is no address of a package.",
            next_step=("change_input", "Give each package by an address such as `github.com/owner/name`."),
            params={"field": "dependencies"},
        )
    manifest = text_of(files, MANIFEST_NAME)
    try:
        if manifest is not None:
            check_words(manifest)
            parse_methods_toml(manifest)
    except (ManifestError, BadToml, *TOO_DEEP) as error:
        detail = f"The METHODS.toml of the package {address!r} is not valid{_finding(error)}."
        raise ProblemError(package_invalid(detail, MANIFEST_NAME)) from error


def _finding(error: BaseException) -> str:
    """Where the file should be, in a few words."""
    if isinstance(error, BadToml):
        return f": {error}"
    if not isinstance(error.__cause__, ValidationError):
        return ""
    first = error.__cause__.errors(include_input=False, include_url=False)[0]
    return f": {'.'.join(map(str, first['loc']))}: {first['msg'].rstrip('.')}"


def _package_dir_name(address: str) -> str:
    return address.rstrip("/").rsplit("/", 1)[-1]


def _check_words(files: Files, package: str | None = None) -> None:
    """Raises `UnreadableFileError` for what is legal and takes minutes to read, or cannot be written again."""
    for path in files:
        if path.endswith((BUNDLE_SUFFIX, MANIFEST_NAME)):
            _check_text(path, text_of(files, path) or "", package)


def _check_text(path: str, text: str, package: str | None = None) -> None:
    try:
        check_words(text)
    except BadToml as error:
        raise UnreadableFileError(path, error, package) from error


def text_of(files: Files, path: str) -> str | None:
    """The text of one file of a method; None if it is missing or not UTF-8."""
    entry = files.get(path)
    if isinstance(entry, Base64File):
        try:
            return base64.b64decode(entry.base64).decode("utf-8")
        except ValueError:
            return None
    return entry
