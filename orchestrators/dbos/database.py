"""The database of the ledger and of DBOS: one SQLAlchemy engine for both."""

import atexit
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import anyio
import anyio.to_thread
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from orchestrators.dbos.library import DBOS
from orchestrators.dbos.tables import SCHEMA, metadata, schema_version
from orchestrators.private_files import make_private
from schemas.problem import ProblemError, problem_error

logger = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

_CONNECTIONS = 8
_CONNECT_S = 3
# How long a writer waits for another one, in milliseconds.
_BUSY_MS = 10_000
_MIGRATION_LOCK = 0x6D746864
_DBOS = version("dbos")
_OUR_FAULTS = (DataError, IntegrityError, ProgrammingError)


class Database:
    """Transactions, each in a worker thread. Every failure of the database is a `ProblemError`."""

    def __init__(self, engine: sa.Engine, file: Path | None) -> None:
        self.engine = engine
        self.file = file
        """The SQLite file; None for a server."""
        self._threads: anyio.CapacityLimiter | None = None
        self._writes: list[_Write] = []
        self._turn = anyio.Lock()

    @classmethod
    def open(cls, url: str) -> "Database":
        """Connect, creating and migrating what is not there. Blocks. Raises `ProblemError`."""
        parsed = _parsed(url)
        file = None
        if parsed.drivername == "sqlite":
            file = Path(parsed.database or "")
        else:
            parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            if file is not None:
                _create_private(file)
            engine = _sqlite_engine(parsed) if file is not None else _postgres_engine(parsed)
            _migrate(engine, parsed)
        except (SQLAlchemyError, OSError) as error:
            raise database_failure(error) from error
        database = cls(engine, file)
        # SQLite brings its file up to date when its last connection is closed.
        atexit.register(database.close)
        return database

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a transaction that is committed when this returns. Raises `ProblemError`.

        SQLite has one writer at a time, and waiting for it is coarse: what this process has to write meanwhile shares
        the next transaction, each in a savepoint of its own.
        """
        if self.file is None:
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
        with self.engine.begin() as connection:
            if self.file is not None:
                # Before the first read, so that nobody writes between it and what follows from it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            return work(connection, *args, **kwargs)

    def read_now(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` in the calling thread."""
        with self.engine.connect() as connection:
            return work(connection, *args, **kwargs)

    def _write_all(self, writes: Sequence["_Write"]) -> None:
        try:
            self.write_now(_each_by_itself, writes)
        except SQLAlchemyError as error:
            failure = database_failure(error)
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
    """Something to write, and what came of it."""

    work: Callable[[sa.Connection], Any]
    result: Any = None
    error: Exception | None = None

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


def _each_by_itself(connection: sa.Connection, writes: Sequence[_Write]) -> None:
    """Do all of them; one that fails leaves no trace, unless the database itself did."""
    for write in writes:
        savepoint = connection.begin_nested()
        try:
            write.result = write.work(connection)
            savepoint.commit()
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits for this write
            if isinstance(error, SQLAlchemyError) and not isinstance(error, _OUR_FAULTS):
                # SQLite may have given up the whole transaction, this savepoint with it.
                raise
            savepoint.rollback()
            write.error = error


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (ArgumentError, ValueError):
        # What SQLAlchemy says may hold a piece of the password.
        step = "Correct `database_url` of rpc_dbos.toml; in a password `@`, `:` and `/` are written %40, %3A and %2F."
        raise _broken("The address of the database of runs cannot be read.", step) from None


def _create_private(file: Path) -> None:
    """Make the file and its folder, for their owner alone; SQLite gives its side files the same mode."""
    make_private(file.parent)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        if sqlite3.sqlite_version_info < (3, 42):
            # DBOS asks for `unixepoch('subsec')` by the version of Python, not by that of SQLite.
            connection.create_function("unixepoch", 1, lambda _: time.time())
        for pragma in (f"busy_timeout={_BUSY_MS}", "foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine.execution_options(schema_translate_map={SCHEMA: None, "dbos": None})


def _postgres_engine(url: sa.URL) -> sa.Engine:
    arguments = {"connect_timeout": _CONNECT_S, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    return sa.create_engine(
        url, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS, pool_pre_ping=True, connect_args=arguments
    )


def _migrate(engine: sa.Engine, url: sa.URL) -> None:
    is_sqlite = url.drivername == "sqlite"
    with engine.connect() as connection:
        # A look before the lock: a server that starts must not wait for one that writes.
        if _is_current(connection):
            return
    DBOS.migrate(url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        if is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        metadata.create_all(connection)
        connection.execute(schema_version.delete())
        connection.execute(schema_version.insert().values(dbos=_DBOS))


def _is_current(connection: sa.Connection) -> bool:
    is_there = sa.inspect(connection).has_table(
        schema_version.name, schema=None if connection.dialect.name == "sqlite" else SCHEMA
    )
    return is_there and connection.scalar(sa.select(schema_version.c.dbos)) == _DBOS


def database_failure(error: Exception) -> Exception:
    """What a failure of the database means to a caller; the words of the driver go to the log alone."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).lower()
    if isinstance(error, _OUR_FAULTS) and "permission denied" not in text:
        return error
    logger.warning("the database of runs failed: %s", " ".join(str(cause).split()))
    if "locked" in text or "busy" in text:
        return _unavailable("The database of runs is held by another process.", "Try again.")
    if "is full" in text or "no space left" in text or "could not extend" in text:
        return _unavailable("There is no room left where runs are kept.", "Make room on the disk, then try again.")
    if "not a database" in text or "malformed" in text or "corrupt" in text:
        return _broken("The database of runs is damaged.", "Move its file away, or put a good copy in its place.")
    if isinstance(error, OSError) or any(words in text for words in ("unable to open", "readonly", "permission")):
        return _broken("The database of runs cannot be opened.", "Give this user the right to write it.")
    return _unavailable("The database of runs cannot be reached.", "See that it runs, then try again.")


def _unavailable(detail: str, step: str) -> ProblemError:
    return problem_error(
        "runtime.unavailable",
        "The orchestrator cannot be reached",
        detail,
        domain="operator",
        retry="yes",
        next_step=("retry", f"{step} The server's stderr holds the reason."),
        params={"dependency": "orchestrator"},
    )


def _broken(detail: str, step: str) -> ProblemError:
    return problem_error(
        "runtime.misconfigured",
        "The runtime is misconfigured",
        detail,
        domain="operator",
        next_step=("fix_configuration", f"{step} The server's stderr holds the reason."),
        params={"component": "orchestrator"},
    )
