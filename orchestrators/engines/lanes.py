"""The engines of a pool: one list for each lane, which grows and shrinks."""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from orchestrators.artifact_scope import artifacts_folder
from orchestrators.engine.options import EngineOptions
from orchestrators.engines.engine_memory import resident_by_session
from orchestrators.engines.engine_process import EngineGone, EngineProcess
from orchestrators.engines.engine_settings import EngineSettings

logger = logging.getLogger(__name__)

# Jobs that every engine of a lane has before another one is booted.
_BUSY = 2
_MEMORY_LOOK_S = 0.5
_NOT_NEEDED = "it was not needed any more"


@dataclass(frozen=True)
class Lane:
    """Which engines may serve a job: the shared ones, one Python tree's, or those booted under one orchestrator."""

    key: str = "shared"
    max_engines: int | None = None
    boot_orchestrator: str | None = None


SHARED = Lane()


@dataclass(frozen=True)
class PoolSettings:
    """What the engines of a pool need. Paths are absolute."""

    state_dir: Path
    engine: EngineSettings
    project_config_dir: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = lambda line: print(line, file=sys.stderr)  # noqa: T201
    """Takes each line that an engine, or a method in it, prints."""
    redact: Callable[[Any], Any] = lambda value: value
    """Masks secrets in a JSON value: in everything that an engine sends but the results of runs."""
    safe_cut: Callable[[str], int] = len
    """How much of a line may be reported before the rest of it has come."""


