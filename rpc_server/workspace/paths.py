"""The path policy: which file of this machine a caller's path may mean, and reading it."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rpc_server.workspace.held_folder import HeldFolder, TooLarge, Unreadable
from schemas.problem import ProblemError, problem_error


@dataclass(frozen=True)
class Root:
    """The one folder that callers' paths are read from."""

    directory: Path | None
    """Absolute and resolved."""
    refusal: str | None = None
    """Why there is none, where there is none."""

    def resolve(self, given: str) -> Path:
        """The absolute path, symlinks followed, that a caller's path means; it need not exist.

        `given` is relative to the root, absolute, or a `file://` URI. What is there may change at once, so it is read
        by its `parts` in the folder that `held` holds, which follows no link. Raises `ProblemError` coded
        `security.input_path_refused` for anything outside.
        """
        if self.directory is None:
            raise self.no_root(f"cannot read '{given}'")
        if not given or "\0" in given:
            raise _refused(given, "empty", "names no file")
        try:
            path = unquote(urlsplit(given).path) if given.startswith("file://") else given
            resolved = (self.directory / path).resolve()
            os.fsencode(resolved)
        except (OSError, RuntimeError, ValueError) as error:
            raise _refused(given, "outside_root", "leads nowhere") from error
        if not resolved.is_relative_to(self.directory):
            rule = "absolute" if Path(path).is_absolute() else "outside_root"
            raise _refused(given, rule, "is outside the workspace")
        return resolved

    def parts(self, path: Path) -> tuple[str, ...]:
        """The names that lead from the root to `path`, which is inside."""
        assert self.directory is not None
        return path.relative_to(self.directory).parts

    def held(self, deadline: float) -> AbstractContextManager[HeldFolder]:
        """The root held open, `deadline` being on the monotonic clock. Raises `Unreadable` where it is gone."""
        assert self.directory is not None
        return HeldFolder.open(self.directory, deadline)

    def relative(self, path: Path) -> str:
        """How a caller would name `path`, which is inside."""
        assert self.directory is not None
        return path.relative_to(self.directory).as_posix()

    def no_root(self, refused: str) -> ProblemError:
        """The problem of asking for a path where there is no root."""
        return problem_error(
            "security.input_path_refused",
            f"The server has no workspace, so it {refused}: {self.refusal}.",
            next_step=(
                "change_input",
                "Send the content itself, or start the server in a project folder or with --workspace DIR.",
            ),
            params={"rule": "outside_root"},
        )


@dataclass
class FileReader:
    """Reads the files that one call names. Limits in bytes: of each file, and of all of them together."""

    root: Root
    max_file_bytes: int
    max_total_bytes: int
    deadline: float
    """On the monotonic clock."""
    spent: int = field(default=0, init=False)

    def read(self, path: str, place: str) -> bytes:
        """The bytes of a caller's path, `place` being where in the request it stands.

        Raises `ProblemError` coded `security.input_path_refused`, `input.file_unreadable` or `input.too_large`, and
        `OutOfTime`.
        """
        try:
            data = self._read(path)
            self.spent += len(data)
            if self.spent > self.max_total_bytes:
                raise TooLarge(self.spent, self.max_total_bytes)
        except Unreadable as error:
            raise _unreadable(path, place, error) from error
        except TooLarge as error:
            raise _too_large(path, place, error) from error
        return data

    def _read(self, path: str) -> bytes:
        resolved = self.root.resolve(path)
        with self.root.held(self.deadline) as held:
            return held.read(self.root.parts(resolved), self.max_file_bytes)


def _refused(given: str, rule: str, why: str) -> ProblemError:
    return problem_error(
        "security.input_path_refused",
        f"The path '{given}' {why}.",
        next_step=(
            "change_input",
            "Give a path inside the server's workspace, relative to it, then send the request again.",
        ),
        params={"rule": rule},
    )


def _unreadable(path: str, place: str, error: Unreadable) -> ProblemError:
    return problem_error(
        "input.file_unreadable",
        f"The file '{path}', given for '{place}', {error.reason}.",
        next_step=(
            "change_input",
            f"Give a readable file of the workspace for '{place}', then send the request again.",
        ),
        params={"input": place, "file_type": "file", "reason": error.reason},
    )


def _too_large(path: str, place: str, error: TooLarge) -> ProblemError:
    return problem_error(
        "input.too_large",
        f"'{path}', given for '{place}', brings this call to {error.size} bytes, past the limit of {error.limit}.",
        next_step=(
            "change_input",
            "Give less, or raise `max_file_bytes` and `max_total_bytes` under [workspace] in rpc_override.toml.",
        ),
        params={"input": place, "limit": error.limit, "size": error.size},
    )
