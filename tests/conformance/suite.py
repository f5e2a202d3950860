"""Runs the official conformance suite against the real server, with the test plugin's features in it."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.conformance.bridge import bridge
from tests.support.mthds_server import isolated_env
from tests.support.node import NODE_MODULES, node
from tests.support.packages import PACKAGES, install

SUITE = NODE_MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
SERVE = [sys.executable, "-P", "-m", "rpc_server.cli", "serve", "--allow-python"]
METHODS = Path(__file__).with_name("methods")
"""What the suite expects to run as tasks: methods, which are tools of their own where they are in the workspace."""
PATIENT = "[rpc.mcp]\nlist_wait_s = 60.0\n"
"""The suite compares two lists of tools, so that the first must wait for the methods, however long an engine boots."""
TIMEOUT_S = 240.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """A check that did not succeed; `name` is `scenario:check`."""

    name: str
    message: str


@dataclass(frozen=True)
class Report:
    """What the suite found."""

    status: int
    """Its exit status: 0 where exactly what was expected to fail has failed, of what the revision requires."""
    summary: str
    """A line per scenario, then what was expected and what was not."""
    failures: list[Failure]
    """All that did not succeed, required or not."""

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f"{failure.name}: {failure.message}" for failure in self.failures)])


async def run_suite(revision: str, home: Path, workspace: Path) -> Report:
    """Run what `revision` requires, by a server in `workspace`. `home` holds all that it and the suite write."""
    packages = await anyio.to_thread.run_sync(install, [PACKAGES / "mthds_rpc_conformance"], home / "packages")
    results = home / "results"
    env = isolated_env(home, PYTHONPATH=str(packages))
    patient = home / "patient.toml"
    patient.write_text(PATIENT)
    with anyio.fail_after(TIMEOUT_S):
        async with bridge([*SERVE, "--config", str(patient)], cwd=workspace, env=env) as url:
            run = await anyio.run_process(_command(url, revision, results), check=False, stderr=subprocess.STDOUT)
    output = COLOUR.sub("", run.stdout.decode())
    return Report(run.returncode, output[output.find("=== SUMMARY ===") :], _failures(results))


def _command(url: str, revision: str, results: Path) -> list[str]:
    expected = Path(__file__).with_name(f"expected_failures_{revision}.yml")
    options = ["--url", url, "--requirements", revision, "--expected-failures", str(expected)]
    return [str(node()), str(SUITE), "server", *options, "--output-dir", str(results)]


def _failures(results: Path) -> list[Failure]:
    return [
        Failure(f"{_scenario(file.parent)}:{check['id']}", check.get("errorMessage", check["description"]))
        for file in sorted(results.glob("*/checks.json"))
        for check in json.loads(file.read_text())
        if check["status"] in ("FAILURE", "WARNING")
    ]


def _scenario(directory: Path) -> str:
    """The scenario of a results directory, which is called `server-<scenario>-<time>`."""
    return re.sub(r"-\d{4}-\d\d-\d\dT.*", "", directory.name).removeprefix("server-")
