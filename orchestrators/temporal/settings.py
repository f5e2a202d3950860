"""`rpc_temporal.toml`, checked. Import-light: a server checks it before it knows whether the mode is ever used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrators.plugins.contract import SettingFault
from orchestrators.plugins.setting_values import check_numbers

ADDRESS = r"[^/\s]+:\d{1,5}"
"""What the address of a Temporal server looks like."""
_QUEUE = r"[A-Za-z0-9_.-]{1,200}"
_URL = re.compile(r"[a-z0-9+.-]+(?:://|::)")
_MAY_BE_ZERO = {("drain_s",), ("inline_bytes",)}
# Temporal's own limit of a payload is 2 MiB, and one payload holds a request or a result beside the event log.
MOST_INLINE_BYTES = 1_500_000
# A worker has to miss several heartbeats before it counts as dead.
BEATS_PER_TIMEOUT = 3


@dataclass(frozen=True)
class TlsSettings:
    """Files in PEM, and the name to expect; empty for none."""

    enabled: bool
    server_ca_file: str
    client_cert_file: str
    client_key_file: str
    server_name: str


@dataclass(frozen=True)
class TemporalSettings:
    """Durations in seconds; empty texts for what is not set."""

    address: str
    namespace: str
    profile: str
    api_key: str
    task_queue: str
    artifact_store: str
    inline_bytes: int
    call_timeout_s: float
    concurrency: int
    max_attempts: int
    retry_pause_s: float
    heartbeat_s: float
    heartbeat_timeout_s: float
    drain_s: float
    tls: TlsSettings

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TemporalSettings":
        """From the merged document. Raises `SettingFault`."""
        check_numbers(values, _MAY_BE_ZERO)
        tls = TlsSettings(**values["tls"])
        settings = cls(**{name: value for name, value in values.items() if name != "tls"}, tls=tls)
        settings._check()
        return settings

    def _check(self) -> None:
        if not re.fullmatch(_QUEUE, self.task_queue):
            raise SettingFault(("task_queue",), "must be a name of letters, digits, `_`, `.` and `-`")
        if self.api_key and not re.fullmatch(r"\$\{\w+\}", self.api_key):
            raise SettingFault(("api_key",), "must be ${NAME}, for a variable that holds the key")
        if self.artifact_store and not (_URL.match(self.artifact_store) or Path(self.artifact_store).is_absolute()):
            raise SettingFault(("artifact_store",), "must be an absolute path or a URL")
        if self.inline_bytes > MOST_INLINE_BYTES:
            raise SettingFault(("inline_bytes",), f"must not be above {MOST_INLINE_BYTES}, or Temporal refuses it")
        if self.heartbeat_s * BEATS_PER_TIMEOUT > self.heartbeat_timeout_s:
            raise SettingFault(("heartbeat_timeout_s",), f"must be at least {BEATS_PER_TIMEOUT} times heartbeat_s")
        if bool(self.tls.client_cert_file) != bool(self.tls.client_key_file):
            raise SettingFault(("tls", "client_cert_file"), "and client_key_file go together")
        if self.address and not re.fullmatch(ADDRESS, self.address):
            raise SettingFault(("address",), "must be host:port, such as temporal.internal:7233")
