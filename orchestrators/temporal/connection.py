"""The connection to the Temporal server: where it is, and calls that end in time."""

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import anyio
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError, TLSConfig

from orchestrators.plugins.contract import PluginContext, SettingFault
from orchestrators.plugins.setting_values import with_variables
from orchestrators.temporal.converter import DATA_CONVERTER
from orchestrators.temporal.problems import AWAY, TORN, misconfigured, not_connected, problem_of, unreachable
from orchestrators.temporal.sdk_runtime import RUNTIME
from orchestrators.temporal.settings import ADDRESS, TemporalSettings
from schemas.problem import Problem, ProblemError

T = TypeVar("T")

_ADDRESS = "localhost:7233"
_NAMESPACE = "default"
# How long a server may take to say that it is there, and how often a slow one may take the time of a call.
_ANSWER_S = 0.5
_PAUSE_S = 1.0
_TIMES = 12
_QUOTED = r'"[^"]*"'
_FIXED: dict[str, Any] = {"runtime": RUNTIME, "data_converter": DATA_CONVERTER}


class Connection:
    """One process's connection, made at the first call and kept."""

    def __init__(self, options: Mapping[str, Any], settings: TemporalSettings) -> None:
        """`options` are those of `Client.connect`."""
        self._options = options
        self.settings = settings
        self._client: Client | None = None
        self._question: asyncio.Future[bool] | None = None

    @classmethod
    def of(cls, context: PluginContext) -> "Connection":
        """By the settings and the environment. Reads files. Raises `ProblemError` for what cannot be used."""
        settings = TemporalSettings.of(context.settings)
        try:
            return cls(connect_options(settings, context.environment), settings)
        except SettingFault as fault:
            detail = f"The setting {'.'.join(fault.key)} of rpc_temporal.toml {fault.message}."
            raise ProblemError(misconfigured(detail)) from fault
        except (OSError, ValueError, RuntimeError) as error:
            raise ProblemError(_unusable(error)) from error

    @property
    def address(self) -> str:
        """host:port of the server."""
        return str(self._options["target_host"])

    async def call(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """What one call of Temporal answers. Raises `ProblemError` for every failure of the call.

        The server counts as unreachable if it has not answered for `call_timeout_s` and does not answer a short
        question then; temporalio itself would try for much longer.
        """
        try:
            return await self.unmapped(work)
        except RPCError as error:
            raise ProblemError(problem_of(error)) from error

    async def unmapped(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Like `call`, but raises `RPCError` as it is. Raises `ProblemError` if the server cannot be reached."""
        try:
            return await self._in_time(work)
        except TimeoutError:
            raise ProblemError(unreachable(self.address, "it does not answer")) from None
        except RPCError as error:
            if error.status in AWAY:
                raise ProblemError(unreachable(self.address, error.message)) from error
            raise
        except RuntimeError as error:
            raise ProblemError(not_connected(self.address, str(error))) from error

    async def is_up(self) -> bool:
        """Whether the server answers now. Those who ask at the same time share one question."""
        if self._question is None or self._question.done():
            self._question = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._question)

    async def wait_until_up(self) -> None:
        """Return once the server answers."""
        while not await self.is_up():  # noqa: ASYNC110 - the server sends no signal
            await anyio.sleep(_PAUSE_S)

    async def _ask(self) -> bool:
        try:
            client = await self.client()
            await asyncio.wait_for(client.workflow_service.get_system_info(GetSystemInfoRequest()), _ANSWER_S)
        except (RPCError, RuntimeError, TimeoutError):
            return False
        return True

    async def _in_time(self, work: Callable[[Client], Awaitable[T]]) -> T:
        call = asyncio.ensure_future(self._work(work))
        try:
            for _ in range(_TIMES):
                await asyncio.wait({call}, timeout=self.settings.call_timeout_s)
                if call.done():
                    return call.result()
                if not await self.is_up():
                    break
            raise TimeoutError
        finally:
            call.cancel()

    async def _work(self, work: Callable[[Client], Awaitable[T]]) -> T:
        client = await self.client()
        try:
            return await work(client)
        except RPCError as error:
            if error.status not in TORN:
                raise
        # A server that dies breaks the calls it has; every call may be made twice.
        return await work(client)

    async def client(self) -> Client:
        """The client, which connects at its first call."""
        if self._client is None:
            self._client = await Client.connect(**self._options, **_FIXED, lazy=True)
        return self._client

    async def connected_client(self, role: str = "") -> Client:
        """A client that is connected, as a worker wants it, its role in its name. Raises what temporalio raises."""
        identity = f"{os.getpid()}@{socket.gethostname()} {role}".strip()
        return await Client.connect(**self._options, **_FIXED, identity=identity)


def connect_options(settings: TemporalSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    """What to connect to, as `Client.connect` takes it.

    A variable of Temporal's goes before our own setting, and that before Temporal's profile: ours are given to
    temporalio's envconfig as if they were variables. Raises `SettingFault`, and `RuntimeError`, `ValueError` or
    `OSError` for what cannot be read.
    """
    api_key = with_variables(("api_key",), settings.api_key, environment)
    tls = settings.tls
    ours = {
        "TEMPORAL_ADDRESS": settings.address,
        "TEMPORAL_NAMESPACE": settings.namespace,
        "TEMPORAL_PROFILE": settings.profile,
        "TEMPORAL_API_KEY": api_key,
        "TEMPORAL_TLS": "true" if tls.enabled else "",
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": _file("server_ca_file", tls.server_ca_file),
        "TEMPORAL_TLS_CLIENT_CERT_PATH": _file("client_cert_file", tls.client_cert_file),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": _file("client_key_file", tls.client_key_file),
        "TEMPORAL_TLS_SERVER_NAME": tls.server_name,
    }
    # To temporalio an empty variable is a value.
    variables = {name: value for name, value in (*ours.items(), *environment.items()) if value}
    profile = ClientConfigProfile.load(override_env_vars=variables)
    options = {"target_host": _ADDRESS, "namespace": _NAMESPACE, **profile.to_client_connect_config()}
    _check(options)
    return options


def _check(options: Mapping[str, Any]) -> None:
    """Check what temporalio checks only at the first call."""
    if not re.fullmatch(ADDRESS, options["target_host"]):
        raise ValueError(f"{options['target_host']!r} is no host:port")
    tls = options.get("tls")
    if isinstance(tls, TLSConfig) and bool(tls.client_cert) != bool(tls.client_private_key):
        raise ValueError("a client's certificate and its key go together")


def _file(key: str, name: str) -> str:
    """The path of a file that a setting names; empty for none. Raises `SettingFault` where it is not there."""
    path = Path(name).expanduser()
    if name and not path.is_file():
        raise SettingFault(("tls", key), "names a file that is not there")
    return str(path) if name else ""


def _unusable(error: Exception) -> Problem:
    """Without the lines of the file, and the values, that temporalio quotes: the API key may be among them."""
    said = " ".join(line for line in str(error).splitlines() if "|" not in line)
    return misconfigured(f"Temporal's own settings cannot be used: {re.sub(_QUOTED, '…', said)}.")
