"""The version of the ledger's tables: created, upgraded or refused by the first process that opens the database.

Releases share a database: two editors with two releases are enough. So a new version only adds, where it can, and says
with `needs` which version a release has to know to use it. 0.1.0, whose tables are version 1, has no such table and
looks for none.
"""

import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa

from orchestrators.dbos import failures
from orchestrators.dbos.dbos_setup import DBOS
from orchestrators.dbos.tables import SCHEMA, ledger, metadata, runs, schema_version

VERSION = 2
"""Of the tables that this release makes."""
NEEDS = 1
"""What a release has to know to use them."""
_BEFORE_VERSIONS = "0.1.0"
_LOCK = 0x6D746864
_DBOS = version("dbos")
_RELEASE = version("mthds-rpc")


def migrate(engine: sa.Engine, url: sa.URL) -> None:
    """Create the tables that are missing, and upgrade old ones. Blocks. Raises `ProblemError`."""
    with engine.connect() as connection:
        # A look before the lock: a server that starts must not wait for one that writes.
        found, release = _look(connection)
        if found >= VERSION and _has_tables_of_dbos(connection):
            _see_that_all_is_there(connection, release)
            return
    DBOS.migrate(url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        # Another process may have done it meanwhile.
        found, release = _look(connection)
        if found < VERSION:
            release = _bring_up_to_date(connection, found)
        if not _has_tables_of_dbos(connection):
            connection.execute(schema_version.delete())
            connection.execute(schema_version.insert().values(dbos=_DBOS))
        _see_that_all_is_there(connection, release)


def refuse_newer(connection: sa.Connection) -> None:
    """Within a transaction that writes: see that no later release has taken the tables over. Raises `ProblemError`."""
    row = connection.execute(_ROW).first()
    if row is not None:
        _refuse_newer(row)


_ROW = sa.select(ledger.c.version, ledger.c.needs, ledger.c.release)


def _look(connection: sa.Connection) -> tuple[int, str]:
    """The version of the tables, 0 for none, and the release that made them. Raises `ProblemError` for a newer one."""
    if not _is_there(connection, ledger):
        return (1, _BEFORE_VERSIONS) if _is_there(connection, runs) else (0, _RELEASE)
    row = connection.execute(_ROW).first()
    if row is None or not isinstance(row.version, int):
        # The row is damaged, so every step is done again: each leaves alone what is there.
        return 1, _BEFORE_VERSIONS
    _refuse_newer(row)
    return row.version, _shown(row.release)


def _refuse_newer(row: Any) -> None:
    if isinstance(row.needs, int) and row.needs > VERSION:
        raise failures.made_by_newer(_shown(row.release))


def _shown(release: object) -> str:
    """A release as it may be shown: another process may have written anything, and only a version is shown."""
    return release if isinstance(release, str) and re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", release) else "?"


def _bring_up_to_date(connection: sa.Connection, found: int) -> str:
    if found:
        for step in _STEPS[found:]:
            step(connection)
        _see_that_all_is_there(connection, _BEFORE_VERSIONS)
    else:
        metadata.create_all(connection)
    connection.execute(ledger.delete())
    connection.execute(ledger.insert().values(version=VERSION, needs=NEEDS, release=_RELEASE))
    return _RELEASE


def _count_hand_backs(connection: sa.Connection) -> None:
    """1 to 2: how often a run was handed back, and this table. 0.1.0 leaves the new column at its default."""
    columns = _columns(connection, runs)
    if columns and "hand_backs" not in columns:
        name = connection.dialect.identifier_preparer.format_table(runs)
        name = name if connection.dialect.name != "sqlite" else runs.name
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN hand_backs INTEGER NOT NULL DEFAULT 0")
    ledger.create(connection, checkfirst=True)


_STEPS: tuple[Callable[[sa.Connection], None], ...] = (lambda _: None, _count_hand_backs)
"""At each index the step from that version to the next."""


def _see_that_all_is_there(connection: sa.Connection, release: str) -> None:
    """Raise `ProblemError` where a table or a column is missing."""
    for table in metadata.tables.values():
        if not {column.name for column in table.columns} <= _columns(connection, table):
            raise failures.incomplete(release)


def _columns(connection: sa.Connection, table: sa.Table) -> set[str]:
    if not _is_there(connection, table):
        return set()
    return {
        str(column["name"]) for column in sa.inspect(connection).get_columns(table.name, schema=_schema(connection))
    }


def _is_there(connection: sa.Connection, table: sa.Table) -> bool:
    return sa.inspect(connection).has_table(table.name, schema=_schema(connection))


def _schema(connection: sa.Connection) -> str | None:
    return None if connection.dialect.name == "sqlite" else SCHEMA


def _has_tables_of_dbos(connection: sa.Connection) -> bool:
    """Whether this release of DBOS, or a later one, has made its tables."""
    if not _is_there(connection, schema_version):
        return False
    return any(_numbers(made) >= _numbers(_DBOS) for made in connection.scalars(sa.select(schema_version.c.dbos)))


def _numbers(release: object) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", str(release))[:3])