class Lanes:
    """The engines of one pool, by lane."""

    def __init__(self, settings: PoolSettings, directory: Path, tasks: TaskGroup) -> None:
        self._settings = settings
        self._directory = directory
        self._tasks = tasks
        self._lanes: dict[str, list[EngineProcess]] = {}
        self._lane_used: dict[str, float] = {}
        self._spawned = 0
        self._is_closing = False
        self._changed = anyio.Event()
        if settings.engine.max_memory_mb:
            tasks.start_soon(self._watch_memory, name="engine memory")

    def close(self) -> None:
        """Start nothing more; the owner cancels the tasks then."""
        self._is_closing = True

    def prestart(self) -> None:
        """Begin to boot the first shared engine, without waiting for it."""
        if not self._lanes.get(SHARED.key):
            self._spawn(SHARED)

    def end_lane(self, lane: Lane) -> None:
        """End the idle engines of a lane that is not used again."""
        for key, engines in self._lanes.items():
            if key == lane.key or key.startswith(f"{lane.key}:"):
                for engine in engines:
                    if engine.load == 0:
                        engine.kill(_NOT_NEEDED)

    async def ready_for(self, lane: Lane, digest: str) -> EngineProcess:
        """A ready engine of `lane`: one that holds the method already, else the least busy."""
        self._lane_used[lane.key] = time.monotonic()
        while True:
            engines = self._lanes.get(lane.key, [])
            ready = [engine for engine in engines if engine.is_ready]
            if not ready or min(engine.load for engine in ready) >= _BUSY:
                self._grow(lane)
            if ready:
                least = min(engine.load for engine in ready)
                holders = [engine for engine in ready if digest in engine.digests and engine.load <= least + _BUSY]
                chosen = min(holders or ready, key=lambda engine: engine.load)
                if digest:
                    chosen.digests.add(digest)
                return chosen
            await self._first_ready(lane)

    def _grow(self, lane: Lane) -> None:
        engines = self._lanes.setdefault(lane.key, [])
        most = lane.max_engines or self._settings.engine.max_engines
        staying = sum(not engine.is_leaving for engine in engines)
        # Engines that take nothing new may stay for long; as many again may replace them.
        if any(engine.is_starting for engine in engines) or staying >= most or len(engines) >= 2 * most:
            return
        if lane.key != SHARED.key:
            self._make_room()
        if not self._adopt(lane):
            self._spawn(lane)

    def _adopt(self, lane: Lane) -> bool:
        """Whether `lane` was given a shared engine: one that holds nothing yet serves any lane, and need not boot."""
        if lane.key == SHARED.key or lane.boot_orchestrator is not None:
            return False
        for engine in self._lanes.get(SHARED.key, []):
            if engine.is_unused:
                self._lanes[SHARED.key].remove(engine)
                self._lanes[lane.key].append(engine)
                return True
        return False

    async def _first_ready(self, lane: Lane) -> None:
        engines = self._lanes.get(lane.key, [])
        starting = [engine for engine in engines if engine.is_starting]
        if starting:
            await starting[0].wait_ready()
        elif not any(engine.is_ready for engine in engines):
            # Every place is taken by an engine that is about to end.
            await self._changed.wait()

    def _make_room(self) -> None:
        """End the idle engine of the lane that was used the longest ago, where too many lanes keep one."""
        extra = [key for key, engines in self._lanes.items() if key != SHARED.key and engines]
        if len(extra) < self._settings.engine.max_lanes:
            return
        for key in sorted(extra, key=lambda key: self._lane_used.get(key, 0.0)):
            if all(engine.is_ready and engine.load == 0 for engine in self._lanes[key]):
                for engine in self._lanes[key]:
                    engine.kill(_NOT_NEEDED)
                return

    def _spawn(self, lane: Lane) -> None:
        if self._is_closing:
            # A child that is started in a cancelled task group may never end.
            raise EngineGone("this process ends")
        self._spawned += 1
        work_dir = self._directory / f"engine-{self._spawned}"
        options = EngineOptions(
            work_dir=str(work_dir),
            artifacts_dir=str(artifacts_folder(self._settings.state_dir)),
            project_config_dir=_text(self._settings.project_config_dir),
            environment=self._settings.environment,
            boot_orchestrator=lane.boot_orchestrator,
            max_dry_steps=self._settings.engine.max_dry_steps,
        )
        settings = self._settings
        engine = EngineProcess(
            options,
            settings.report,
            settings.redact,
            settings.safe_cut,
            unresponsive_s=settings.engine.unresponsive_s,
            changed=self._wake,
        )
        self._lanes.setdefault(lane.key, []).append(engine)
        self._tasks.start_soon(self._run_engine, engine, name=f"engine {self._spawned}")

    async def _run_engine(self, engine: EngineProcess) -> None:
        try:
            await engine.run(self._settings.engine.boot_timeout_s)
        except Exception:  # noqa: BLE001 - one engine must not take the others with it
            logger.exception("an engine failed unexpectedly; it was ended")
        finally:
            self._forget(engine)
            self._wake()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(partial(shutil.rmtree, engine.options.work_dir, ignore_errors=True))

    def _forget(self, engine: EngineProcess) -> None:
        for key, engines in list(self._lanes.items()):
            if engine in engines:
                engines.remove(engine)
            if not engines:
                del self._lanes[key]
                self._lane_used.pop(key, None)

    def _wake(self) -> None:
        """Let the jobs that wait for a place look again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def _watch_memory(self) -> None:
        """End each engine that has more memory than it may. Does nothing on a system that does not report memory."""
        most = self._settings.engine.max_memory_mb
        while True:
            await anyio.sleep(_MEMORY_LOOK_S)
            engines = [engine for lane in self._lanes.values() for engine in lane if engine.pid is not None]
            if not engines:
                continue
            resident = await anyio.to_thread.run_sync(resident_by_session)
            if resident is None:
                logger.warning("`max_memory_mb` is not kept: this system does not tell what its processes take")
                return
            for engine in engines:
                if engine.pid is not None and resident.get(engine.pid, 0) > most * 1_000_000:
                    logger.error("an engine has more than the %d MB that it may; it is ended", most)
                    engine.kill(f"it had more than the {most:,} MB of memory that `max_memory_mb` allows")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
