"""What keeps runs, opened in this process or as processes of their own, and a method that does what it is told."""

import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from logging import getLogger
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from orchestrators.dbos.orchestrator import open_orchestrator
from orchestrators.direct.orchestrator import DirectOrchestrator
from orchestrators.engines.pool import EnginePool, PoolSettings
from orchestrators.plugins.contract import Orchestrator, PluginContext, RunLedger
from orchestrators.temporal.orchestrator import TemporalOrchestrator
from schemas.method_source import MethodSource
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunQuery, RunRecord, RunRequest
from tests.support import defaults
from tests.support.bundles import python_method
from tests.support.cli import COMMAND
from tests.support.mthds_server import isolated_env

PATIENCE_S = 60.0

OBEDIENT = python_method(
    """
    import asyncio
    import os
    from pathlib import Path

    order, _, place = word.partition(" ")
    with open(place + ".begun", "a") as begun:
        begun.write("x")
    if order == "wait":
        await asyncio.sleep(3600)
    while order == "until" and not Path(place + ".go").exists():
        await asyncio.sleep(0.01)
    while order == "spin":
        pass
    if order == "fail":
        raise ValueError("it failed as it was told")
    if order == "die":
        os._exit(9)
    if order == "leak":
        print(os.environ["MY_API_KEY"], flush=True)
        raise ValueError("the key is " + os.environ["MY_API_KEY"])
    if order == "tell":
        return TextContent(text="the key is " + os.environ["MY_API_KEY"])
    return TextContent(text=order)
""",
    module="obedient",
    is_async=True,
)
"""Its input `word` is an order and a place; see `Order`."""


@dataclass(frozen=True)
class Order:
    """What one run of the obedient method is told.

    `wait` waits an hour, `until` waits for `let_go`, `spin` never gives its thread back, `fail` raises, `die` ends its
    engine, `leak` raises with the variable MY_API_KEY in its text, `tell` answers it, and any other word is answered.
    """

    word: str
    place: Path

    @property
    def inputs(self) -> dict[str, Any]:
        return {"word": f"{self.word} {self.place}"}

    @property
    def times_begun(self) -> int:
        """How often the method's Python began."""
        with suppress(FileNotFoundError):
            return len(self._begun.read_text())
        return 0

    @property
    def has_begun(self) -> bool:
        return self.times_begun > 0

    def let_go(self) -> None:
        """Let a run that was told `until` go on."""
        self._beside(".go").touch()

    def params(self, **more: Any) -> dict[str, Any]:
        """The params of an `execute` or `start`."""
        return {"files": OBEDIENT.model_dump()["files"], "inputs": self.inputs, **more}

    @property
    def _begun(self) -> Path:
        return self._beside(".begun")

    def _beside(self, ending: str) -> Path:
        return self.place.with_name(self.place.name + ending)


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


@dataclass
class Kept:
    """An orchestrator in this process, with engines that run what it is given."""

    mode: str
    orchestrator: Orchestrator
    folder: Path
    tasks: TaskGroup

    @property
    def ledger(self) -> RunLedger:
        return self.orchestrator.ledger

    async def begin(self, run: RunRequest) -> RunRequest:
        """Have a run known and, in its time, run."""
        if self.mode == "direct":
            self.tasks.start_soon(self._execute, run)
            with anyio.fail_after(PATIENCE_S):
                while not await self._knows(run.run_id):
                    await anyio.sleep(0.01)
        else:
            await self.orchestrator.start(run)
        return run

    async def ended(self, run_id: str) -> RunRecord:
        """The record of a run that has ended."""
        with suppress(ProblemError):
            await self.ledger.result(run_id, PATIENCE_S)
        record = await self.ledger.get(run_id)
        assert record.state.is_final, record
        return record

    async def events(self, run_id: str, after: int = 0) -> list[RunEvent]:
        """The events of a run that has ended or will end."""
        with anyio.fail_after(PATIENCE_S):
            return [event async for event in self.ledger.watch(run_id, after)]

    async def page_through(self, query: RunQuery) -> list[str]:
        """The ids on every page, from the first to the last."""
        ids: list[str] = []
        while True:
            page = await self.ledger.list(query)
            ids += [record.pipeline_run_id for record in page.runs]
            if page.next_cursor is None:
                return ids
            query = query.model_copy(update={"cursor": page.next_cursor})

    async def _execute(self, run: RunRequest) -> None:
        with suppress(ProblemError):
            await self.orchestrator.execute(run, _ignore)

    async def _knows(self, run_id: str) -> bool:
        try:
            await self.ledger.get(run_id)
        except ProblemError:
            return False
        return True


