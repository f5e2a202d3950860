"""Each of our ledgers keeps the contract: in memory, in SQLite, in Postgres, in Temporal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from orchestrators.plugins.testing import LedgerContract, Subject
from tests.support.ledgers import with_a_worker
from tests.support.postgres import postgres_server
from tests.support.temporal import temporal_server


class TestDirect(LedgerContract):
    mode = "direct"


class TestDbosOnSqlite(LedgerContract):
    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, database_url: str = "") -> AsyncIterator[Subject]:
        async with with_a_worker("dbos", folder, database_url=database_url, poll_s=0.05) as subject:
            with closing(subject.orchestrator):
                yield subject


class TestDbosOnPostgres(TestDbosOnSqlite):
    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, database_url: str = "") -> AsyncIterator[Subject]:
        with postgres_server(folder) as server:
            async with super().opened(folder, server.url) as subject:
                yield subject


class TestTemporal(LedgerContract):
    attributes = ("MthdsMethod=Keyword",)

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path) -> AsyncIterator[Subject]:
        with temporal_server(folder, cls.attributes) as server:
            async with with_a_worker("temporal", folder, address=server.address) as subject:
                yield subject


class TestTemporalWithoutSearchAttributes(TestTemporal):
    attributes = ()
