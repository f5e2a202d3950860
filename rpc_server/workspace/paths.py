"""The path policy: which file of this machine a caller's path may mean, and reading it."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from schemas.problem import ProblemError, problem_error


class Unreadable(Exception):
    """A path inside the workspace that cannot be read; `reason` completes "it …"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooLarge(Exception):
    """What was to be read passes a limit; both in bytes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"{size} > {limit}")
        self.size = size
        self.limit = limit


@dataclass(frozen=True)
class Root:
    """The one folder that callers' paths are read from."""

    directory: Path | None
    """Absolute and resolved."""
    refusal: str | None = None
    """Why there is none, where there is none."""

    def resolve(self, given: str) -> Path:
        """The absolute path, symlinks followed, that a caller's path means; it need not exist.

        `given` is relative to the root, absolute, or a `file://` URI. Raises `ProblemError` coded
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

    def relative(self, path: Path) -> str:
        """How a caller would name `path`, which is inside."""
        assert self.directory is not None
        return path.relative_to(self.directory).as_posix()

    def no_root(self, refused: str) -> ProblemError:
        """The problem of asking for a path where there is no root."""
        return problem_error(
            "security.input_path_refused",
            "A path the caller supplied was refused",
            f"The server has no workspace, so it {refused}: {self.refusal}.",
            next_step=(
                "change_input",
                "Send the content itself, or start the server in a project folder or with --workspace DIR.",
            ),
            params={"rule": "outside_root"},
        )


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises `Unreadable` and, above `limit` bytes, `TooLarge`."""
    try:
        with open(path, "rb", opener=_open_as_it_is) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("is not a regular file")
            if status.st_size > limit:
                raise TooLarge(status.st_size, limit)
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise Unreadable("does not exist") from error
    except IsADirectoryError as error:
        raise Unreadable("is not a regular file") from error
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from error
    if len(data) > limit:
        raise TooLarge(len(data), limit)
    return data


def _open_as_it_is(path: str, flags: int) -> int:
    """Follow no link, since the path was resolved before, and wait for no writer of a named pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


@dataclass
class FileReader:
    """Reads the files that one call names. Limits in bytes: of each file, and of all of them together."""

    root: Root
    max_file_bytes: int
    max_total_bytes: int
    spent: int = field(default=0, init=False)

    def read(self, path: str, place: str) -> bytes:
        """The bytes of a caller's path, `place` being where in the request it stands.

        Raises `ProblemError` coded `security.input_path_refused`, `input.file_unreadable` or `input.too_large`.
        """
        try:
            data = read_file(self.root.resolve(path), self.max_file_bytes)
            self.spent += len(data)
            if self.spent > self.max_total_bytes:
                raise TooLarge(self.spent, self.max_total_bytes)
        except Unreadable as error:
            raise _unreadable(path, place, error) from error
        except TooLarge as error:
            raise _too_large(path, place, error) from error
        return data


def _refused(given: str, rule: str, why: str) -> ProblemError:
    return problem_error(
        "security.input_path_refused",
        "A path the caller supplied was refused",
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
        "An input file cannot be read",
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
        "An input exceeds a size limit",
        f"'{path}', given for '{place}', brings this call to {error.size} bytes, past the limit of {error.limit}.",
        next_step=(
            "change_input",
            "Give less, or raise `max_file_bytes` and `max_total_bytes` under [workspace] in rpc_override.toml.",
        ),
        params={"input": place, "limit": error.limit, "size": error.size},
    )
