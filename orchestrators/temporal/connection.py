"""The way to the Temporal server: what to connect to, and calls that end in time whatever the server does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError

from orchestrators.contract import PluginContext, SettingFault
from orchestrators.setting_values import with_variables
from orchestrators.temporal.library import RUNTIME
from orchestrators.temporal.problems import AWAY, misconfigured, not_connected, problem_of, unreachable
from orchestrators.temporal.settings import TemporalSettings
from schemas.problem import Problem, ProblemError

T = TypeVar("T")

_ADDRESS = "localhost:7233"
_NAMESPACE = "default"


class Connection:
    """One process's connection, made at the first call and kept."""

    def __init__(self, options: Mapping[str, Any], settings: TemporalSettings) -> None:
        """`options` are those of `Client.connect`."""
        self._options = options
        self.settings = settings
        self._client: Client | None = None

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

    @property
    def namespace(self) -> str:
        """The namespace that everything here is in."""
        return str(self._options["namespace"])

    async def call(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """What one call of Temporal answers. Raises `ProblemError` for every failure of the call.

        It is said to be unreachable after `call_timeout_s`: temporalio itself goes on trying for longer.
        """
        try:
            return await self.unmapped(work)
        except RPCError as error:
            raise ProblemError(problem_of(error)) from error

    async def unmapped(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Like `call`, for whoever can tell what an `RPCError` means; raises `ProblemError` where none is reached."""
        try:
            return await asyncio.wait_for(self._work(work), self.settings.call_timeout_s)
        except TimeoutError:
            raise ProblemError(unreachable(self.address, "it does not answer")) from None
        except RPCError as error:
            if error.status in AWAY:
                raise ProblemError(unreachable(self.address, error.message)) from error
            raise
        except RuntimeError as error:
            raise ProblemError(not_connected(self.address, str(error))) from error

    async def is_up(self) -> bool:
        """Whether the server answers now."""

        async def ask(client: Client) -> None:
            await client.workflow_service.get_system_info(GetSystemInfoRequest())

        try:
            await self.unmapped(ask)
        except (ProblemError, RPCError):
            return False
        return True

    async def _work(self, work: Callable[[Client], Awaitable[T]]) -> T:
        return await work(await self.client())

    async def client(self) -> Client:
        """The client, which connects at its first call."""
        if self._client is None:
            self._client = await self._connect(lazy=True)
        return self._client

    async def connected_client(self) -> Client:
        """A client that is connected, as a worker wants it. Raises what temporalio raises."""
        return await self._connect(lazy=False)

    async def _connect(self, *, lazy: bool) -> Client:
        try:
            return await Client.connect(**self._options, runtime=RUNTIME, lazy=lazy)
        except ValueError as error:
            raise ProblemError(_unusable(error)) from error


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
    found = dict(profile.to_client_connect_config())
    return {"target_host": _ADDRESS, "namespace": _NAMESPACE, **found}


def _file(key: str, name: str) -> str:
    """The path of a file that a setting names; empty for none. Raises `SettingFault` where it is not there."""
    path = Path(name).expanduser()
    if name and not path.is_file():
        raise SettingFault(("tls", key), "names a file that is not there")
    return str(path) if name else ""


def _unusable(error: Exception) -> Problem:
    return misconfigured(f"Temporal's own settings cannot be used: {error}.")
