"""Supervises the workers of a server: child processes, started again when they end, and ended with the server."""

import logging
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

import anyio
from anyio.abc import Process

from orchestrators.durable.backoff import Backoff

# After a worker that lived so long, the next pause is the first one again.
_WELL_S = 60.0
# How long a worker may take to stop, beyond its drain.
_END_S = 5.0
_CONFIGURATION_FAULT = 78


class WorkerSupervisor:
    """Keeps `count` workers alive while `run` is running."""

    def __init__(self, command: Sequence[str], count: int, drain_s: float, logger: logging.Logger) -> None:
        self._command = command
        self._count = count
        self._drain_s = drain_s
        self._logger = logger

    async def run(self) -> None:
        """Run until cancelled; then stop every worker and wait for it."""
        async with anyio.create_task_group() as tasks:
            for _ in range(self._count):
                tasks.start_soon(self._supervise)

    async def _supervise(self) -> None:
        backoff = Backoff(first_s=0.5, longest_s=30.0)
        while True:
            began = time.monotonic()
            try:
                status: int | str = await self._run_one()
            except OSError as error:
                status = error.strerror or "an error of the system"
            if status == _CONFIGURATION_FAULT:
                self._logger.error("workers cannot start (see above); queued runs will wait")
                return
            if time.monotonic() - began > _WELL_S:
                backoff.reset()
            pause_s = backoff.next_s()
            self._logger.warning("a worker ended (%s); the next one starts in %g s", status, pause_s)
            await anyio.sleep(pause_s)

    async def _run_one(self) -> int:
        # stdout belongs to the protocol; a session of its own keeps a terminal's Ctrl-C to the server.
        # If it were cancelled halfway, a child would stay without a parent that waits for it.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=None, start_new_session=True
            )
        try:
            return await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(process)

    async def _end(self, process: Process) -> None:
        assert process.stdin is not None
        await process.stdin.aclose()
        with anyio.move_on_after(self._drain_s + _END_S):
            await process.wait()
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
