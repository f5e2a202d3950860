"""Settings of the server's parts as rpc.toml ships them, but for what a test changes."""

from pathlib import Path
from typing import Any

import tomli

import rpc_server
from orchestrators.engines.engine_settings import EngineSettings
from orchestrators.engines.lanes import PoolSettings
from rpc_server.wire.connection import Limits

_SHIPPED = tomli.loads((Path(rpc_server.__file__).with_name("rpc.toml")).read_text(encoding="utf-8"))


def limits(**changes: Any) -> Limits:
    return Limits(**{**_SHIPPED["limits"], **changes})


def pool_settings(state_dir: Path, *, report: Any = None, **changes: Any) -> PoolSettings:
    """`changes` are those of [engine]; `report` takes each line that an engine prints."""
    others = {} if report is None else {"report": report}
    return PoolSettings(state_dir=state_dir, engine=EngineSettings(**{**_SHIPPED["engine"], **changes}), **others)
