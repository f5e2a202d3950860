"""A database of runs, read from outside: plain SQL, nothing of ours in between."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg

Row = tuple[Any, ...]


class Ledger(Protocol):
    """What the runs of a campaign are read from."""

    def rows(self, sql: str) -> list[Row]:
        """What a query finds; `{own}` and `{dbos}` stand before the names of tables. Nothing before there are any."""
        ...


class SqliteLedger:
    """A file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def rows(self, sql: str) -> list[Row]:
        """A `Ledger`."""
        if not self.file.exists():
            return []
        with closing(sqlite3.connect(self.file, timeout=30)) as connection:
            try:
                return connection.execute(sql.format(own="", dbos="")).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise


class PostgresLedger:
    """A server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def rows(self, sql: str) -> list[Row]:
        """A `Ledger`."""
        with psycopg.connect(self._url) as connection:
            try:
                return connection.execute(sql.format(own="mthds_rpc.", dbos="dbos.").encode()).fetchall()
            except psycopg.errors.UndefinedTable:
                return []
