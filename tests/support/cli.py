"""The real `mthds-rpc` command, run to its end."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.support.mthds_server import isolated_env

COMMAND = [sys.executable, "-P", "-m", "rpc_server.cli"]


def run_cli(
    home: Path,
    *arguments: str,
    cwd: Path | None = None,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in `cwd`, or in `home`; nothing of the user's is read."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd or home,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env=isolated_env(home, **(env or {})),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def processes_with(variable: str, value: str) -> list[psutil.Process]:
    """Every process that was started with this variable, however it was passed on."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
