"""Jobs in an engine: one task each, side by side, answered over the pipe."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from orchestrators.engine.channel import MAX_FROM_ENGINE, FrameReader, encode
from orchestrators.engine.engine import Engine
from orchestrators.engine.marks import JobMarks
from orchestrators.engine.operations import OPERATIONS, Job
from orchestrators.engine.pacing import Steps, too_many_steps
from orchestrators.engine.prewarm import IDLE_S, import_ahead, modules_for
from orchestrators.engine.problems import problem_of
from schemas.problem import Problem, problem
from schemas.runs import RunEvent

logger = logging.getLogger(__name__)

_LIVE = ("execute", "bridge_execute", "bridge_start")

Message = dict[str, Any]


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
        self._marks = JobMarks(engine.options.work_dir)
        self._jobs: dict[int, asyncio.Task[Message]] = {}
        self._cancelled: set[int] = set()
        """Those of the jobs that the owner has cancelled."""
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
            if "ping" in message:
                self._send({"pong": message["ping"]})
            elif "cancel" in message:
                self._cancel(message["cancel"])
            else:
                self._begin(message)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _import_ahead(self) -> None:
        if self._jobs:
            self._idle = self._loop.call_later(IDLE_S, self._import_ahead)
        else:
            self._prewarm = self._loop.create_task(import_ahead(modules_for(self._engine.booted.models)))

    def _send(self, message: Message) -> None:
        self._write(encode(message))

    def _write(self, frame: bytes) -> None:
        if threading.current_thread() is threading.main_thread():
            self._transport.write(frame)
        else:
            self._loop.call_soon_threadsafe(self._transport.write, frame)

    def _cancel(self, job_id: int) -> None:
        task = self._jobs.get(job_id)
        if task is not None:
            self._cancelled.add(job_id)
            task.cancel()

    def _begin(self, message: Message) -> None:
        is_live = message["op"] in _LIVE and message["payload"].get("run_mode", "live") == "live"
        steps = Steps(None if is_live else self._engine.options.max_dry_steps)
        task = self._jobs[message["id"]] = self._loop.create_task(self._answer(message, steps))
        # A task that is cancelled before its first step runs nothing, not even a `finally`.
        task.add_done_callback(partial(self._ended, message, steps))

    async def _answer(self, message: Message, steps: Steps) -> Message:
        job_id, run_id = message["id"], message["payload"].get("run_id")

        def listen(event: RunEvent) -> None:
            self._send({"id": job_id, "event": event.model_dump(mode="json", exclude_none=True)})

        steps.enter()
        try:
            if not self._marks.take(job_id):
                return {"withdrawn": True}
            job = Job(
                payload=message["payload"],
                digest=message.get("digest", ""),
                listener=listen if message.get("events") else None,
                begun=lambda: self._marks.begin(job_id),
            )
            return {"result": await OPERATIONS[message["op"]](self._engine, job)}
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - every failure of a job is its answer
            return {"problem": self._explained(error, run_id).to_wire()}
        except BaseException as error:  # noqa: BLE001 - what is raised by a method must not end the others
            return {"problem": _method_ended(error).to_wire()}

    def _explained(self, error: Exception, run_id: str | None) -> Problem:
        return self._engine.booted.models.explain(problem_of(error, run_id))

    def _ended(self, message: Message, steps: Steps, task: asyncio.Task[Message]) -> None:
        job_id = message["id"]
        del self._jobs[job_id]
        if not self._jobs:
            self._marks.forget()
        was_cancelled = job_id in self._cancelled
        self._cancelled.discard(job_id)
        if not task.cancelled():
            answer = task.result()
        elif was_cancelled:
            answer = {"cancelled": True, "busy_threads": self._executor.busy}
        elif steps.is_exceeded and steps.limit is not None:
            answer = {"problem": too_many_steps(steps.limit, message["payload"].get("run_id")).to_wire()}
        else:
            answer = {"problem": _method_ended(asyncio.CancelledError()).to_wire()}
        self._write(self._frame(job_id, answer))

    def _frame(self, job_id: int, answer: Message) -> bytes:
        """The answer, or why there is none: the owner waits for one in any case."""
        try:
            frame = encode({"id": job_id, **answer})
        except Exception as error:  # noqa: BLE001
            return encode({"id": job_id, "problem": self._explained(error, None).to_wire()})
        if len(frame) > MAX_FROM_ENGINE:
            return encode({"id": job_id, "problem": _too_large(len(frame)).to_wire()})
        return frame


def _method_ended(error: BaseException) -> Problem:
    what = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
    return problem(
        "run.failed",
        f"The method's own Python {what}, which would have ended its engine.",
        next_step=("change_method", "Raise an exception, or return, instead of calling sys.exit."),
        domain="method",
        params={"run_status": "FAILED"},
    )


def _too_large(size: int) -> Problem:
    return problem(
        "run.results_not_stored",
        f"The engine's answer has {size:,} bytes; {MAX_FROM_ENGINE:,} are the most that it may have.",
        next_step=("change_method", "Have the method give less, and keep large content in files."),
        domain="method",
        params={"size": size, "limit": MAX_FROM_ENGINE},
    )
