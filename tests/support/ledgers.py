"""Processes that keep runs, and what an order is on the wire."""

import subprocess
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio.to_thread
from anyio.abc import TaskGroup

from orchestrators.engines.pool import EnginePool
from orchestrators.plugins.contract import PluginContext
from orchestrators.plugins.testing import methods
from orchestrators.plugins.testing.methods import OBEDIENT
from orchestrators.plugins.testing.subject import PATIENCE_S, Subject, open_mode, plugin_context
from tests.support.cli import COMMAND
from tests.support.mthds_server import isolated_env


class Order(methods.Order):
    """An order that goes over the wire."""

    def params(self, **more: Any) -> dict[str, Any]:
        """The params of an `execute` or `start`."""
        return {"files": OBEDIENT.model_dump()["files"], "inputs": self.inputs, **more}


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that is no message."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


@dataclass
class WorkerProcess:
    """A `mthds-rpc worker`."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def stderr(self) -> str:
        return self.log.read_text()

    def wait_until_it_works(self) -> None:
        """Wait for it to take up runs."""
        until(lambda: "takes up runs" in self.stderr or self.process.poll() is not None, "the worker")
        assert self.process.poll() is None, self.stderr


@contextmanager
def worker_process(
    home: Path, *flags: str, mode: str = "dbos", env: dict[str, str] | None = None
) -> Iterator[WorkerProcess]:
    """A worker for the block; at its end it is told to stop."""
    number = len(list(home.glob("worker-*.log")))
    log = home / f"worker-{number}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*COMMAND, "worker", "--orchestration-mode", mode, "--allow-python", *flags],
            cwd=home,
            env={**isolated_env(home), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield WorkerProcess(process, log)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()


def write_settings(home: Path, plugin: str = "dbos", **settings: Any) -> Path:
    """A file for --config that sets these settings of a plugin, and lets a cancelled run stop half a second."""
    values = "".join(f"{name} = {_toml(value)}\n" for name, value in settings.items())
    file = home / "settings.toml"
    file.write_text(f"[rpc.engine]\ncancel_grace_s = 0.5\nmax_engines = 1\n[rpc_{plugin}]\n{values}")
    return file


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


@asynccontextmanager
async def with_a_worker(mode: str, folder: Path, **settings: Any) -> AsyncIterator[Subject]:
    """A mode as a server has it that keeps no workers, and one worker beside it."""
    config = write_settings(folder, mode, **settings)
    with worker_process(folder, "--config", str(config), mode=mode) as worker:
        await anyio.to_thread.run_sync(worker.wait_until_it_works)
        async with open_mode(mode, folder, **settings) as subject:
            yield subject


def context_of(mode: str, folder: Path, settings: dict[str, Any], pool: EnginePool, tasks: TaskGroup) -> PluginContext:
    """What a plugin of ours would be given, with these settings beside its packaged ones."""
    packaged = tomllib.loads(files(f"orchestrators.{mode}").joinpath(f"rpc_{mode}.toml").read_text())
    return plugin_context(mode, folder, {**packaged, **settings}, pool, tasks)
