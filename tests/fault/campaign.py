"""Runs are started without a pause while servers, workers and engines are killed; then what is kept is judged.

The seed decides what is started and in which order who is struck; the machine decides what each was doing just then.
"""

import itertools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.fault.invariants import Asked, Kind, faults_of_file, faults_of_runs, kept_runs
from tests.fault.ledgers import Ledger, PostgresLedger, SqliteLedger
from tests.support.bundles import GREETING, SEQUENCE, python_method
from tests.support.cli import COMMAND, processes_with
from tests.support.client import RpcClient
from tests.support.mthds_server import isolated_env, serve
from tests.support.postgres import PostgresServer

LIMIT_S = 90.0
_LOOK_S = 0.02
_GOING = "state IN ('QUEUED', 'RUNNING')"
_OVER = f"NOT {_GOING}"
# With more than so many runs that wait, kills would meet but a few of them at work.
_BACKLOG = 60
# The supervisor of a server waits longer after each death of its worker.
_DEATHS_OF_A_KEEPER = 3
_KILLS = ("server", "worker", "engine", "worker", "engine", "all", "engine", "server", "worker", "engine")
_GENTLE = ("pause a worker", "stop a worker", "stop a server")
# The second one is that of a process that was told before it listened.
_STOPPED = (0, -signal.SIGTERM)
_KINDS = {
    Kind.GREETING: 33,
    Kind.SEQUENCE: 33,
    Kind.PYTHON: 15,
    Kind.HURRIED: 6,
    Kind.FAILING: 8,
    Kind.INVALID: 5,
}
_SETTINGS = """
[rpc_dbos]
database_url = "{url}"
max_attempts = {max_attempts}
concurrency = 3
poll_s = 0.05
drain_s = 0.5
lease_s = 2.0

[rpc.engine]
max_engines = 1
"""


@dataclass(frozen=True)
class Plan:
    """How much of what."""

    seed: int
    kills: int
    runs: int
    max_attempts: int = 100
    """So many that no run is given up only because it was near too many kills."""
    kinds_of_kills: tuple[str, ...] = _KILLS
    """Taken in turn until there are enough, then shuffled."""


@dataclass
class Report:
    """What came of a campaign."""

    acknowledged: int
    unanswered: int
    """Runs that are there though nobody read an acknowledgement."""
    ended: Counter[str]
    strikes: Counter[str]
    begun_again: int
    """Runs that were begun more than once."""
    highest_attempt: int
    seconds: float
    faults: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(count for name, count in self.strikes.items() if name in _KILLS)


