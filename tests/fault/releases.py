"""Servers of several releases on one file of runs: they start, run, watch, and are killed.

    python -m tests.fault.releases --servers 20 --runs 400 0.1.0=/path/of/its/python

The present release and one after it, made of the present one, are always among them.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.fault.invariants import Asked, Kind, faults_of_file, kept_runs, output_of
from tests.fault.ledgers import SqliteLedger
from tests.support import client as client_module
from tests.support.bundles import GREETING, SEQUENCE
from tests.support.cli import processes_with
from tests.support.client import RpcClient
from tests.support.durable import database_of
from tests.support.mthds_server import isolated_env
from tests.support.newer_release import make_newer_release

LIMIT_S = 600.0
_MODE = {"orchestration_mode": "dbos"}
_SETTINGS = "[rpc.engine]\nmax_engines = 1\n[rpc_dbos]\nmax_attempts = 100\nconcurrency = 2\npoll_s = 0.1\n"
_MADE_OF_THIS = ("present", "newer")
_COMPLAINTS = (
    "failed with an unexpected exception",
    "a step of maintenance failed",
    "damaged",
    "Unexpected failure",
)


@dataclass
class ReleasesReport:
    """What came of it."""

    acknowledged: int
    ended: Counter[str]
    killed: int
    read_by: Counter[str]
    """How many answers about runs each release gave at the end."""
    ran_by_several: int
    """Runs that workers of more than one release had in hand."""
    seconds: float
    faults: list[str] = field(default_factory=list)


class Releases:
    """`servers` servers in one home, each of the next release in turn."""

    def __init__(self, home: Path, pythons: Mapping[str, Path], servers: int, stack: ExitStack, seed: int = 1) -> None:
        self._home = home
        self._pythons = list(pythons.items())
        self._stack = stack
        self._chance = random.Random(seed)
        self._asked = Asked(max_attempts=100)
        self._started = 0
        self._killed = 0
        self._said = ""
        self._faults: list[str] = []
        (home / "workspace").mkdir(parents=True)
        self._config = home / "settings.toml"
        self._config.write_text(_SETTINGS)
        stack.callback(self._clear)
        self._servers = [self._serve() for _ in range(servers)]

    def run(self, runs: int, kills: int) -> ReleasesReport:
        """Start so many runs, kill so many servers meanwhile, and see what came of it."""
        began = time.monotonic()
        killed_after = {runs * (number + 1) // (kills + 1) for number in range(kills)}
        for number in range(runs):
            self._start(f"run-{number}")
            if number in killed_after:
                self._kill_one()
        self._settle()
        read_by = self._read()
        for release, client in self._servers:
            client.__exit__(None, None, None)
            self._listen(release, client)
        return self._report(read_by, time.monotonic() - began)

    def _serve(self) -> tuple[str, RpcClient]:
        release, python = self._pythons[self._started % len(self._pythons)]
        self._started += 1
        flags = ["--orchestration-mode", "dbos", "--config", str(self._config)]
        client = RpcClient(
            [str(python), "-P", "-m", "rpc_server.cli", "serve", *flags],
            cwd=self._home / "workspace",
            env=isolated_env(self._home),
            allow_unanswered=True,
        )
        client.__enter__()
        return release, client

    def _start(self, run_id: str) -> None:
        kind = self._chance.choice((Kind.GREETING, Kind.SEQUENCE))
        bundle, name = (GREETING, "name") if kind is Kind.GREETING else (SEQUENCE, "word")
        self._asked.sent[run_id] = kind
        _, client = self._chance.choice(self._servers)
        params = {"mthds_contents": [bundle], "inputs": {name: run_id}, "run_id": run_id, **_MODE}
        for _ in range(20):
            # Twenty processes write to one file: a call that is refused for now is sent again.
            answer = client.call("start", params)
            if "result" in answer:
                self._asked.acknowledged.add(run_id)
                return
        raise AssertionError(f"{run_id} is refused: {answer['error']['message']}")

    def _kill_one(self) -> None:
        number = self._chance.randrange(len(self._servers))
        release, client = self._servers[number]
        client.process.kill()
        client.wait()
        self._listen(release, client)
        self._killed += 1
        self._servers[number] = self._serve()

    def _listen(self, release: str, client: RpcClient) -> None:
        if release in _MADE_OF_THIS:
            self._said += client.stderr

    def _settle(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        going = "SELECT count(*) FROM {own}mthds_runs WHERE state IN ('QUEUED', 'RUNNING')"
        while (left := SqliteLedger(database_of(self._home)).rows(going)[0][0]) > 0:
            assert time.monotonic() < deadline, f"{left} runs have not ended: {self._said[-3000:]}"
            time.sleep(0.2)

    def _read(self) -> Counter[str]:
        """Have a server of each release tell of some runs, each in every way there is."""
        read: Counter[str] = Counter()
        for release, client in dict(self._servers).items():
            for run_id in self._chance.sample(sorted(self._asked.acknowledged), min(20, len(self._asked.acknowledged))):
                for method in ("runs/get", "runs/result", "runs/watch"):
                    self._ask(release, client, method, {"run_id": run_id}, read)
            self._ask(release, client, "runs/list", {"limit": 1000}, read)
        return read

    def _ask(self, release: str, client: RpcClient, method: str, params: dict[str, Any], read: Counter[str]) -> None:
        """An earlier release need not know what a later one writes; those that are made of this one must."""
        answer = client.call(method, {**params, **_MODE})
        if "result" in answer:
            read[release] += 1
        elif release in _MADE_OF_THIS:
            self._faults.append(f"{release} answers {method} with {answer['error']['message']}")
        else:
            read[f"{release}, {method} refused"] += 1

    def _report(self, read_by: Counter[str], seconds: float) -> ReleasesReport:
        kept = kept_runs(SqliteLedger(database_of(self._home)))
        faults = [*self._faults]
        faults += [f"{run_id} is not there" for run_id in sorted(self._asked.acknowledged - kept.keys())]
        several = 0
        for run_id, run in kept.items():
            kinds = [event["kind"] for _, event in run.events]
            several += 0 < kinds.count("run_considered") < kinds.count("run_started")
            outputs = [result["output"] for result in run.results]
            if run.state != "COMPLETED" or outputs != [output_of(self._asked.sent[run_id], run_id)]:
                faults.append(f"{run_id} is {run.state} with {outputs}: {run.problem}")
            if kinds.count("run_ended") != 1 or [seq for seq, _ in run.events] != list(range(1, len(kinds) + 1)):
                faults.append(f"the story of {run_id} is not whole: {kinds}")
        faults += faults_of_file(database_of(self._home))
        faults += [line for line in self._said.splitlines() if any(words in line for words in _COMPLAINTS)]
        ended = Counter(run.state for run in kept.values())
        return ReleasesReport(len(self._asked.acknowledged), ended, self._killed, read_by, several, seconds, faults)

    def _clear(self) -> None:
        for process in processes_with("HOME", str(self._home)):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def try_releases(folder: Path, others: Mapping[str, Path], servers: int, runs: int, kills: int) -> ReleasesReport:
    """The present release, the one after it, and `others`: the Python of each by its name."""
    newer = make_newer_release(folder / "newer")
    pythons = {"present": Path(sys.executable), "newer": newer, **others}
    with ExitStack() as stack:
        return Releases(folder / "home", pythons, servers, stack).run(runs, kills)


def main() -> int:
    """Run it at length; 0 where nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.releases", description=__doc__)
    parser.add_argument("others", nargs="*", metavar="NAME=PYTHON")
    parser.add_argument("--servers", type=int, default=20)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    others = {name: Path(python) for name, _, python in (other.partition("=") for other in options.others)}
    # Two cores have to boot forty engines first.
    client_module.TIMEOUT_S = LIMIT_S
    folder = Path(tempfile.mkdtemp(prefix="mthds-rpc-releases-"))
    try:
        report = try_releases(folder, others, options.servers, options.runs, options.kills)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report)
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
