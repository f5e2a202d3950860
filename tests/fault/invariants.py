"""What has to hold of the runs of a campaign once all has ended, judged by what the database holds."""

import fcntl
import json
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.fault.ledgers import Ledger


class Kind(StrEnum):
    """What a run of a campaign is."""

    GREETING = "greeting"
    SEQUENCE = "sequence"
    PYTHON = "python"
    """Writes its id to the journal, then sleeps a little."""
    HURRIED = "hurried"
    """A greeting that is given little time."""
    FAILING = "failing"
    """Is acknowledged, and lacks an input."""
    INVALID = "invalid"
    """Is refused."""


@dataclass
class Asked:
    """What the callers of a campaign know: what they asked for, and what they were told."""

    max_attempts: int
    sent: dict[str, Kind] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)
    """The final states that somebody was told."""


@dataclass(frozen=True)
class Run:
    """A run as it is kept."""

    run_id: str
    state: str
    attempt: int
    event_count: int
    problem: dict[str, Any] | None
    events: Sequence[tuple[int, dict[str, Any]]]
    """Each with its number, in order."""
    results: Sequence[dict[str, Any]]

    @property
    def beginnings(self) -> int:
        """How often the run was begun; handing it back takes an attempt away, not a beginning."""
        return sum(event["kind"] == "run_started" for _, event in self.events)


_FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}
_CHAIN = [
    ("pipe_started", "chain.all"),
    *((kind, f"chain.{step}") for step in ("one", "two", "three") for kind in ("pipe_started", "pipe_completed")),
    ("pipe_completed", "chain.all"),
]
_STORIES = {
    Kind.GREETING: [("pipe_started", "greeting.greet"), ("pipe_completed", "greeting.greet")],
    Kind.HURRIED: [("pipe_started", "greeting.greet"), ("pipe_completed", "greeting.greet")],
    Kind.SEQUENCE: _CHAIN,
    Kind.PYTHON: [("pipe_started", "own_python.work"), ("pipe_completed", "own_python.work")],
}
"""What happens in one attempt that comes to its end."""


def output_of(kind: Kind, run_id: str) -> dict[str, str]:
    """What a run is to give, whose one input is its id."""
    texts = {Kind.SEQUENCE: f"{run_id}!!!", Kind.PYTHON: run_id}
    return {"text": texts.get(kind, f"Hello {run_id}")}


def kept_runs(ledger: Ledger) -> dict[str, Run]:
    """Every run of a database."""
    events: defaultdict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for run_id, seq, text in ledger.rows("SELECT run_id, seq, event FROM {own}mthds_events ORDER BY run_id, seq"):
        events[run_id].append((seq, json.loads(text)))
    results: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for run_id, text in ledger.rows("SELECT run_id, result FROM {own}mthds_results"):
        results[run_id].append(json.loads(text))
    rows = ledger.rows("SELECT run_id, state, attempt, event_count, problem FROM {own}mthds_runs")
    return {
        run_id: Run(run_id, state, attempt, count, json.loads(problem or "null"), events[run_id], results[run_id])
        for run_id, state, attempt, count, problem in rows
    }


def faults_of_runs(asked: Asked, runs: Mapping[str, Run], journal: Counter[str]) -> list[str]:
    """What does not hold; each with its run."""
    faults = [f"{run_id}: acknowledged and not there" for run_id in sorted(asked.acknowledged - runs.keys())]
    faults += [f"{run_id}: there and never asked for" for run_id in sorted(runs.keys() - asked.sent.keys())]
    faults += [f"{run_id}: refused and there" for run_id in sorted(asked.refused & runs.keys())]
    for run_id, run in sorted(runs.items()):
        if run_id in asked.sent:
            kind = asked.sent[run_id]
            found = [*_of_end(run, kind, asked), *_of_events(run, kind, asked), *_of_effects(run, kind, journal)]
            faults += [f"{run_id} ({kind}): {fault}" for fault in found]
    return faults


