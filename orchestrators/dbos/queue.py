"""The queue that DBOS keeps: where runs wait, and how they get back there."""

import logging
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from orchestrators.dbos.database import Database
from orchestrators.dbos.dbos_setup import (
    APPLICATION,
    JSON,
    QUEUE,
    WIRE_VERSION,
    WORKFLOW,
    DBOSClient,
    NoSuchWorkflow,
)
from orchestrators.dbos.tables import is_clean, queued
from schemas.runs import RunRequest

logger = logging.getLogger(__name__)

_AT_ONCE = 200


class RunQueue:
    """A DBOS client over the ledger's own connections."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client = DBOSClient(
            system_database_engine=database.engine,
            application_name=APPLICATION,
            serializer=JSON,
            lazy=True,
            retry_connection_errors=False,
        )

    def add(self, connection: sa.Connection, run: RunRequest) -> None:
        """Queue a run in the caller's transaction."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": run.run_id,
                "app_version": WIRE_VERSION,
            },
            run.model_dump(mode="json", exclude_none=True),
        )

    async def forget(self, run_ids: Sequence[str]) -> None:
        """Hand these runs to no worker any more."""
        await self._database.in_thread(self._client.cancel_workflows, list(run_ids))

    async def put_back(self, run_ids: Sequence[str]) -> None:
        """Queue these runs again for the next worker."""
        for some in _slices(run_ids):
            try:
                await self._database.in_thread(self._client.resume_workflows, some, queue_name=QUEUE)
            except NoSuchWorkflow:
                # One was deleted meanwhile. DBOS then resumes none of them; maintenance finds the others later.
                logger.info("a run to be put back is gone")

    async def delete(self, run_ids: Sequence[str]) -> None:
        """Remove these runs for good."""
        for some in _slices(run_ids):
            await self._database.in_thread(self._client.delete_workflows, some)

    async def owners(self) -> set[str]:
        """The executors that DBOS knows to have a run."""
        select = sa.select(queued.c.executor_id).where(queued.c.status == "PENDING", _OURS).distinct()
        return {row.executor_id for row in await self._database.rows(select) if is_clean(row.executor_id)}

    async def owned(self, executors: Collection[str]) -> list[str]:
        """The runs that DBOS knows some executors to have."""
        select = sa.select(queued.c.workflow_uuid).where(queued.c.status == "PENDING", _OURS)
        select = select.where(queued.c.executor_id.in_(executors))
        return [row.workflow_uuid for row in await self._database.rows(select) if is_clean(row.workflow_uuid)]


_OURS = queued.c.queue_name == QUEUE


def _slices(run_ids: Sequence[str]) -> list[list[str]]:
    return [list(run_ids[start : start + _AT_ONCE]) for start in range(0, len(run_ids), _AT_ONCE)]
