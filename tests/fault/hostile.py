"""`make hostile`: hostile messages and hostile files at length, and a table of what came of them.

python -m tests.fault.hostile --messages 1000000 --files 100000 --seed 1
python -m tests.fault.hostile --seed 1 --session 12          # one session of hostile messages again
python -m tests.fault.hostile --seed 1 --brief 7             # one brief session again
python -m tests.fault.hostile --seed 1 --workspace 3         # one series of workspaces again
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import zip_longest

from tests.fault.hostile_ends import run_brief
from tests.fault.hostile_large import run_large
from tests.fault.hostile_messages import Session
from tests.fault.hostile_sessions import Finding, Report, run_session, smallest
from tests.fault.hostile_workspaces import run_workspaces, smallest_workspace

_MESSAGES_OF_A_SESSION = 25_000
_MESSAGES_PER_BRIEF_SESSION = 5_000
_MESSAGES_PER_LARGE_SESSION = 50_000
_FILES_OF_A_SERIES = 4_000
_MOST_SHRUNK = 30
_SHOWN_BYTES = 600
_SHOWN_MESSAGES = 5
_HOW = {"": "brief", "brief": "brief", "largest": "large"}
"""The option that repeats what a kind of batch was found by, where it is no long session."""
_OF_FILES = ("files", "used")
_UNANSWERED = ("silent", "frozen", "lost")

Job = tuple[Callable[[Session], Report], Session]


@dataclass(frozen=True)
class Part:
    """One half of the campaign, and how long it took."""

    name: str
    report: Report
    seconds: float


def main() -> int:
    """Run it; 0 where nothing was found."""
    options = _options()
    jobs = {"messages": list(_message_jobs(options)), "files": list(_file_jobs(options))}
    parts = [_run(name, some, options.jobs) for name, some in jobs.items() if some]
    for line in _table(parts):
        print(line)
    for part in parts:
        for number, signature in enumerate(part.report.findings):
            finding = part.report.findings[signature]
            if number < _MOST_SHRUNK and not options.as_found:
                finding = smallest_workspace(finding) if finding.kind in _OF_FILES else smallest(finding)
            for line in _told(signature, part.report.faults[signature], finding):
                print(line, file=sys.stderr, flush=True)
    return int(any(part.report.faults for part in parts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fault.hostile", description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="servers at once")
    parser.add_argument("--session", type=int, action="append", default=[], help="this session alone")
    parser.add_argument("--brief", type=int, action="append", default=[], help="this brief session alone")
    parser.add_argument("--large", type=int, action="append", default=[], help="this large session alone")
    parser.add_argument("--workspace", type=int, action="append", default=[], help="this series of workspaces alone")
    parser.add_argument("--as-found", action="store_true", help="look for no smaller sample of a fault")
    return parser.parse_args()


def _message_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """The sessions to run, the long ones first."""
    yield from ((run_session, Session(options.seed, number, _MESSAGES_OF_A_SESSION)) for number in options.session)
    yield from ((run_brief, Session(options.seed, number, 0)) for number in options.brief)
    yield from ((run_large, Session(options.seed, number, 0)) for number in options.large)
    for number, count in _shares(options.messages, _MESSAGES_OF_A_SESSION):
        yield run_session, Session(options.seed, number, count)
    for number in range(options.messages // _MESSAGES_PER_BRIEF_SESSION):
        yield run_brief, Session(options.seed, number, 0)
    for number in range(options.messages // _MESSAGES_PER_LARGE_SESSION):
        yield run_large, Session(options.seed, number, 0)


def _file_jobs(options: argparse.Namespace) -> Iterator[Job]:
    yield from ((run_workspaces, Session(options.seed, number, _FILES_OF_A_SERIES)) for number in options.workspace)
    for number, count in _shares(options.files, _FILES_OF_A_SERIES):
        yield run_workspaces, Session(options.seed, number, count)


def _shares(whole: int, most: int) -> Iterator[tuple[int, int]]:
    """`whole` in numbered shares of at most so many."""
    for number, done in enumerate(range(0, whole, most)):
        yield number, min(most, whole - done)


def _run(name: str, jobs: Sequence[Job], at_once: int) -> Part:
    report = Report()
    began = time.monotonic()
    with ProcessPoolExecutor(at_once) as pool:
        running = [pool.submit(run, session) for run, session in jobs]
        for number, done in enumerate(as_completed(running), 1):
            report.add(done.result())
            sent = report.files if name == "files" else report.messages
            print(f"{name}: {number} of {len(jobs)} done, {sent:,}, {report.faults.total():,} faults", file=sys.stderr)
    return Part(name, report, time.monotonic() - began)


def _table(parts: Sequence[Part]) -> Iterator[str]:
    """As it stands in docs/reliability.md."""
    yield f"| what | {' | '.join(part.name for part in parts)} |"
    yield f"|---|{'---|' * len(parts)}"
    for cells in zip_longest(*map(_lines, parts)):
        yield f"| {cells[0][0]} | {' | '.join(value for _, value in cells)} |"


def _lines(part: Part) -> Iterator[tuple[str, str]]:
    report = part.report
    kinds: Counter[str] = Counter()
    for signature, count in report.faults.items():
        kinds[signature.partition(":")[0]] += count
    unanswered = sum(kinds.pop(kind, 0) for kind in _UNANSWERED)
    yield "sent or written", f"{report.files if part.name == 'files' else report.messages:,}"
    yield "answers", f"{report.answers:,}"
    yield "servers", f"{report.servers:,}"
    yield "servers that died", f"{kinds.pop('died', 0):,}"
    yield "ids that were not answered", f"{unanswered:,}"
    yield "answers `runtime.unexpected`", f"{kinds.pop('unexpected', 0):,}"
    yield "other faults", f"{kinds.total():,}"
    yield "answers of the server itself after more than 2 s", f"{report.late:,}"
    yield "the slowest of them, s", f"{report.slowest_s:.2f}"
    yield "the slowest that needs an engine or the disk, s", f"{report.slowest_engine_s:.2f}"
    yield "the slowest while a message of 32 MiB is read, s", f"{report.slowest_large_s:.2f}"
    yield "most memory of a server, MB", f"{report.memory / 1e6:.0f}"
    yield "seconds", f"{part.seconds:.0f}"


def _told(signature: str, count: int, finding: Finding) -> Iterator[str]:
    """A fault for a reader who wants to see it again."""
    session = finding.session
    is_of_files = finding.kind in _OF_FILES
    how = "workspace" if is_of_files else _HOW.get(finding.kind, "session")
    unit = "round" if is_of_files else "message"
    yield f"\n## {signature} ({count} times)"
    where = f"{session.kind}, {session.framing}, {unit} {finding.message}"
    yield f"--seed {session.seed} --{how} {session.number}: {where}"
    yield finding.fault.detail[-1500:]
    for body in finding.bodies[:_SHOWN_MESSAGES]:
        yield f"{body[:_SHOWN_BYTES]!r}{f' … {len(body):,} bytes' if len(body) > _SHOWN_BYTES else ''}"
    if len(finding.bodies) > _SHOWN_MESSAGES:
        yield f"… {len(finding.bodies)} in all"


if __name__ == "__main__":
    sys.exit(main())