def _of_end(run: Run, kind: Kind, asked: Asked) -> Iterator[str]:
    if run.state not in _FINAL:
        yield f"has not ended: {run.state}"
    if run.state not in _allowed_ends(run, kind, asked):
        yield f"must not end as {run.state}: {run.problem}"
    if asked.told.get(run.run_id, run.state) != run.state:
        yield f"somebody was told {asked.told[run.run_id]}, and it is {run.state}"
    if run.state == "COMPLETED":
        if [result["output"] for result in run.results] != [output_of(kind, run.run_id)]:
            yield f"has the results {run.results}"
        if run.problem is not None:
            yield f"completed with a problem: {run.problem}"
    else:
        if run.results:
            yield f"did not complete and has results: {run.results}"
        if run.problem is None:
            yield "did not complete and has no problem"


def _allowed_ends(run: Run, kind: Kind, asked: Asked) -> set[str]:
    allowed = {"FAILED" if kind is Kind.FAILING else "COMPLETED"}
    if run.run_id in asked.cancelled:
        allowed.add("CANCELLED")
    if kind is Kind.HURRIED:
        allowed.add("TIMED_OUT")
    if (run.problem or {}).get("code") == "run.lost" and run.attempt == asked.max_attempts:
        allowed.add("FAILED")
    return allowed


def _of_events(run: Run, kind: Kind, asked: Asked) -> Iterator[str]:
    kinds = [event["kind"] for _, event in run.events]
    if [seq for seq, _ in run.events] != list(range(1, run.event_count + 1)):
        yield f"has {run.event_count} events, and of those {[seq for seq, _ in run.events]}"
    if kinds.count("run_ended") != 1 or kinds[-1] != "run_ended":
        yield f"does not end once: {kinds}"
    if run.attempt > asked.max_attempts:
        yield f"was begun too often: {run.attempt}"
    yield from _of_attempts(run)
    yield from _of_stories(run, kind)


def _of_attempts(run: Run) -> Iterator[str]:
    """Attempts follow one another; only one that was handed back is counted again."""
    allowed, is_going = {0}, False
    for seq, event in run.events:
        attempt = event["attempt"]
        if event["kind"] == "run_started":
            fine = attempt - 1 in allowed
        elif event["kind"] == "run_ended":
            fine = attempt in allowed and attempt == run.attempt
        else:
            fine = is_going and attempt in allowed
        if not fine:
            yield f"event {seq} is out of place: {_told(run)}"
            return
        is_going = event["kind"] not in ("run_requeued", "run_ended")
        allowed = {attempt - 1, attempt} if event["kind"] == "run_requeued" else {attempt}


def _of_stories(run: Run, kind: Kind) -> Iterator[str]:
    """What is told of an attempt is what happened up to some point; of a completed one, all of it."""
    if kind not in _STORIES:
        return
    story: list[tuple[str, Any]] = []
    for _, event in run.events:
        if event["kind"] == "run_started":
            story = []
        elif event["kind"].startswith("pipe_"):
            story.append((event["kind"], event.get("pipe")))
            if story != _STORIES[kind][: len(story)] and run.state == "COMPLETED":
                yield f"an attempt is told wrongly: {story}"
    if run.state == "COMPLETED" and story != _STORIES[kind]:
        yield f"the last attempt is told in part: {_told(run)}"


def _of_effects(run: Run, kind: Kind, journal: Counter[str]) -> Iterator[str]:
    """Side effects: at least once where a run completed, at most once for each beginning."""
    effects = journal[run.run_id]
    if kind is Kind.PYTHON and effects > run.beginnings:
        yield f"did its work {effects} times and was begun {run.beginnings} times"
    if kind is Kind.PYTHON and run.state == "COMPLETED" and effects == 0:
        yield "completed without having done its work"


def _told(run: Run) -> str:
    return ", ".join(f"{seq} {event['kind']}/{event['attempt']}" for seq, event in run.events)


def faults_of_file(file: Path) -> list[str]:
    """What is wrong with a SQLite file, or with the locks of workers that are all gone."""
    with closing(sqlite3.connect(file)) as connection:
        answer = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    faults = [] if answer == ["ok"] else [f"the file is damaged: {answer}"]
    folder = file.with_name(f"{file.name}-workers")
    return faults + [f"the lock {lock.name} is held" for lock in folder.iterdir() if _is_held(lock)]


def _is_held(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
