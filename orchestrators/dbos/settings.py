"""`rpc_dbos.toml`, checked. Import-light: a server checks it before it knows whether the mode is ever used."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrators.plugins.contract import SettingFault
from orchestrators.plugins.setting_values import check_numbers, with_variables

_DAY_S = 86_400.0
_MAY_BE_ZERO = {("drain_s",), ("retention", "max_age_days"), ("retention", "max_runs")}
_SCHEMES = ("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://")


@dataclass(frozen=True)
class DbosSettings:
    """Durations in seconds. `None` for what is kept without a limit."""

    database_url: str
    workers: int
    concurrency: int
    poll_s: float
    max_attempts: int
    lease_s: float
    drain_s: float
    keep_s: float | None
    keep_runs: int | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "DbosSettings":
        """From the merged document. Raises `SettingFault`."""
        check_numbers(values, _MAY_BE_ZERO)
        _check_url(values["database_url"])
        retention = values["retention"]
        return cls(
            **{name: value for name, value in values.items() if name != "retention"},
            keep_s=retention["max_age_days"] * _DAY_S or None,
            keep_runs=retention["max_runs"] or None,
        )


def resolved_url(settings: DbosSettings, state_dir: Path, environment: Mapping[str, str]) -> str:
    """The database's URL, with variables put in. Raises `SettingFault` for one that is not set."""
    if not settings.database_url:
        return f"sqlite:///{state_dir / 'dbos' / 'runs.sqlite3'}"
    url = with_variables(("database_url",), settings.database_url, environment)
    if not url.startswith(_SCHEMES):
        raise SettingFault(("database_url",), "is no address of a database")
    return url


def sqlite_file(settings: DbosSettings, state_dir: Path, environment: Mapping[str, str]) -> Path | None:
    """The file behind a SQLite URL, absolute; None for a server."""
    url = resolved_url(settings, state_dir, environment)
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _check_url(url: str) -> None:
    if not url or url.startswith("${"):
        return
    if not url.startswith(_SCHEMES):
        raise SettingFault(("database_url",), "is neither sqlite:////absolute/path nor postgresql://user@host/name")
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_absolute():
        raise SettingFault(("database_url",), "must hold an absolute path, with four slashes: sqlite:////absolute/path")
