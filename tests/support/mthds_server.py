"""The real `mthds-rpc serve`, in a home, state directory and workspace of its own."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tests.support.client import RpcClient

UNMEASURED = Path(__file__).with_name("unmeasured")
"""On a PYTHONPATH, it keeps coverage out of processes that have nothing to tell it."""


def isolated_env(home: Path, **extra: str) -> dict[str, str]:
    """An environment that holds no key and nothing of the user's; coverage's own variables go along.

    `extra` is added to it. Its PYTHONPATH comes after the folder that keeps coverage out of engines.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_") or name == "PATH"}
    if "COVERAGE_PROCESS_CONFIG" in kept:
        extra["PYTHONPATH"] = os.pathsep.join([str(UNMEASURED), *filter(None, [extra.get("PYTHONPATH")])])
    return {
        **kept,
        "HOME": str(home),
        "PIPELEX_HOME": str(home / "pipelex"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        **extra,
    }


def serve(
    home: Path,
    *flags: str,
    workspace: Path | None = None,
    env: Mapping[str, str] | None = None,
    framing: Literal["lines", "headers"] = "lines",
    **client: Any,
) -> RpcClient:
    """A client over a server in `workspace`, or in a directory of its own below `home`."""
    directory = workspace or home / "workspace"
    directory.mkdir(parents=True, exist_ok=True)
    return RpcClient(
        [sys.executable, "-P", "-m", "rpc_server.cli", "serve", *flags],
        framing=framing,
        cwd=directory,
        env=isolated_env(home, **(env or {})),
        **client,
    )
