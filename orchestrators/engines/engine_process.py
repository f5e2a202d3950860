"""One engine as its owner sees it: its process, its pipe and its jobs.

Invariant: an engine that answers pings is not killed for one job while it has others.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import anyio

import mthds_rpc_start
from orchestrators.engine.channel import MAX_FROM_ENGINE, BrokenChannel, FrameReader, decode, encode
from orchestrators.engine.marks import begun_jobs, withdraw
from orchestrators.engine.options import EngineOptions
from orchestrators.engines.engine_output import EngineOutput
from orchestrators.engines.engine_problems import boot_failed
from orchestrators.engines.keepalive import PING_S, Keepalive
from schemas.problem import Problem, ProblemError

logger = logging.getLogger(__name__)

# How long an engine with a job that did not stop may be silent: this job holds it for good.
_STUCK_S = 20.0

Message = dict[str, Any]
Listener = Callable[[Message], None]


class EngineGone(Exception):
    """The engine ended before the job did."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobWithdrawn(Exception):
    """The engine does not answer and had not taken the job; it never will."""


@dataclass(frozen=True)
class Answer:
    """The result of a job."""

    value: Any
    frame: bytes
    """The JSON object that it came in, as its member `result`: the form in which a value is kept."""


@dataclass(eq=False)
class Job:
    """A job in an engine."""

    id: int
    name: str
    """For people: its run, or its operation."""
    listener: Listener | None
    answer: asyncio.Future[Answer]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it was answered, lost, withdrawn, or given up."""
    begun: bool = False


class EngineProcess(asyncio.Protocol):
    """Owned by a pool task that awaits `run`; jobs come and go meanwhile."""

    def __init__(
        self,
        options: EngineOptions,
        report: Callable[[str], None],
        redact: Callable[[Any], Any] = lambda value: value,
        safe_cut: Callable[[str], int] = len,
        *,
        unresponsive_s: float = 300.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`report` takes each line that the engine, or a method in it, prints; a long one is cut as `safe_cut` says.

        Every problem and event that leaves the engine goes through `redact`. An engine that has been silent for
        `unresponsive_s` seconds is ended. `changed` is called when it takes jobs again.
        """
        self.options = options
        self._report = report
        self._redact = redact
        self._safe_cut = safe_cut
        self._unresponsive_s = unresponsive_s
        self._changed = changed
        self._keepalive = Keepalive()
        self.digests: set[str] = set()
        """The methods it has been sent, which it may hold loaded."""
        self._jobs: dict[int, Job] = {}
        self._last_job = 0
        self._frames = FrameReader(MAX_FROM_ENGINE)
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._retired = False
        self._is_stuck = False
        self._ended_for: str | None = None
        self._waiting = 0

    @property
    def is_ready(self) -> bool:
        """Whether it takes jobs."""
        return self._ready.done() and not self.is_leaving and not self._gone.is_set()

    @property
    def is_starting(self) -> bool:
        """Whether it may take jobs later."""
        return not self._ready.done() and not self._gone.is_set()

    @property
    def is_leaving(self) -> bool:
        """Whether it takes nothing new: it ends once the jobs that it has are over, or stands still."""
        return self._retired or self._keepalive.is_quiet

    @property
    def load(self) -> int:
        """Jobs under way."""
        return len(self._jobs)

    @property
    def is_unused(self) -> bool:
        """Whether it takes jobs or will, and has no method, no job and no waiter."""
        return (self.is_ready or self.is_starting) and not (self.digests or self._jobs or self._waiting)

    @property
    def pid(self) -> int | None:
        """The child, which leads a session of its own; None where none is there."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def wait_ready(self) -> None:
        """Return once it takes jobs. Raises `ProblemError` if it cannot boot, `EngineGone` if it was killed."""
        self._waiting += 1
        try:
            await asyncio.shield(self._ready)
        finally:
            self._waiting -= 1

    async def run(self, boot_timeout_s: float) -> None:
        """Spawn the child and stay until it has ended; never leaves it behind."""
        try:
            with ExitStack() as stack:
                await self._spawn_and_live(stack, boot_timeout_s)
        except OSError as error:
            logger.error("an engine could not be started: %s", error)
            self._refuse(boot_failed(f"This machine could not start it: {error.strerror or type(error).__name__}."))
        finally:
            self._fail_all(self._reason())

    async def _spawn_and_live(self, stack: ExitStack, boot_timeout_s: float) -> None:
        life_read, life_write = os.pipe()
        stack.callback(os.close, life_write)
        stack.callback(os.close, life_read)
        ours, theirs = socket.socketpair()
        stack.enter_context(theirs)
        stack.callback(lambda: None if self._transport is not None else ours.close())
        output = EngineOutput(self._report, self._safe_cut)
        try:
            await anyio.Path(self.options.work_dir).mkdir(mode=0o700)
            # If it were cancelled halfway, a child would stay without a parent that waits for it.
            with anyio.CancelScope(shield=True):
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
            self.kill(None if self._gone.is_set() else "this process ends")
            with anyio.CancelScope(shield=True):
                if self._process is not None:
                    await self._process.wait()
                await anyio.to_thread.run_sync(output.finish)

    async def _live(self, boot_timeout_s: float) -> None:
        self._send(self.options.to_json())
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), boot_timeout_s)
        except TimeoutError:
            self._refuse(boot_failed(f"It did not boot within {boot_timeout_s:g} seconds."))
        except (ProblemError, EngineGone) as error:
            logger.info("an engine could not boot: %s", error)
        else:
            while not self._gone.is_set():
                with anyio.move_on_after(PING_S):
                    await self._gone.wait()
                self._beat()

    def _beat(self) -> None:
        """Check that it still answers while it has jobs."""
        if not self._jobs or self._gone.is_set():
            self._keepalive.answered()
            return
        patience_s = min(_STUCK_S, self._unresponsive_s) if self._is_stuck else self._unresponsive_s
        if self._keepalive.is_silent_for(patience_s):
            logger.error("an engine has not answered for %g seconds; it is ended", patience_s)
            self.kill(f"it had not answered for {patience_s:g} seconds")
        else:
            if self._keepalive.is_quiet:
                self._withdraw()
            self._send({"ping": self._last_job})
            self._keepalive.pinged()

    def _withdraw(self) -> None:
        """Take back the jobs that it had not taken, for another engine; one that it had taken may be what stops it."""
        for job in list(self._jobs.values()):
            try:
                withdrawn = withdraw(self.options.work_dir, job.id)
            except OSError as error:
                logger.warning("a job cannot be withdrawn from an engine that does not answer: %s", error)
                break
            if withdrawn:
                self._fail(job, JobWithdrawn())
        self._end_if_left()

    def begin(self, operation: str, payload: Message, digest: str, listener: Listener | None) -> Job:
        """Send a job; `outcome` waits for its result."""
        self._last_job += 1
        name = f"the run {payload['run_id']}" if "run_id" in payload else f"a job '{operation}'"
        job = Job(self._last_job, name, listener, asyncio.get_running_loop().create_future())
        self._jobs[job.id] = job
        message = {"id": job.id, "op": operation, "payload": payload, "digest": digest, "events": listener is not None}
        try:
            self._send(message)
        except BaseException:
            del self._jobs[job.id]
            raise
        return job

    async def outcome(self, job: Job, cancel_grace_s: float, deadline: float = float("inf")) -> Answer:
        """The job's result.

        Raises `ProblemError` for its problem, `EngineGone` where the engine ended first, `JobWithdrawn`. Cancelling the
        caller cancels the job, and waits `cancel_grace_s` seconds at the most for it to stop; past `deadline`, on the
        loop's clock, it waits for nothing. An engine in which a job does not stop takes no new ones. It is ended once
        no other job is left in it.
        """
        try:
            return await asyncio.shield(job.answer)
        except asyncio.CancelledError:
            self._cancel(job, cancel_grace_s)
            if anyio.current_time() < deadline:
                with anyio.CancelScope(shield=True):
                    await job.over.wait()
            raise

    def _cancel(self, job: Job, grace_s: float) -> None:
        job.listener = None
        if not job.over.is_set():
            self._send({"cancel": job.id})
            # An engine that does not answer will not answer within the grace either.
            grace_s = 0.0 if self._keepalive.is_quiet else grace_s
            asyncio.get_running_loop().call_later(grace_s, self._give_up, job)

    def _give_up(self, job: Job) -> None:
        """Give up a cancelled job that has had its time to stop. The other jobs of the engine continue."""
        if job.over.is_set():
            return
        self._retired = self._is_stuck = True
        self._finish(job)
        # Jobs that it has not taken by now need not wait until it counts as quiet.
        self._withdraw()
        if self._jobs:
            logger.warning(
                "%s did not stop when asked to, and may continue until the %d other jobs of its engine are over",
                *(job.name, self.load),
            )

    def _finish(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        job.over.set()

    def _fail(self, job: Job, error: Exception) -> None:
        self._finish(job)
        if not job.answer.done():
            job.answer.set_exception(error)
            # Marked as seen: its caller may be gone.
            job.answer.exception()

    def kill(self, reason: str | None = None) -> None:
        """End the child and every process in its group, at once. Callers whose jobs are lost get `reason`."""
        self._retired = True
        self._ended_for = self._ended_for or reason
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end_if_left(self) -> None:
        if self.is_leaving and not self._jobs:
            self.kill("it was about to end")

    def _send(self, message: Message) -> None:
        if self._transport is not None and not self._gone.is_set():
            self._transport.write(encode(message))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        was_quiet = self._keepalive.is_quiet
        self._keepalive.answered()
        if was_quiet:
            self._changed()
        try:
            for body in self._frames.bodies(data):
                self._take(decode(body), body)
        except Exception as error:  # noqa: BLE001 - an invalid message ends that engine alone
            reason = str(error) if isinstance(error, BrokenChannel) else type(error).__name__
            logger.error("an engine sent an invalid message (%s); it is ended", reason)
            self.kill("it sent an invalid message")
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()
        self._refuse(EngineGone("it ended while it booted"))

    def _take(self, message: Message, frame: bytes) -> None:
        if message.get("ready") is True:
            if not self._ready.done():
                self._ready.set_result(None)
        elif "failed" in message:
            self._refuse(ProblemError(Problem.model_validate(self._redact(message["failed"]))))
        elif "pong" not in message and (job := self._jobs.get(message["id"])) is not None:
            self._take_of(job, message, frame)

    def _take_of(self, job: Job, message: Message, frame: bytes) -> None:
        if "event" in message:
            if job.listener is not None:
                job.listener(self._redact(message["event"]))
            return
        if "withdrawn" in message:
            self._fail(job, JobWithdrawn())
        elif "cancelled" in message:
            # A thread the job left behind cannot be stopped: no new job goes there.
            self._retired = self._retired or message["busy_threads"] > 0
            # A caller gets this only if it had not cancelled the job. The job may have done anything by then.
            job.begun = True
            self._fail(job, EngineGone("it gave up the job"))
        elif "problem" in message:
            self._fail(job, ProblemError(Problem.model_validate(self._redact(message["problem"]))))
        elif "result" in message:
            self._finish(job)
            job.answer.set_result(Answer(message["result"], frame))
        else:
            raise BrokenChannel("an answer says nothing")
        self._end_if_left()

    def _refuse(self, error: ProblemError | EngineGone) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            # Marked as seen: the engine may have been prestarted without a waiter.
            self._ready.exception()

    def _reason(self) -> str:
        code = self._process.returncode if self._process is not None else None
        if self._ended_for is not None:
            return self._ended_for
        if code is None:
            return "it could not be started"
        if code == -signal.SIGKILL:
            return "signal SIGKILL, which the system sends where memory runs out"
        return f"signal {_signal_name(-code)}" if code < 0 else f"exit status {code}"

    def _fail_all(self, reason: str) -> None:
        self._gone.set()
        self._refuse(EngineGone(reason))
        try:
            begun = begun_jobs(self.options.work_dir)
        except OSError as error:
            logger.error("what an engine had begun cannot be read, so all its jobs count as begun: %s", error)
            begun = set(self._jobs)
        for job in list(self._jobs.values()):
            job.begun = job.id in begun
            self._fail(job, EngineGone(reason))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
