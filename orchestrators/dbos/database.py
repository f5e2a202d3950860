"""The database of the ledger and of DBOS: one SQLAlchemy engine for both."""

import atexit
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import anyio
import anyio.to_thread
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from orchestrators.dbos import failures
from orchestrators.dbos.failures import OUR_FAULTS, database_failure
from orchestrators.dbos.migration import migrate, refuse_newer
from orchestrators.dbos.sqlite_file import Identity, SqliteFile
from orchestrators.dbos.tables import SCHEMA

logger = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

_CONNECTIONS = 8
_CONNECT_S = 3
# How long a writer waits for another one, in milliseconds.
_BUSY_MS = 10_000


class Database:
    """Transactions, each in a worker thread. Every failure of the database is a `ProblemError`."""

    def __init__(self, engine: sa.Engine, url: sa.URL, file: SqliteFile | None, *, follows: bool) -> None:
        self.engine = engine
        self._url = url
        self._file = file
        self._follows = follows
        self._threads: anyio.CapacityLimiter | None = None
        self._writes: list[_Write] = []
        self._turn = anyio.Lock()
        self._opening = threading.Lock()

    @classmethod
    def open(cls, url: str, *, follows: bool = True) -> "Database":
        """Connect, creating and migrating what is not there. Blocks. Raises `ProblemError`.

        `follows` says whether this process continues with a SQLite file that has replaced the open one; otherwise it
        gets `LedgerUnusable`.
        """
        parsed = _parsed(url)
        if parsed.drivername == "sqlite":
            file = SqliteFile(Path(parsed.database or ""))
            engine = _sqlite_engine(parsed, file)
        else:
            parsed, file = parsed.set(drivername="postgresql+psycopg"), None
            engine = _postgres_engine(parsed)
        database = cls(engine, parsed, file, follows=follows)
        with ExitStack() as unfinished:
            unfinished.callback(database.close)
            try:
                if file is not None:
                    file.create()
                migrate(engine, parsed)
            except (SQLAlchemyError, OSError) as error:
                raise database_failure(error) from error
            unfinished.pop_all()
        # SQLite moves its log into the file when the last connection closes.
        atexit.register(database.close)
        return database

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a server."""
        return None if self._file is None else self._file.path

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a transaction that is committed when this returns. Raises `ProblemError`.

        SQLite has one writer at a time, and waiting for it is coarse: what this process has to write meanwhile shares
        the next transaction, each in a savepoint of its own.
        """
        if self._file is None:
            return await self.in_thread(lambda: self.write_now(work, *args, **kwargs))
        job = _Write(lambda connection: work(connection, *args, **kwargs))
        self._writes.append(job)
        try:
            async with self._turn:
                if job in self._writes:
                    writes, self._writes = self._writes, []
                    await self.in_thread(self._write_all, writes)
        finally:
            if job in self._writes:
                self._writes.remove(job)
        return cast("T", job.outcome())

    async def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work`, which only reads. Raises `ProblemError`."""
        return await self.in_thread(lambda: self.read_now(work, *args, **kwargs))

    async def rows(self, select: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        """What a query finds. Raises `ProblemError`."""
        return await self.read(lambda connection: connection.execute(select).all())

    def write_now(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` in the calling thread."""
        opened = self._see_to_the_file()
        with self.engine.begin() as connection:
            if self._file is not None:
                # Before the first read, so that no other process writes between the read and this write.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            refuse_newer(connection)
            result = work(connection, *args, **kwargs)
        if self._file is not None and not (self._file.check() and self._file.opened == opened):
            # The write went to a file that no other process will open.
            raise failures.moved_away(self._file.path)
        return result

    def read_now(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` in the calling thread."""
        self._see_to_the_file()
        with self.engine.connect() as connection:
            return work(connection, *args, **kwargs)

    def _see_to_the_file(self) -> Identity | None:
        """The SQLite file that is open; one that was put in its place is opened here. Raises `ProblemError`."""
        if self._file is None:
            return None
        if not self._file.check():
            if not self._follows:
                raise failures.replaced()
            with self._opening:
                if not self._file.check():
                    self._begin_anew(self._file)
        return self._file.opened

    def _begin_anew(self, file: SqliteFile) -> None:
        logger.warning("the file of runs was replaced; runs are kept in the new one from now on")
        try:
            file.create()
            self.engine.dispose()
            migrate(self.engine, self._url)
        except BaseException as error:
            # The next call tries again.
            file.opened = None
            if isinstance(error, OSError):
                raise database_failure(error) from error
            raise

    def _write_all(self, writes: Sequence["_Write"]) -> None:
        try:
            self.write_now(_each_by_itself, writes)
        except Exception as error:  # noqa: BLE001 - raised again in each caller that waits for one of these writes
            failure = database_failure(error) if isinstance(error, SQLAlchemyError) else error
            for write in writes:
                write.error = write.error or failure

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks on the database in a thread of its own. Raises `ProblemError`."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(_CONNECTIONS)
        try:
            return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._threads)
        except SQLAlchemyError as error:
            raise database_failure(error) from error

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@dataclass(eq=False)
class _Write:
    """A write that waits for its transaction, and its result or error."""

    work: Callable[[sa.Connection], Any]
    result: Any = None
    error: Exception | None = None

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


def _each_by_itself(connection: sa.Connection, writes: Sequence[_Write]) -> None:
    """Do all of them; a failed one is rolled back alone, unless the database itself failed."""
    for write in writes:
        savepoint = connection.begin_nested()
        try:
            write.result = write.work(connection)
            savepoint.commit()
        except Exception as error:  # noqa: BLE001 - raised again in the caller that waits
            if isinstance(error, SQLAlchemyError) and not isinstance(error, OUR_FAULTS):
                # SQLite may have given up the whole transaction, this savepoint with it.
                raise
            savepoint.rollback()
            write.error = error


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (ArgumentError, ValueError):
        # SQLAlchemy's message may hold a part of the password.
        step = "Correct `database_url` of rpc_dbos.toml; in a password `@`, `:` and `/` are written %40, %3A and %2F."
        raise failures.broken("The address of the database of runs cannot be read.", step) from None


def _sqlite_engine(url: sa.URL, file: SqliteFile) -> sa.Engine:
    engine = sa.create_engine(url, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS, creator=file.connect)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        # Bytes that are not UTF-8 must not make the whole row unreadable.
        connection.text_factory = _any_text
        if sqlite3.sqlite_version_info < (3, 42):
            # DBOS asks for `unixepoch('subsec')` by the version of Python, not by that of SQLite.
            connection.create_function("unixepoch", 1, lambda _: time.time())
        for pragma in (f"busy_timeout={_BUSY_MS}", "foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine.execution_options(schema_translate_map={SCHEMA: None, "dbos": None})


def _any_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _postgres_engine(url: sa.URL) -> sa.Engine:
    arguments = {"connect_timeout": _CONNECT_S, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    return sa.create_engine(
        url, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS, pool_pre_ping=True, connect_args=arguments
    )
