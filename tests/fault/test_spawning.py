"""A process is told to stop at the very moment in which it spawns a child."""

import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import psutil
import pytest

from orchestrators.dbos.supervisor import WorkerSupervisor
from orchestrators.engine.options import EngineOptions
from orchestrators.engines.engine_process import EngineProcess

Spawn = Callable[[Path], Awaitable[None]]


async def an_engine(folder: Path) -> None:
    options = EngineOptions(work_dir=str(folder / "work"), artifacts_dir=str(folder / "artifacts"))
    await EngineProcess(options, lambda line: None).run(boot_timeout_s=60)


async def a_worker(_: Path) -> None:
    await WorkerSupervisor([sys.executable, "-c", "input()"], 1, 0.0, logging.getLogger(__name__)).run()


@pytest.mark.parametrize("spawn", [an_engine, a_worker])
def test_a_child_whose_spawning_is_cancelled_is_ended_and_waited_for(spawn: Spawn, tmp_path: Path) -> None:
    before = set(psutil.Process().children())

    async def cancel_once_a_child_is_there() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spawn, tmp_path)
            while not set(psutil.Process().children()) - before:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(cancel_once_a_child_is_there)

    assert set(psutil.Process().children()) - before == set()
