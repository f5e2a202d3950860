"""The SQLite file of runs: made for its user alone, and watched, since a file may be moved or replaced while in use."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from orchestrators.dbos import failures
from orchestrators.private_files import make_private

Identity = tuple[int, int]
"""The device and the inode of a file."""


class SqliteFile:
    """One path, and which file was opened there.

    SQLite itself keeps using a file that was moved or removed: no other process then finds what it writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: Identity | None = None
        self._log: Identity | None = None

    def create(self) -> None:
        """Make the file and its folder where they are not there, and take note of it.

        They are for their owner alone; SQLite gives its side files the same mode. Raises `ProblemError`, `OSError`.
        """
        make_private(self.path.parent)
        if not self.path.exists() and self._beside("-wal").exists():
            raise failures.moved_away(self.path)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.opened = _identity(self.path)

    def check(self) -> bool:
        """Whether the path still leads to the file that was opened; false where another one can be opened, or made.

        Raises `ProblemError` while the log of the old file is there: SQLite would put that into the other one, or
        remove it, and with it runs that only it holds.
        """
        found, log = _identity(self.path), _identity(self._beside("-wal"))
        if found is not None and found == self.opened:
            self._log = log
            return True
        if log is not None and (found is None or log == self._log):
            raise failures.moved_away(self.path)
        return False

    def connect(self) -> sqlite3.Connection:
        """A connection to the file that was opened, and to no other. Raises `sqlite3.OperationalError`."""
        url = f"file:{quote(str(self.path))}?mode=rw"
        connection = sqlite3.connect(url, uri=True, check_same_thread=False)
        if _identity(self.path) != self.opened:
            connection.close()
            raise sqlite3.OperationalError("the file of runs was moved or replaced")
        return connection

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