class _Caller:
    """A server and what was asked of it."""

    def __init__(self, client: RpcClient) -> None:
        self.client = client
        self.is_told_to_stop = False
        self._calls: dict[str, tuple[str, str]] = {}
        self._read = 0

    @property
    def unanswered(self) -> int:
        return len(self._calls)

    def call(self, method: str, run_id: str, params: dict[str, Any]) -> None:
        """Ask, and do not wait."""
        self._calls[self.client.request(method, {"run_id": run_id, **params})] = (method, run_id)

    def answers(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """What was answered since the last time: the method, the run, the answer."""
        messages = self.client.messages[self._read :]
        self._read += len(messages)
        for answer in messages:
            yield (*self._calls.pop(answer["id"]), answer)


class Campaign:
    """One campaign in a home of its own. `database` is where runs are kept; None for SQLite."""

    def __init__(self, home: Path, plan: Plan, database: PostgresServer | None = None) -> None:
        self._home = home
        self._plan = plan
        self._database = database
        self._chance = random.Random(plan.seed)
        self._asked = Asked(plan.max_attempts)
        self._strikes: Counter[str] = Counter()
        self._callers: list[_Caller] = []
        self._caller: _Caller | None = None
        self._deaths = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._answered = 0
        self._file = home / "state" / "mthds-rpc" / "dbos" / "runs.sqlite3"
        self._ledger: Ledger = SqliteLedger(self._file) if database is None else PostgresLedger(database.url)
        self._journal = home / "journal"
        self._journal.touch()
        (home / "tmp").mkdir()
        self._env = {"TMPDIR": str(home / "tmp")}
        self._config = home / "campaign.toml"
        url = "" if database is None else database.url
        self._config.write_text(_SETTINGS.format(url=url, max_attempts=plan.max_attempts))

    def run(self) -> Report:
        """All of it."""
        began = time.monotonic()
        runs = iter(range(self._plan.runs))
        strikes = self._planned_strikes()
        for number, strike in enumerate(strikes, 1):
            self._have_somebody()
            upto = self._plan.runs * number // len(strikes)
            self._ask(itertools.islice(runs, upto - self._plan.runs * (number - 1) // len(strikes)))
            self._await_a_moment()
            self._strike(strike)
        self._settle()
        self._close()
        return self._report(time.monotonic() - began)

    # What is asked.

    def _ask(self, numbers: Iterator[int]) -> None:
        """Start the next runs, ask again for some whose answer was lost, cancel one, look at some."""
        caller = self._caller
        assert caller is not None
        for number in numbers:
            kind = self._chance.choices(list(_KINDS), list(_KINDS.values()))[0]
            run_id = f"run-{self._plan.seed}-{number}"
            self._asked.sent[run_id] = kind
            caller.call("start", run_id, self._params(kind, run_id))
        known = self._asked.acknowledged | self._asked.refused
        lost = [run_id for run_id in self._asked.sent if run_id not in known]
        for run_id in self._some(lost, 3):
            caller.call("start", run_id, self._params(self._asked.sent[run_id], run_id))
        if self._chance.random() < 0.4:
            for run_id in self._some(list(self._asked.sent)[-20:], 1):
                self._asked.cancelled.add(run_id)
                caller.call("runs/cancel", run_id, {})
        for run_id in self._some(sorted(self._asked.acknowledged), 3):
            caller.call("runs/get", run_id, {})

    def _some(self, run_ids: list[str], most: int) -> list[str]:
        return self._chance.sample(run_ids, min(most, len(run_ids)))

    def _params(self, kind: Kind, run_id: str) -> dict[str, Any]:
        match kind:
            case Kind.GREETING:
                return {"mthds_contents": [GREETING], "inputs": {"name": run_id}}
            case Kind.SEQUENCE:
                return {"mthds_contents": [SEQUENCE], "inputs": {"word": run_id}}
            case Kind.PYTHON:
                return {"files": self._working_method(), "inputs": {"word": run_id}}
            case Kind.HURRIED:
                return {"mthds_contents": [GREETING], "inputs": {"name": run_id}, "timeout_s": 1.0}
            case Kind.FAILING:
                return {"mthds_contents": [GREETING]}
            case Kind.INVALID:
                return {"mthds_contents": [GREETING.replace('output = "Text"', 'output = "Txet"')]}

    def _working_method(self) -> Any:
        body = f"""\
    import asyncio
    with open({str(self._journal)!r}, "a") as journal:
        journal.write(word + "\\n")
    await asyncio.sleep(0.3)
    return TextContent(text=word)"""
        return python_method(body, is_async=True).model_dump()["files"]

    # What is answered.

    def _collect(self) -> None:
        for caller in self._callers:
            for method, run_id, answer in caller.answers():
                self._take(method, run_id, answer)

    def _take(self, method: str, run_id: str, answer: dict[str, Any]) -> None:
        result = answer.get("result")
        self._answered += method == "start"
        if result is None:
            code = answer["error"]["data"]["code"]
            if method == "start" and code == "method.invalid":
                self._asked.refused.add(run_id)
            assert code != "run.not_found" or run_id not in self._asked.acknowledged, f"{run_id} is forgotten"
            return
        if method == "start":
            self._asked.acknowledged.add(run_id)
        if result["state"] not in ("QUEUED", "RUNNING"):
            assert self._asked.told.setdefault(run_id, result["state"]) == result["state"], f"{run_id} ended twice"

    # When.

    def _await_a_moment(self) -> None:
        """Wait until the campaign is in the middle of something, each time of something else."""
        moment = self._chance.choice(("any", "any", "acknowledged", "acknowledged", "running", "ended"))
        some = self._chance.randint(1, 5)
        pause_s = self._chance.random() * 0.15
        answered, ended, going = self._answered, self._count(_OVER), self._count(_GOING)
        if going > _BACKLOG:
            moment, some = "ended", going - _BACKLOG
        if moment == "any":
            pause_s *= 4
        elif moment == "acknowledged":
            self._until(lambda: self._answered >= answered + some or self._is_idle(), "answers")
        elif moment == "running":
            self._until(lambda: self._count("state = 'RUNNING'") > 0 or self._is_idle(), "a run to begin")
            pause_s /= 3
        else:
            self._until(lambda: self._count(_OVER) >= ended + some or self._is_idle(), "runs to end")
        time.sleep(pause_s)
        self._collect()

    def _is_idle(self) -> bool:
        """Whether everything is answered and has ended."""
        assert self._caller is not None
        return self._caller.unanswered == 0 and self._count(_GOING) == 0

    def _count(self, condition: str) -> int:
        rows = self._ledger.rows(f"SELECT count(*) FROM {{own}}mthds_runs WHERE {condition}")
        return int(rows[0][0]) if rows else 0

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while True:
            self._collect()
            if is_so():
                return
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self._state()}"
            time.sleep(_LOOK_S)

    def _state(self) -> str:
        assert self._caller is not None
        processes = [" ".join(process.cmdline()[-9:]) for process in self._processes()]
        states = self._ledger.rows("SELECT state, count(*) FROM {own}mthds_runs GROUP BY state")
        said = self._caller.client.stderr[-3000:]
        return f"{self._caller.unanswered} calls unanswered, runs {states}, processes {processes}, stderr: {said}"

    # Who.

    def _processes(self, what: str = "") -> list[psutil.Process]:
        """The processes of this campaign, oldest first; `what` is a word of their command."""
        found = []
        for process in processes_with("HOME", str(self._home)):
            with suppress(psutil.Error):
                if not what or what in process.cmdline():
                    found.append((process.create_time(), process))
        return [process for _, process in sorted(found, key=lambda pair: pair[0])]

    def _have_somebody(self) -> None:
        """See that a server is there, and now and then a worker that no server keeps."""
        if self._caller is not None and self._database is None and self._deaths >= _DEATHS_OF_A_KEEPER:
            self._strike("stop a server")
        if self._caller is None:
            self._caller = self._new_server()
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        wanted = 2 if self._database is not None else int(self._chance.random() < 0.2)
        while len(self._workers) < wanted:
            self._workers.append(self._new_worker())

    def _new_server(self) -> _Caller:
        caller = _Caller(serve(self._home, *self._flags(), env=self._env, allow_unanswered=True))
        caller.client.__enter__()
        self._callers.append(caller)
        self._deaths = 0
        return caller

    def _new_worker(self) -> "subprocess.Popen[bytes]":
        with (self._home / "workers.log").open("ab") as log:
            return subprocess.Popen(
                [*COMMAND, "worker", *self._flags()],
                cwd=self._home / "workspace",
                env={**isolated_env(self._home), **self._env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _flags(self) -> list[str]:
        return ["--orchestration-mode", "dbos", "--allow-python", "--config", str(self._config)]

    def _one(self, what: str) -> psutil.Process:
        """One of the workers, or of the engines, once there is one."""
        self._until(lambda: bool(self._processes(what)), f"{what} to be there")
        return self._chance.choice(self._processes(what) or [psutil.Process(self._server.pid)])

    @property
    def _server(self) -> RpcClient:
        assert self._caller is not None
        return self._caller.client

    # Strikes.

    def _planned_strikes(self) -> list[str]:
        kills = itertools.islice(itertools.cycle(self._plan.kinds_of_kills), self._plan.kills)
        gentle = _GENTLE if self._database is None else ("stop the database", *_GENTLE)
        strikes = [*kills, *itertools.islice(itertools.cycle(gentle), self._plan.kills // 4)]
        self._chance.shuffle(strikes)
        return strikes

    def _strike(self, name: str) -> None:
        match name:
            case "server":
                os.kill(self._server.pid, signal.SIGKILL)
                self._let_go()
            case "stop a server":
                os.kill(self._server.pid, signal.SIGTERM)
                self._let_go(told_to_stop=True)
            case "worker" | "stop a worker":
                with suppress(psutil.NoSuchProcess):
                    self._one("worker").send_signal(signal.SIGKILL if name == "worker" else signal.SIGTERM)
                self._deaths += 1
            case "engine":
                with suppress(psutil.NoSuchProcess):
                    self._one("orchestrators.engine").kill()
            case "all":
                self._kill_all()
                self._let_go()
            case "pause a worker":
                self._pause_a_worker()
            case "stop the database":
                self._stop_the_database()
            case _:
                raise AssertionError(name)
        self._strikes[name] += 1

    def _let_go(self, *, told_to_stop: bool = False) -> None:
        """Ask nothing more of the server; its end is seen to later, so that the next one meets what it left."""
        assert self._caller is not None
        self._caller.is_told_to_stop = told_to_stop
        if not told_to_stop:
            self._caller.client.wait()
        self._caller = None

    def _kill_all(self) -> None:
        processes = self._processes()
        self._chance.shuffle(processes)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _pause_a_worker(self) -> None:
        """Stop it for a while, which is longer than a lease now and then."""
        worker = self._one("worker")
        longest_s = 1.0 if self._database is None else 5.0
        with suppress(psutil.NoSuchProcess):
            worker.suspend()
            try:
                time.sleep(self._chance.random() * longest_s)
            finally:
                worker.resume()

    def _stop_the_database(self) -> None:
        assert self._database is not None
        self._database.stop()
        try:
            time.sleep(self._chance.random() * 2)
        finally:
            self._database.start()

    # The end.

    def _settle(self) -> None:
        """Wait until whatever was asked for has ended, and nothing is queued."""
        self._have_somebody()
        while not self._is_over():
            ended = self._count(_OVER)
            self._until(lambda: self._is_over() or self._count(_OVER) > ended, "the end of all runs")  # noqa: B023

    def _is_over(self) -> bool:
        waiting = "SELECT count(*) FROM {dbos}workflow_status WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
        return self._is_idle() and not self._ledger.rows(waiting)[0][0]

    def _close(self) -> None:
        """Let everybody end by themselves. Raises `AssertionError` for whoever does not, or says what is no message."""
        living = [worker for worker in self._workers if worker.poll() is None]
        for worker in living:
            worker.terminate()
        for caller in self._callers:
            caller.client.__exit__(None, None, None)
            if caller is self._caller or caller.is_told_to_stop:
                assert caller.client.process.returncode in _STOPPED, caller.client.stderr[-2000:]
        for worker in living:
            status = worker.wait(LIMIT_S)
            assert status in _STOPPED, f"a worker ended with {status}: {self._said()[-2000:]}"
        self._collect()
        self._until(lambda: not self._processes(), "every process to end")

    def _report(self, seconds: float) -> Report:
        runs = kept_runs(self._ledger)
        faults = faults_of_runs(self._asked, runs, Counter(self._journal.read_text().split()))
        if self._database is None:
            faults += faults_of_file(self._file)
        return Report(
            acknowledged=len(self._asked.acknowledged),
            unanswered=len(runs.keys() - self._asked.acknowledged),
            ended=Counter(run.state for run in runs.values()),
            strikes=self._strikes,
            begun_again=sum(run.beginnings > 1 for run in runs.values()),
            highest_attempt=max(run.attempt for run in runs.values()),
            seconds=seconds,
            faults=[*faults, *self._complaints()],
        )

    def _complaints(self) -> list[str]:
        """What nobody foresaw, of all that servers and workers said."""
        # DBOS tells at length of a database that is away.
        unforeseen = ["failed with an unexpected exception"]
        if self._database is None:
            unforeseen.append("Traceback")
        return [line for line in self._said().splitlines() if any(words in line for words in unforeseen)]

    def _said(self) -> str:
        log = self._home / "workers.log"
        workers = log.read_text() if log.exists() else ""
        return "\n".join([workers, *(caller.client.stderr for caller in self._callers)])

    def clear(self) -> None:
        """End whatever is left, whatever went wrong."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for worker in self._workers:
            worker.wait()
        for caller in self._callers:
            caller.client.process.wait()


@contextmanager
def campaign(home: Path, plan: Plan, database: PostgresServer | None = None) -> Iterator[Campaign]:
    """A campaign that leaves no process behind, even where it fails."""
    home.mkdir(exist_ok=True)
    opened = Campaign(home, plan, database)
    try:
        yield opened
    finally:
        opened.clear()
