"""`validate` in the mode `temporal`: a worker validates, since it will run the method."""

import uuid
from datetime import timedelta
from typing import Any

import anyio
from pydantic import ValidationError
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from orchestrators.plugins.contract import PluginContext
from orchestrators.temporal.connection import Connection
from orchestrators.temporal.liveness import any_worker
from orchestrators.temporal.names import VALIDATE
from orchestrators.temporal.payloads import PayloadStore
from orchestrators.temporal.problems import no_worker, problem_of, unreachable, unreadable
from schemas.problem import ProblemError
from schemas.validation import ValidateRequest, ValidationVerdict

# Longer than an engine takes to boot and to validate any method.
_LIMIT = timedelta(minutes=5)


class TemporalValidator:
    """Implements `BundleValidator`."""

    def __init__(self, connection: Connection, payloads: PayloadStore) -> None:
        self._connection = connection
        self._payloads = payloads

    @classmethod
    def of(cls, context: PluginContext) -> "TemporalValidator":
        """By the settings; connects at the first call. Raises `ProblemError`."""
        connection = Connection.of(context)
        return cls(connection, PayloadStore.of(connection.settings))

    async def validate(self, request: ValidateRequest) -> ValidationVerdict:
        """Have a worker validate a method. Raises `ProblemError` if none can."""
        if not await any_worker(self._connection):
            raise no_worker(self._connection.settings.task_queue)
        validation_id = f"validate-{uuid.uuid4().hex}"
        try:
            payload = await self._payloads.pack(validation_id, request.model_dump(mode="json", exclude_none=True))
            verdict = await self._verdict(validation_id, {"request": payload})
            return _read(validation_id, await self._payloads.unpack(validation_id, verdict))
        finally:
            await self._forget(validation_id)

    async def _verdict(self, validation_id: str, order: dict[str, object]) -> dict[str, object]:
        async def start(client: Client) -> object:
            return await client.start_workflow(
                VALIDATE,
                order,
                id=validation_id,
                task_queue=self._connection.settings.task_queue,
                execution_timeout=_LIMIT,
            )

        await self._connection.call(start)
        handle = (await self._connection.client()).get_workflow_handle(validation_id)
        try:
            verdict: dict[str, object] = await handle.result()
        except WorkflowFailureError as error:
            raise ProblemError(problem_of(error)) from error
        except (RPCError, RuntimeError) as error:
            raise ProblemError(unreachable(self._connection.address, str(error))) from error
        return verdict

    async def _forget(self, validation_id: str) -> None:
        if self._payloads.store is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._payloads.store.forget, validation_id)


def _read(validation_id: str, verdict: dict[str, Any]) -> ValidationVerdict:
    try:
        return ValidationVerdict.model_validate(verdict)
    except ValidationError:
        raise ProblemError(unreadable(validation_id)) from None