def _ignore(event: RunEvent) -> None:
    pass


def request(mode: str, method: MethodSource, inputs: dict[str, Any], run_id: str, **more: Any) -> RunRequest:
    """A run as the server would ask for it."""
    values = {"created_at": time.time(), **more}
    return RunRequest(run_id=run_id, method=method, orchestration_mode=mode, inputs=inputs, **values)


@asynccontextmanager
async def direct_orchestrator(folder: Path) -> AsyncIterator[Kept]:
    """`direct`, with engines in this process's care."""
    async with EnginePool.open(pool_settings(folder)) as pool, anyio.create_task_group() as tasks:
        yield Kept("direct", DirectOrchestrator(pool), folder, tasks)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def dbos_orchestrator(folder: Path, database_url: str = "") -> AsyncIterator[Kept]:
    """`dbos` as a server has it that keeps no workers, and one worker beside it."""
    settings = {"database_url": database_url, "poll_s": 0.05}
    async with _with_a_worker("dbos", folder, settings) as context:
        orchestrator = await anyio.to_thread.run_sync(open_orchestrator, context)
        try:
            assert context.tasks is not None
            yield Kept("dbos", orchestrator, folder, context.tasks)
        finally:
            orchestrator.close()


@asynccontextmanager
async def temporal_orchestrator(folder: Path, address: str, **settings: Any) -> AsyncIterator[Kept]:
    """`temporal` as a server has it, and one worker beside it."""
    async with _with_a_worker("temporal", folder, {"address": address, **settings}) as context:
        assert context.tasks is not None
        yield Kept("temporal", TemporalOrchestrator.of(context), folder, context.tasks)


@asynccontextmanager
async def _with_a_worker(mode: str, folder: Path, settings: dict[str, Any]) -> AsyncIterator[PluginContext]:
    config = write_settings(folder, mode, **settings)
    async with EnginePool.open(pool_settings(folder)) as pool, anyio.create_task_group() as tasks:
        with worker_process(folder, "--config", str(config), mode=mode) as worker:
            await anyio.to_thread.run_sync(worker.wait_until_it_works)
            yield plugin_context(mode, folder, settings, pool, tasks)
            tasks.cancel_scope.cancel()


def plugin_context(
    mode: str, folder: Path, settings: dict[str, Any], pool: EnginePool, tasks: TaskGroup
) -> PluginContext:
    """What a plugin of ours would be given, with these settings beside its packaged ones."""
    packaged = tomllib.loads(files(f"orchestrators.{mode}").joinpath(f"rpc_{mode}.toml").read_text())
    return PluginContext(
        settings={**packaged, **settings},
        state_dir=folder / "state" / "mthds-rpc",
        engines=pool,
        logger=getLogger("tests"),
        mode=mode,
        tasks=tasks,
    )


def pool_settings(folder: Path) -> PoolSettings:
    """Engines of a test: one at a time, and Python allowed."""
    return defaults.pool_settings(
        folder / "state" / "mthds-rpc",
        max_engines=1,
        allow_python=True,
        cancel_grace_s=0.5,
        report=partial(print, file=sys.stderr),
    )
