"""Records what workflows of a release leave in Temporal, for tests/contract/test_temporal_replay.py.

    python -m tests.contract.histories.record RELEASE

Run it once for a release, and keep what it wrote: a later release has to be able to go on with runs of this one.
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import anyio
from temporalio.client import Client

from orchestrators.engines.pool import EnginePool
from orchestrators.plugins.testing.methods import OBEDIENT, Order
from orchestrators.plugins.testing.subject import Subject, pool_settings, request
from orchestrators.temporal.orchestrator import TemporalOrchestrator
from orchestrators.temporal.sdk_runtime import RUNTIME
from orchestrators.temporal.validator import TemporalValidator
from schemas.method_source import MethodSource
from schemas.runs import RunRequest
from schemas.validation import ValidateRequest
from tests.support.bundles import GREETING
from tests.support.ledgers import WorkerProcess, context_of, worker_process, write_settings
from tests.support.temporal import temporal_server

FOLDER = Path(__file__).parent
_METHOD = MethodSource(mthds_contents=[GREETING])
_WHO = re.compile(r'"\d+@[^"]*"')
_WHERE = re.compile(r'("stackTrace": )"(?:[^"\\]|\\.)*"')


class Recorder:
    """Has runs of every kind run, and keeps their histories."""

    def __init__(
        self, subject: Subject, validator: TemporalValidator, client: Client, release: str, config: Path
    ) -> None:
        self._subject = subject
        self._validator = validator
        self._client = client
        self._release = release
        self._config = config

    async def record(self) -> None:
        """Write one file for each kind of run."""
        with self._worker() as worker:
            worker.wait_until_it_works()
            await self._ended("completed", _METHOD, {"name": "Ann"})
            await self._ended("failed", OBEDIENT, Order("fail", Path("run")).inputs)
            await self._ended("timed-out", OBEDIENT, _WAIT.inputs, deadline=time.time() + 1)
            await self._begun("cancelled")
            await self._cancelled("cancelled")
            await self._validated()
            await self._begun("handed-back")
        with self._worker() as worker:
            worker.wait_until_it_works()
            await self._until_attempts("handed-back", 2)
            await self._cancelled("handed-back")

    def _worker(self) -> AbstractContextManager[WorkerProcess]:
        return worker_process(self._subject.folder, "--config", str(self._config), mode="temporal")

    async def _begun(self, kind: str) -> None:
        await self._subject.begin(_run(kind, OBEDIENT, _WAIT.inputs))
        await self._until_attempts(kind, 1)

    async def _until_attempts(self, kind: str, starts: int) -> None:
        seen = 0
        async for event in self._subject.ledger.watch(kind, 0):
            seen += event.kind == "run_started"
            if seen == starts and event.kind == "pipe_started":
                return

    async def _ended(self, kind: str, method: MethodSource, inputs: dict[str, str], **more: float) -> None:
        run = await self._subject.begin(_run(kind, method, inputs, **more))
        await self._subject.ended(run.run_id)
        await self._write(kind, kind)

    async def _cancelled(self, kind: str) -> None:
        await self._subject.ledger.cancel(kind)
        await self._write(kind, kind)

    async def _validated(self) -> None:
        await self._validator.validate(ValidateRequest(method=_METHOD, orchestration_mode="temporal"))
        async for found in self._client.list_workflows("WorkflowType = 'mthds.validate'"):
            await self._write(found.id, "validated")

    async def _write(self, run_id: str, kind: str) -> None:
        history = await self._client.get_workflow_handle(run_id).fetch_history()
        # Whose machine it was is nobody's business.
        text = _WHERE.sub(r'\1""', _WHO.sub('"worker"', history.to_json()))
        await anyio.Path(FOLDER / f"{self._release}-{kind}.json").write_text(text + "\n")


_WAIT = Order("wait", Path("run"))


def _run(run_id: str, method: MethodSource, inputs: dict[str, str], **more: float) -> RunRequest:
    return request("temporal", method, inputs, run_id, **more)


@asynccontextmanager
async def _recorder(release: str, folder: Path) -> AsyncIterator[Recorder]:
    with temporal_server(folder) as server:
        settings = {"address": server.address, "drain_s": 0.5}
        config = write_settings(folder, "temporal", **settings)
        client = await Client.connect(server.address, runtime=RUNTIME)
        async with EnginePool.open(pool_settings(folder)) as pool, anyio.create_task_group() as tasks:
            context = context_of("temporal", folder, settings, pool, tasks)
            subject = Subject("temporal", TemporalOrchestrator.of(context), folder, tasks, starts=True)
            yield Recorder(subject, TemporalValidator.of(context), client, release, config)
            tasks.cancel_scope.cancel()


async def _main(release: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _recorder(release, Path(folder)) as recorder:
            await recorder.record()


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1])
    os._exit(0)
