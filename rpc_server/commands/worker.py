"""`mthds-rpc worker`: a process that runs what was started in a durable mode."""

import argparse
import os
import sys

import anyio
from anyio.abc import TaskGroup

from rpc_server.bootstrap import open_services
from rpc_server.calls.mode_policy import no_such_mode
from rpc_server.commands.flags import add_settings_flags, flags_of, parser
from rpc_server.redaction import Redactor
from rpc_server.server import log_to_stderr
from rpc_server.settings.layers import ConfigurationFault
from rpc_server.settings.settings import Settings, load_settings
from rpc_server.signals import stop_on_signal
from rpc_server.transport.stdio import renew_standard_streams
from rpc_server.wire.exception_groups import first_of
from schemas.problem import ProblemError

_DESCRIPTION = """\
Takes up runs that `start` and `execute` left in a durable mode, and runs them until it is stopped (Ctrl-C,
SIGTERM). Runs continue after the editor is closed, on this machine or on many: a worker may be started anywhere that
reaches the database or the Temporal server. What a worker has not finished when it ends, however it ends, another one
does.

A server whose configured mode is `dbos`, on SQLite, keeps workers of its own and needs no other."""


def run(arguments: list[str]) -> int:
    """Work until stopped; the exit status. Raises `ConfigurationFault`, perhaps in a group."""
    options = parser("worker", _DESCRIPTION)
    options.add_argument("--until-stdin-ends", action="store_true", help=argparse.SUPPRESS)
    add_settings_flags(options)
    chosen = options.parse_args(arguments)
    renew_standard_streams()
    settings = load_settings(flags_of(chosen))
    redactor = Redactor({**os.environ, **settings.environment})
    log_to_stderr(redactor)
    try:
        anyio.run(_work, settings, redactor, chosen.until_stdin_ends)
    except (ProblemError, BaseExceptionGroup) as error:
        failure = first_of(error, ProblemError)
        if not isinstance(failure, ProblemError):
            raise
        problem = failure.problem
        print(f"mthds-rpc: {problem.detail} [{problem.code}]\n  {problem.next_step.detail}", file=sys.stderr)
        return 1
    return 0


async def _work(settings: Settings, redactor: Redactor, until_stdin_ends: bool) -> None:
    stop = anyio.Event()
    async with open_services(settings, redactor, "worker") as services, anyio.create_task_group() as tasks:
        _stop_when_told(tasks, stop, until_stdin_ends)
        mode = settings.orchestration_mode
        if not services.plugins.workers.has(mode):
            raise _no_worker(mode, settings, services.plugins.workers.modes(), services.plugins.orchestrators.modes())
        worker = await services.plugins.workers.get(mode)
        working = anyio.Event()
        if not until_stdin_ends:
            tasks.start_soon(_tell_once, working, mode)
        await worker.run(stop, working)
        tasks.cancel_scope.cancel()


async def _tell_once(working: anyio.Event, mode: str) -> None:
    await working.wait()
    print(f"mthds-rpc: a worker takes up runs of the mode '{mode}'; Ctrl-C ends it", file=sys.stderr)


def _stop_when_told(tasks: TaskGroup, stop: anyio.Event, until_stdin_ends: bool) -> None:
    tasks.start_soon(stop_on_signal, stop)
    if until_stdin_ends:
        tasks.start_soon(_stop_at_end_of_stdin, stop)


async def _stop_at_end_of_stdin(stop: anyio.Event) -> None:
    """The owner's end closes the pipe, however it ends."""
    data = b"."
    while data:
        # Not in a thread: one that reads cannot be stopped, and would delay the process's end.
        await anyio.wait_readable(0)
        data = os.read(0, 4096)
    stop.set()


def _no_worker(mode: str, settings: Settings, workers: list[str], orchestrators: list[str]) -> Exception:
    if mode not in orchestrators:
        return no_such_mode(mode, settings, orchestrators)
    return ConfigurationFault(
        "--orchestration-mode",
        f"runs of the mode '{mode}' need no worker; modes with workers: {', '.join(workers) or 'none'}",
    )
