"""The orchestrator that is tested, open in this process and with real engines."""

import logging
import sys
import time
import tomllib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from orchestrators.engines.engine_settings import EngineSettings
from orchestrators.engines.pool import EnginePool, PoolSettings
from orchestrators.plugins.contract import Engines, Orchestrator, PluginContext, RunLedger
from orchestrators.plugins.discovery import load_plugins
from orchestrators.plugins.registrar import PluginOrigin
from orchestrators.plugins.testing.methods import GREETING, OBEDIENT, Order
from schemas.method_source import MethodSource
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunQuery, RunRecord, RunRequest

PATIENCE_S = 60.0
"""How long a test waits for anything."""


@dataclass
class Subject:
    """An orchestrator, and what a test does with it."""

    mode: str
    orchestrator: Orchestrator
    folder: Path
    tasks: TaskGroup
    """Runs stay in it while they run, where `start` is not supported."""
    starts: bool
    """Whether `start` is supported."""

    @property
    def ledger(self) -> RunLedger:
        return self.orchestrator.ledger

    async def begin(self, run: RunRequest) -> RunRequest:
        """Return once the ledger knows the run."""
        if self.starts:
            await self.orchestrator.start(run)
            return run
        self.tasks.start_soon(self._execute, run)
        with anyio.fail_after(PATIENCE_S):
            while not await self._knows(run.run_id):
                await anyio.sleep(0.01)
        return run

    def greeting(self, name: str = "Ann", *, bundle: str = GREETING, **more: Any) -> RunRequest:
        """A run of the greeting. `method` is how its caller named it."""
        source = MethodSource(mthds_contents=[bundle], dependencies={}, name=more.pop("method", None))
        return request(self.mode, source, {"name": name}, more.pop("run_id", new_id()), **more)

    async def begin_greetings(self, count: int, *, in_one_second: int = 1) -> list[RunRequest]:
        """Runs of a method whose name no other run has, as many in every second, the oldest first."""
        method, first = new_id("method"), time.time()
        moments = [first + number // in_one_second for number in range(count)]
        return [await self.begin(self.greeting(method=method, created_at=moment)) for moment in moments]

    def order(self, word: str) -> Order:
        return Order(word, self.folder / new_id(word))

    def obedient(self, order: Order, *, method: str | None = None, **more: Any) -> RunRequest:
        """A run of the obedient method."""
        source = OBEDIENT.model_copy(update={"name": method})
        return request(self.mode, source, order.inputs, new_id(order.word), **more)

    async def begin_order(self, order: Order, **more: Any) -> RunRequest:
        """Return once the method's Python has begun."""
        run = await self.begin(self.obedient(order, **more))
        await until(lambda: order.has_begun)
        return run

    async def ended(self, run_id: str) -> RunRecord:
        """The record of a run, once it has ended."""
        with suppress(ProblemError):
            await self.ledger.result(run_id, PATIENCE_S)
        record = await self.ledger.get(run_id)
        assert record.state.is_final, record
        return record

    async def events(self, run_id: str, after: int = 0) -> list[RunEvent]:
        """The events of a run, once it has ended."""
        with anyio.fail_after(PATIENCE_S):
            return [event async for event in self.ledger.watch(run_id, after)]

    async def listed(self, query: RunQuery) -> list[str]:
        """The ids on every page, from the first to the last."""
        page = await self.ledger.list(query)
        ids = ids_of(page.runs)
        while page.next_cursor is not None:
            page = await self.ledger.list(query.model_copy(update={"cursor": page.next_cursor}))
            ids += ids_of(page.runs)
        return ids

    async def _execute(self, run: RunRequest) -> None:
        with suppress(ProblemError):
            await self.orchestrator.execute(run, lambda event: None)

    async def _knows(self, run_id: str) -> bool:
        try:
            await self.ledger.get(run_id)
        except ProblemError:
            return False
        return True


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that nothing reports."""
    with anyio.fail_after(PATIENCE_S):
        while not is_so():
            await anyio.sleep(0.01)


def ids_of(records: list[RunRecord]) -> list[str]:
    return [record.pipeline_run_id for record in records]


def new_id(name: str = "run") -> str:
    return f"{name}-{uuid.uuid4().hex}"


def request(mode: str, method: MethodSource, inputs: dict[str, Any], run_id: str, **more: Any) -> RunRequest:
    """A run as the server asks for it."""
    values = {"created_at": time.time(), **more}
    return RunRequest(run_id=run_id, method=method, orchestration_mode=mode, inputs=inputs, **values)


@asynccontextmanager
async def open_mode(mode: str, folder: Path, **settings: Any) -> AsyncIterator[Subject]:
    """The orchestrator that the installed plugins have for `mode`.

    `settings` are laid over those that its plugin ships. What it keeps and writes is below `folder`.
    """

    def context_of(origin: PluginOrigin, mode: str) -> PluginContext:
        return plugin_context(mode, folder, {**shipped_settings(origin), **settings}, pool, tasks)

    async with EnginePool.open(pool_settings(folder)) as pool:
        plugins = await load_plugins((), context_of)
        try:
            async with anyio.create_task_group() as tasks:
                await plugins.look_up(mode)
                orchestrator = await plugins.orchestrators.get(mode)
                starts = plugins.orchestrators.supports_fire_and_forget(mode)
                yield Subject(mode, orchestrator, folder, tasks, starts)
                tasks.cancel_scope.cancel()
        finally:
            await plugins.aclose()


def shipped_settings(origin: PluginOrigin) -> Mapping[str, Any]:
    file = origin.settings_file
    return {} if file is None else tomllib.loads(file.read_text(encoding="utf-8"))


def plugin_context(
    mode: str, folder: Path, settings: Mapping[str, Any], engines: Engines, tasks: TaskGroup
) -> PluginContext:
    """What a plugin gets whose state is below `folder`."""
    return PluginContext(
        settings=settings,
        state_dir=_state_dir(folder),
        engines=engines,
        logger=logging.getLogger(__name__),
        mode=mode,
        tasks=tasks,
    )


def pool_settings(folder: Path) -> PoolSettings:
    """Engines of a test: one at a time, and Python allowed."""
    engine = EngineSettings(
        max_engines=1,
        max_lanes=4,
        allow_python=True,
        cancel_grace_s=0.5,
        boot_timeout_s=60.0,
        unresponsive_s=300.0,
        verdict_timeout_s=60.0,
        max_dry_steps=20_000,
        max_memory_mb=0,
    )
    return PoolSettings(state_dir=_state_dir(folder), engine=engine, report=partial(print, file=sys.stderr))


def _state_dir(folder: Path) -> Path:
    return folder / "state" / "mthds-rpc"
