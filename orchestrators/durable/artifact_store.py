"""The storage that machines share beside an orchestrator: large requests and results, and the files of runs.

A folder, or any URL that fsspec knows. Everything of a run is below its id. Content is named by its SHA-256, which is
checked when it is read. Files are below their run's execution, since a later run may have the same id.
"""

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from orchestrators.private_files import make_private, write_private
from schemas.params import RUN_ID_PATTERN
from schemas.problem import ProblemError, problem_error

_FILES = "files"


class ArtifactStore:
    """Blocks: call it in a thread. Raises `ProblemError` where the store cannot be used."""

    def __init__(self, url: str) -> None:
        """`url` is an absolute path or a URL."""
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._is_folder = "file" in _protocols(self._files)
        if self._is_folder:
            make_private(Path(self._root))

    def put(self, run_id: str, content: bytes) -> str:
        """Keep content. Returns its digest, for `get`."""
        digest = hashlib.sha256(content).hexdigest()
        try:
            self._write(self._path(run_id, f"{digest}.json"), content)
        except OSError as error:
            raise _unusable(error) from error
        return digest

    def get(self, run_id: str, digest: str) -> bytes:
        """What `put` kept. Raises if it is gone or has changed."""
        try:
            content: bytes = self._files.cat_file(self._path(run_id, f"{digest}.json"))
        except FileNotFoundError as error:
            raise _gone(run_id) from error
        except OSError as error:
            raise _unusable(error) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise _gone(run_id)
        return content

    def put_files(self, run_id: str, execution: str, folder: Path) -> int:
        """Keep every file below a folder. Returns how many they were."""
        found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        try:
            for path in found:
                name = path.relative_to(folder).as_posix()
                self._write(self._path(run_id, _FILES, execution, name), path.read_bytes())
        except OSError as error:
            raise _unusable(error) from error
        return len(found)

    def get_files(self, run_id: str, execution: str, folder: Path) -> None:
        """Write every kept file of a run below a folder; files that are there stay."""
        root = self._path(run_id, _FILES, execution)
        try:
            for name in self._files.find(root):
                inside = PurePosixPath(name).relative_to(PurePosixPath(root))
                target = folder / inside
                # `put_files` keeps no link, and no name that leads out of the folder.
                if ".." in inside.parts or (self._is_folder and Path(name).is_symlink()):
                    continue
                if not target.exists():
                    write_private(target, self._files.cat_file(name))
        except OSError as error:
            raise _unusable(error) from error

    def forget(self, run_id: str) -> None:
        """Remove everything of a run."""
        folder = self._path(run_id)
        try:
            if self._files.exists(folder):
                self._files.rm(folder, recursive=True)
        except OSError as error:
            raise _unusable(error) from error

    def _path(self, run_id: str, *parts: str) -> str:
        if not re.fullmatch(RUN_ID_PATTERN, run_id):
            raise ValueError(f"{run_id!r} is no id of a run")
        return "/".join((self._root.rstrip("/"), run_id, *parts))

    def _write(self, path: str, content: bytes) -> None:
        if self._is_folder:
            write_private(Path(path), content)
        else:
            self._files.pipe_file(path, content)


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _unusable(error: OSError) -> ProblemError:
    return problem_error(
        "runtime.unavailable",
        f"The artifact store cannot be used: {error.strerror or type(error).__name__}.",
        domain="operator",
        next_step=("retry", "See that `artifact_store` can be reached and written to, then try again."),
        params={"dependency": "artifact_store"},
    )


def _gone(run_id: str) -> ProblemError:
    return problem_error(
        "run.results_not_stored",
        f"What the run {run_id!r} left in the artifact store is not there any more, or is not what it was.",
        domain="operator",
        next_step=(
            "fix_configuration",
            "See that server and workers name the same `artifact_store`; then run it again.",
        ),
        params={"pipeline_run_id": run_id},
        run_id=run_id,
    )
