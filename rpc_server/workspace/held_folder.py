"""A folder held open by its descriptor: what is read beneath it stays beneath it, even if links change meanwhile.

Invariant: nothing outside of the folder is opened. Every step down is an `open` of one name in the folder before it,
which follows no link. So a folder that is swapped for a link between two steps is refused by the kernel, and no check
can come too early.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import NamedTuple

# A folder on the way needs no permission to be listed, where the system has a flag for that.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A named pipe without a writer, and a terminal, are opened without waiting and without becoming ours.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_CHUNK = 1 << 20


class Unreadable(Exception):
    """Something that cannot be read; `reason` completes "it …"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooLarge(Exception):
    """What was to be read passes a limit; both in bytes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"{size} > {limit}")
        self.size = size
        self.limit = limit


class Changed(Unreadable):
    """A file that was written to, or taken away, while it was read."""


class OutOfTime(Exception):
    """The time for the whole of a reading is used up."""


class Kind(Enum):
    """What an entry of a folder is, no link followed."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPECIAL = "special"


class FileState(NamedTuple):
    """The metadata of a file, which differ where it was changed. Time in nanoseconds since the epoch, size in bytes."""

    changed_ns: int
    size: int
    inode: int


@dataclass(frozen=True)
class HeldFolder:
    """The folder behind a descriptor. Parts are names from it downwards, links resolved; they may be empty."""

    _fd: int
    deadline: float
    """On the monotonic clock: reading ends then with `OutOfTime`."""

    @classmethod
    @contextmanager
    def open(cls, path: Path, deadline: float, below: Sequence[str] = ()) -> Iterator["HeldFolder"]:
        """Hold a folder, or the one `below` it. `path` is absolute, resolved and trusted. Raises `Unreadable`."""
        try:
            top = os.open(path, _FOLDER)
            try:
                fd = _opened_folder(top, below, _FOLDER)
            finally:
                os.close(top)
        except OSError as error:
            raise Unreadable(f"cannot be opened ({error.strerror})") from error
        try:
            yield cls(fd, deadline)
        finally:
            os.close(fd)

    def entries(self, parts: Sequence[str], most: int | None = None) -> dict[str, Kind]:
        """What a folder holds, by name, at most so many entries. Raises `OSError` and `OutOfTime`."""
        self.check_time()
        found = {}
        fd = _opened_folder(self._fd, parts, _LISTED)
        try:
            with os.scandir(fd) as entries:
                for entry in islice(entries, most):
                    found[entry.name] = _kind(entry)
                    if len(found) % 1000 == 0:
                        self.check_time()
        finally:
            os.close(fd)
        return found

    def kind(self, parts: Sequence[str]) -> Kind | None:
        """What is there, or None where there is nothing, or nothing that can be looked at."""
        if not parts:
            return Kind.FOLDER
        try:
            with self._folder(parts[:-1]) as fd:
                return _kind_of_mode(os.stat(parts[-1], dir_fd=fd, follow_symlinks=False).st_mode)
        except (OSError, ValueError):
            return None

    def states(self, parts: Sequence[str], names: Sequence[str]) -> dict[str, FileState]:
        """How some files of one folder are; those that are gone are left out."""
        found = {}
        try:
            with self._folder(parts) as fd:
                for name in names:
                    state = _state_or_none(name, fd)
                    if state is not None:
                        found[name] = state
        except OSError:
            pass
        return found

    def read(self, parts: Sequence[str], limit: int) -> bytes:
        """The bytes of a regular file. Raises `Unreadable`, `TooLarge` above `limit` bytes, and `OutOfTime`."""
        self.check_time()
        if not parts:
            raise Unreadable("is not a regular file")
        try:
            with self._folder(parts[:-1]) as fd, _opened_file(parts[-1], fd) as file:
                return self._read(file, limit)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Unreadable("does not exist") from error
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "no file can have this name"
            raise Unreadable(f"cannot be read ({why})") from error

    def check_time(self) -> None:
        """Raises `OutOfTime` past the deadline."""
        if time.monotonic() > self.deadline:
            raise OutOfTime

    def _read(self, fd: int, limit: int) -> bytes:
        before = os.fstat(fd)
        if before.st_size > limit:
            raise TooLarge(before.st_size, limit)
        chunks = []
        size = 0
        while chunk := os.read(fd, min(_CHUNK, limit + 1 - size)):
            self.check_time()
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise TooLarge(size, limit)
        if _state(os.fstat(fd)) != _state(before):
            raise Changed("changed while it was read")
        return b"".join(chunks)

    @contextmanager
    def _folder(self, parts: Sequence[str]) -> Iterator[int]:
        """The descriptor of a folder beneath, which is closed afterwards. Raises `OSError`, also where a link leads."""
        if not parts:
            yield self._fd
            return
        fd = _opened_folder(self._fd, parts, _FOLDER)
        try:
            yield fd
        finally:
            os.close(fd)


def _opened_folder(top: int, parts: Sequence[str], flags: int) -> int:
    """A new descriptor of the folder beneath `top`, opened with `flags`. Raises `OSError`, also where a link leads."""
    if not parts:
        return os.open(".", flags, dir_fd=top)
    above = top
    last = len(parts) - 1
    for depth, part in enumerate(parts):
        try:
            fd = os.open(_one_name(part), flags if depth == last else _FOLDER, dir_fd=above)
        finally:
            if above != top:
                os.close(above)
        above = fd
    return above


def _one_name(part: str) -> str:
    """The part, which must lead one step down. Raises `OSError`."""
    if "/" in part or part in ("", ".", ".."):
        raise OSError(errno.EINVAL, "a part is no name", part)
    return part


@contextmanager
def _opened_file(name: str, folder: int) -> Iterator[int]:
    # Looked at first, since opening a device may do something; then again, since the entry may be another by now.
    if not stat.S_ISREG(os.stat(_one_name(name), dir_fd=folder, follow_symlinks=False).st_mode):
        raise Unreadable("is not a regular file")
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable("is not a regular file")
        yield fd
    finally:
        os.close(fd)


def _kind(entry: "os.DirEntry[str]") -> Kind:
    if entry.is_symlink():
        return Kind.LINK
    if entry.is_dir(follow_symlinks=False):
        return Kind.FOLDER
    return Kind.FILE if entry.is_file(follow_symlinks=False) else Kind.SPECIAL


def _kind_of_mode(mode: int) -> Kind:
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.FILE if stat.S_ISREG(mode) else Kind.SPECIAL


def _state_or_none(name: str, folder: int) -> FileState | None:
    try:
        return _state(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return None


def _state(status: os.stat_result) -> FileState:
    return FileState(status.st_mtime_ns, status.st_size, status.st_ino)
