"""Jobs in an engine: one task each, side by side, answered over the pipe."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from orchestrators.engine.begun import BegunJobs
from orchestrators.engine.channel import FrameReader, encode
from orchestrators.engine.engine import Engine
from orchestrators.engine.operations import OPERATIONS, Job
from orchestrators.engine.prewarm import IDLE_S, import_ahead, modules_for
from orchestrators.engine.problems import problem_of
from schemas.problem import NextStep, Problem
from schemas.runs import RunEvent


class CountingExecutor(ThreadPoolExecutor):
    """Knows how many of its threads are at work, so that one a method left behind is noticed."""

    def __init__(self) -> None:
        super().__init__(max_workers=32, thread_name_prefix="method")
        self.busy = 0
        self._lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Count `fn` from now until it returns."""
        with self._lock:
            self.busy += 1

        def counted() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                with self._lock:
                    self.busy -= 1

        return super().submit(counted)


class JobServer(asyncio.Protocol):
    """Answers the owner's messages. One task a job, all of them ended with the connection."""

    def __init__(self, engine: Engine, frames: FrameReader, executor: CountingExecutor) -> None:
        self._engine = engine
        self._frames = frames
        self._executor = executor
        self._begun = BegunJobs(engine.options.work_dir)
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self.closed = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._prewarm: asyncio.Task[None] | None = None
        self._idle = self._loop.call_later(IDLE_S, self._import_ahead)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if "cancel" in message:
                job = self._jobs.get(message["cancel"])
                if job is not None:
                    job.cancel()
            else:
                task = self._loop.create_task(self._run(message))
                self._jobs[message["id"]] = task

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _import_ahead(self) -> None:
        if self._jobs:
            self._idle = self._loop.call_later(IDLE_S, self._import_ahead)
        else:
            self._prewarm = self._loop.create_task(import_ahead(modules_for(self._engine.booted.models)))

    def _send(self, message: dict[str, Any]) -> None:
        frame = encode(message)
        if threading.current_thread() is threading.main_thread():
            self._transport.write(frame)
        else:
            self._loop.call_soon_threadsafe(self._transport.write, frame)

    async def _run(self, message: dict[str, Any]) -> None:
        job_id = message["id"]

        def listen(event: RunEvent) -> None:
            self._send({"id": job_id, "event": event.model_dump(mode="json", exclude_none=True)})

        job = Job(
            payload=message["payload"],
            digest=message.get("digest", ""),
            listener=listen if message.get("events") else None,
            begun=lambda: self._begun.add(job_id),
        )
        try:
            answer = {"result": await OPERATIONS[message["op"]](self._engine, job)}
        except asyncio.CancelledError:
            answer = {"cancelled": True, "busy_threads": self._executor.busy}
        except SystemExit as error:
            answer = {"problem": _method_exited(error).to_wire()}
        except Exception as error:  # noqa: BLE001 - every failure of a job is its answer
            problem = self._engine.booted.models.explain(problem_of(error, job.payload.get("run_id")))
            answer = {"problem": problem.to_wire()}
        finally:
            self._jobs.pop(job_id, None)
            if not self._jobs:
                self._begun.forget()
        self._send({"id": job_id, **answer})


def _method_exited(error: SystemExit) -> Problem:
    return Problem(
        code="run.failed",
        title="The run failed",
        detail=f"The method's own Python called sys.exit({error.code!r}), which would have ended its engine.",
        domain="method",
        params={"run_status": "FAILED"},
        next_step=NextStep(kind="change_method", detail="Raise an exception, or return, instead of calling sys.exit."),
    )
