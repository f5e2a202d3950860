"""One server: the settings, the plugins, the engines and the one peer, put together."""

import logging
import os
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint

from rpc_server.calls.errors import to_rpc_error
from rpc_server.calls.table import wire_methods
from rpc_server.mcp.protocol.endpoint import McpEndpoint
from rpc_server.redaction import RedactingFormatter, Redactor
from rpc_server.settings.layers import ConfigurationFault
from rpc_server.settings.settings import Flags, Settings, load_settings
from rpc_server.signals import stop_on_signal, stop_when_dead, stop_when_orphaned
from rpc_server.transport.stdio import ProtocolFds
from rpc_server.transport.streams import open_streams
from rpc_server.wire.byte_streams import Streams
from rpc_server.wire.connection import serve_connection
from rpc_server.wire.dispatch import Dispatcher
from rpc_server.wire.exception_groups import first_of
from rpc_server.wire.peer import Peer

if TYPE_CHECKING:
    from rpc_server.calls.services import Services
    from schemas.problem import ProblemError

logger = logging.getLogger(__name__)


def main_serve(flags: Flags, fds: ProtocolFds, client_pid: int | None = None) -> int:
    """Serve the peer behind `fds` until it is done, or the process `client_pid` has died; returns the exit status.

    Raises `ConfigurationFault`, perhaps in a group, also for a broken plugin, once everything that was started has
    ended.
    """
    settings = load_settings(flags)
    redactor = Redactor({**os.environ, **settings.environment})
    log_to_stderr(redactor)
    _tell_of_untrusted(settings)
    return anyio.run(_serve, fds, settings, redactor, client_pid)


async def _serve(fds: ProtocolFds, settings: Settings, redactor: Redactor, client_pid: int | None) -> int:
    stop = anyio.Event()
    async with open_streams(fds, settings.limits.max_queued_bytes) as streams, anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, stop)
        tasks.start_soon(stop_when_orphaned, stop)
        if client_pid is not None:
            tasks.start_soon(stop_when_dead, stop, client_pid)
        late = LateServices(settings, redactor)
        tasks.start_soon(late.keep)
        status = await serve_peer(streams, settings, redactor, late, stop)
        tasks.cancel_scope.cancel()
    return status


async def serve_peer(
    streams: Streams, settings: Settings, redactor: Redactor, late: "LateServices", stop: anyio.Event
) -> int:
    """Serve the peer behind `streams` until it is done, or `stop` is set; returns the exit status."""
    peer = Peer()
    mcp = McpEndpoint(peer, redactor, late)
    methods = wire_methods(late.ready, settings.orchestration_mode)
    dispatcher = Dispatcher({**methods, **mcp.methods()}, partial(to_rpc_error, mapping=late.map_error))
    return await serve_connection(streams, dispatcher, settings.limits, redactor.json, stop, peer, mcp.refuse_batch)


class LateServices:
    """What the methods work with, put together while the server already answers."""

    def __init__(self, settings: Settings, redactor: Redactor) -> None:
        self._settings = settings
        self._redactor = redactor
        self._services: Services | None = None
        self._failure: Exception | None = None
        self._opened = anyio.Event()

    async def ready(self) -> "Services":
        """The services, once they are there. Raises RuntimeError where they could not be opened, or have failed."""
        await self._opened.wait()
        if self._services is None:
            raise RuntimeError("the server's services have failed") from self._failure
        return self._services

    def map_error(self, error: BaseException) -> "ProblemError | None":
        """Ask the plugins' error mappers; an `ErrorMapping`."""
        return None if self._services is None else self._services.plugins.errors.map(error)

    async def keep(self) -> None:
        """Open the services and hold them until cancelled. Raises `ConfigurationFault`, perhaps in a group.

        Where anything else fails, what needs no services is still answered.
        """
        # The first message, which is often there already, is answered before anything else is loaded.
        await checkpoint()
        try:
            await self._hold()
        except Exception as error:
            if first_of(error, ConfigurationFault) is not None:
                raise
            logger.exception("The server's services have failed; only calls that need none are served.")
            self._failure = error
            self._services = None
            self._opened.set()

    async def _hold(self) -> None:
        opening = await to_thread.run_sync(import_module, "rpc_server.bootstrap")
        async with opening.open_services(self._settings, self._redactor) as self._services:
            self._opened.set()
            await anyio.sleep_forever()


def _tell_of_untrusted(settings: Settings) -> None:
    notice = settings.project and settings.project.notice
    if notice:
        sys.stderr.write(f"mthds-rpc: {notice}\n")


def log_to_stderr(redactor: Redactor) -> None:
    """Warnings and worse, each with its secrets masked."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(logging.Formatter("mthds-rpc: %(levelname)s: %(message)s"), redactor))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
