"""One engine child, seen from its owner: its process, its pipe, the jobs it has."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio

import mthds_rpc_start
from orchestrators.engine.begun import begun_jobs
from orchestrators.engine.channel import FrameReader, encode
from orchestrators.engine.options import EngineOptions
from orchestrators.engine_output import EngineOutput
from schemas.problem import Problem, ProblemError, problem_error

logger = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]


class EngineGone(Exception):
    """The engine ended before the job did."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Job:
    """A job in an engine."""

    id: int
    listener: Listener | None
    answer: asyncio.Future[dict[str, Any]]
    begun: bool = False


class EngineProcess(asyncio.Protocol):
    """Owned by a pool task that awaits `run`; jobs come and go meanwhile."""

    def __init__(self, options: EngineOptions, report: Callable[[str], None]) -> None:
        """`report` takes each line that the engine, or a method in it, prints."""
        self.options = options
        self._report = report
        self.digests: set[str] = set()
        """The methods it has been sent, which it may hold loaded."""
        self.missing_credentials: dict[str, list[str]] = {}
        self._jobs: dict[int, Job] = {}
        self._last_job = 0
        self._frames = FrameReader()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._retired = False
        self._waiting = 0

    @property
    def is_ready(self) -> bool:
        """Whether it takes jobs."""
        return self._ready.done() and not self._retired and not self._gone.is_set()

    @property
    def is_starting(self) -> bool:
        """Whether it may take jobs later."""
        return not self._ready.done() and not self._gone.is_set()

    @property
    def load(self) -> int:
        """Jobs under way."""
        return len(self._jobs)

    @property
    def is_unused(self) -> bool:
        """Whether it holds nothing, does nothing and nobody waits for it, while it takes jobs or will."""
        return (self.is_ready or self.is_starting) and not (self.digests or self._jobs or self._waiting)

    async def wait_ready(self) -> None:
        """Return once it takes jobs. Raises `ProblemError` where it cannot boot, `EngineGone` where it was killed."""
        self._waiting += 1
        try:
            await asyncio.shield(self._ready)
        finally:
            self._waiting -= 1

    async def run(self, boot_timeout_s: float) -> None:
        """Spawn the child and stay until it has ended; never leaves it behind."""
        life_read, life_write = os.pipe()
        ours, theirs = socket.socketpair()
        output = EngineOutput(self._report)
        try:
            await anyio.Path(self.options.work_dir).mkdir(mode=0o700)
            self._process = await asyncio.create_subprocess_exec(
                *(*mthds_rpc_start.command("orchestrators.engine"), str(theirs.fileno()), str(life_read)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.fd,
                stderr=output.fd,
                pass_fds=(theirs.fileno(), life_read),
                start_new_session=True,
            )
            theirs.close()
            output.started()
            ours.setblocking(False)
            await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
            await self._live(boot_timeout_s)
        finally:
            self.kill()
            os.close(life_write)
            os.close(life_read)
            theirs.close()
            with anyio.CancelScope(shield=True):
                if self._process is not None:
                    await self._process.wait()
                await anyio.to_thread.run_sync(output.finish)
            self._fail_all(self._reason())

    async def _live(self, boot_timeout_s: float) -> None:
        self._send(self.options.to_json())
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), boot_timeout_s)
        except TimeoutError:
            self._refuse(_boot_failed(f"It did not boot within {boot_timeout_s:g} seconds."))
        except (ProblemError, EngineGone) as error:
            logger.info("an engine could not boot: %s", error)
        else:
            await self._gone.wait()

    def begin(self, operation: str, payload: dict[str, Any], digest: str, listener: Listener | None) -> Job:
        """Send a job; `outcome` gives what comes of it."""
        self._last_job += 1
        job = Job(id=self._last_job, listener=listener, answer=asyncio.get_running_loop().create_future())
        self._jobs[job.id] = job
        self._send(
            {
                "id": job.id,
                "op": operation,
                "payload": payload,
                "digest": digest,
                "events": listener is not None,
            }
        )
        return job

    async def outcome(self, job: Job, cancel_grace_s: float) -> Any:
        """The job's result.

        Raises `ProblemError` for its problem, `EngineGone` where the engine ended first. Cancelling the caller cancels
        the job; an engine in which it does not stop within `cancel_grace_s` seconds is killed.
        """
        try:
            answer = await asyncio.shield(job.answer)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._cancel(job, cancel_grace_s)
            raise
        finally:
            self._jobs.pop(job.id, None)
            self._end_if_retired()
        if "problem" in answer:
            raise ProblemError(Problem.model_validate(answer["problem"]))
        return answer["result"]

    async def _cancel(self, job: Job, grace_s: float) -> None:
        job.listener = None
        if job.answer.done():
            # Retrieved so that the loop does not report it as never seen.
            job.answer.exception()
            return
        self._send({"cancel": job.id})
        done, _ = await asyncio.wait([job.answer], timeout=grace_s)
        if not done:
            logger.info("a cancelled job did not stop; its engine is replaced")
            self.kill()
        elif job.answer.exception() is None and job.answer.result().get("busy_threads", 0) > 0:
            # A thread the job left behind cannot be stopped: no new job goes there.
            self._retired = True

    def kill(self) -> None:
        """End the child and every process in its group, at once."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end_if_retired(self) -> None:
        if self._retired and not self._jobs:
            self.kill()

    def _send(self, message: dict[str, Any]) -> None:
        if self._transport is not None and not self._gone.is_set():
            self._transport.write(encode(message))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._take(message)

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()
        self._refuse(EngineGone("it ended while it booted"))

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.missing_credentials = message["ready"]["missing_credentials"]
            if not self._ready.done():
                self._ready.set_result(None)
            return
        if "failed" in message:
            self._refuse(ProblemError(Problem.model_validate(message["failed"])))
            return
        job = self._jobs.get(message["id"])
        if job is None:
            return
        if "event" in message:
            if job.listener is not None:
                job.listener(message["event"])
        elif not job.answer.done():
            job.answer.set_result(message)

    def _refuse(self, error: ProblemError | EngineGone) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            # Marked as seen: the engine may have been prestarted with nobody waiting.
            self._ready.exception()

    def _reason(self) -> str:
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "it could not be started"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def _fail_all(self, reason: str) -> None:
        self._gone.set()
        self._refuse(EngineGone(reason))
        begun = begun_jobs(self.options.work_dir)
        for job in self._jobs.values():
            job.begun = job.id in begun
            if not job.answer.done():
                job.answer.set_exception(EngineGone(reason))
                job.answer.exception()


def _boot_failed(detail: str) -> ProblemError:
    return problem_error(
        "runtime.unavailable",
        "The engine could not start",
        detail,
        domain="operator",
        retry="yes",
        next_step=("retry", "Try again; if it stays so, `mthds-rpc doctor` says what is wrong with this machine."),
    )
