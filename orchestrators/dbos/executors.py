"""The worker processes of a database: each has an id of its own, and the others know whether it lives.

On one machine a worker holds a lock that the kernel takes from it, however it ends. Across machines it raises a
counter, and it is dead once another worker has seen the counter stand still for the whole of a lease, by a clock that
stands still while that machine sleeps. So no two clocks are compared, and a machine that wakes up declares no worker
dead.
"""

import fcntl
import os
import secrets
import socket
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orchestrators.dbos.database import Database
from orchestrators.dbos.tables import executors

_RECOVERY_LOCK = 0x6D747265


def new_executor_id() -> str:
    """An id that no process had before; it names the machine and the process for people."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


class Executors(Protocol):
    """The workers of one database. Everything here blocks."""

    @property
    def beat_s(self) -> float | None:
        """How often `beat` is due, in seconds; None where nothing has to be."""
        ...

    def enter(self, executor: str) -> None:
        """Count as alive from now on, to the end of this process."""
        ...

    def beat(self, executor: str) -> None:
        """Show that `executor` lives."""
        ...

    def leave(self, executor: str) -> None:
        """Deregister."""
        ...

    def any_alive(self) -> bool:
        """Whether any worker lives."""
        ...

    def burying(self, owners: Collection[str]) -> AbstractContextManager[list[str]]:
        """For the block, the dead among `owners`; empty while another process holds the block."""
        ...


class LockedExecutors:
    """Lock files beside a SQLite file."""

    beat_s: float | None = None

    def __init__(self, database: Database) -> None:
        assert database.file is not None
        self._folder = database.file.with_name(f"{database.file.name}-workers")
        self._held: dict[str, int] = {}

    def enter(self, executor: str) -> None:
        """Appear with the lock already taken."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        hidden = self._folder / f".{executor}"
        held = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        hidden.rename(self._folder / executor)
        self._held[executor] = held

    def beat(self, executor: str) -> None:
        """No heartbeat is needed: the lock is the sign of life."""

    def leave(self, executor: str) -> None:
        """Remove the file: an executor without a lock is not alive."""
        (self._folder / executor).unlink(missing_ok=True)
        os.close(self._held.pop(executor))

    def any_alive(self) -> bool:
        """Whether any lock is held."""
        return any(not _is_free(file) for file in self._files())

    @contextmanager
    def burying(self, owners: Collection[str]) -> Iterator[list[str]]:
        """The owners without a lock; afterwards every lock file that is not held is removed."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self._folder / ".recovery", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _taken(lock):
                yield []
                return
            free = {file for file in self._files() if _is_free(file)}
            living = {file.name for file in self._files()} - {file.name for file in free}
            yield [owner for owner in owners if owner not in living]
            for file in free:
                file.unlink(missing_ok=True)
        finally:
            os.close(lock)

    def _files(self) -> list[Path]:
        try:
            return [file for file in self._folder.iterdir() if not file.name.startswith(".")]
        except FileNotFoundError:
            return []


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(file: Path) -> bool:
    try:
        lock = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)


class LeasedExecutors:
    """Counters in a Postgres table."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s
        self.beat_s: float | None = lease_s / 3
        self._seen: dict[str, tuple[int, float]] = {}

    def enter(self, executor: str) -> None:
        """Add the row of this worker."""
        self.beat(executor)

    def beat(self, executor: str) -> None:
        """Raise the counter; a row that another process removed comes back."""
        # Begun anywhere, so that a row which comes back is never taken for the one that stood still.
        insert = postgresql.insert(executors).values(id=executor, beat=secrets.randbits(40), beat_at=_DATABASE_NOW)
        raised = {"beat": executors.c.beat + 1, "beat_at": _DATABASE_NOW}
        upsert = insert.on_conflict_do_update(index_elements=[executors.c.id], set_=raised)
        self._database.write_now(lambda connection: connection.execute(upsert))

    def leave(self, executor: str) -> None:
        """Remove the row."""
        self._database.write_now(
            lambda connection: connection.execute(executors.delete().where(executors.c.id == executor))
        )

    def any_alive(self) -> bool:
        """Whether any worker was heard of within a lease, by the database's clock."""
        heard_of = sa.select(sa.exists().where(executors.c.beat_at > _DATABASE_NOW - self._lease_s))
        return bool(self._database.read_now(lambda connection: connection.scalar(heard_of)))

    @contextmanager
    def burying(self, owners: Collection[str]) -> Iterator[list[str]]:
        """The owners whose counter this process has seen stand still for a lease; their rows are removed."""
        with self._database.engine.begin() as connection:
            if not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_RECOVERY_LOCK))):
                yield []
                return
            beats = {row.id: row.beat for row in connection.execute(sa.select(executors))}
            still = self._still({**dict.fromkeys(owners, 0), **beats})
            revived = {owner for owner in still if owner in beats and not _remove(connection, owner, beats[owner])}
            for owner in still:
                del self._seen[owner]
            yield [owner for owner in owners if owner in still and owner not in revived]

    def _still(self, beats: dict[str, int]) -> list[str]:
        now = time.monotonic()
        self._seen = {
            owner: self._seen[owner] if self._seen.get(owner, (-1, 0.0))[0] == beat else (beat, now)
            for owner, beat in beats.items()
        }
        return [owner for owner, (_, since) in self._seen.items() if now - since > self._lease_s]


def _remove(connection: sa.Connection, owner: str, beat: int) -> bool:
    """Remove a row unless its worker has been heard of meanwhile."""
    row = executors.delete().where(executors.c.id == owner, executors.c.beat == beat).returning(executors.c.id)
    return connection.execute(row).scalar_one_or_none() is not None


_DATABASE_NOW = sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)


def executors_of(database: Database, lease_s: float) -> Executors:
    """The workers of a database."""
    return LockedExecutors(database) if database.file is not None else LeasedExecutors(database, lease_s)
