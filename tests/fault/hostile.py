"""`make hostile`: hostile messages and hostile files at length, and a table of what came of them.

python -m tests.fault.hostile --messages 1000000 --files 100000 --seed 1
python -m tests.fault.hostile --seed 1 --session 12          # one session of hostile messages again
python -m tests.fault.hostile --seed 1 --brief 7             # one brief session again
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from tests.fault.hostile_ends import run_brief
from tests.fault.hostile_messages import Session
from tests.fault.hostile_sessions import Finding, Report, run_session, smallest

_MESSAGES_OF_A_SESSION = 25_000
_MESSAGES_PER_BRIEF_SESSION = 5_000
_MOST_SHRUNK = 20
_SHOWN_BYTES = 600

Job = tuple[Callable[[Session], Report], Session]


def main() -> int:
    """Run it; 0 where nothing was found."""
    options = _options()
    began = time.monotonic()
    report = _run(_jobs(options), options.jobs)
    for line in _table(report, time.monotonic() - began):
        print(line)
    for number, (signature, finding) in enumerate(report.findings.items()):
        found = smallest(finding) if number < _MOST_SHRUNK and not options.as_found else finding
        for line in _told(signature, report.faults[signature], found):
            print(line, file=sys.stderr)
    return int(bool(report.faults))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fault.hostile", description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="servers at once")
    parser.add_argument("--session", type=int, action="append", default=[], help="run this session alone")
    parser.add_argument("--brief", type=int, action="append", default=[], help="run this brief session alone")
    parser.add_argument("--as-found", action="store_true", help="look for no smaller sample of a fault")
    return parser.parse_args()


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    """The sessions to run, the long ones first."""
    if options.session or options.brief:
        yield from ((run_session, Session(options.seed, n, _MESSAGES_OF_A_SESSION)) for n in options.session)
        yield from ((run_brief, Session(options.seed, n, 0)) for n in options.brief)
        return
    briefs = options.messages // _MESSAGES_PER_BRIEF_SESSION
    left = options.messages
    for number in range(-(-options.messages // _MESSAGES_OF_A_SESSION)):
        yield run_session, Session(options.seed, number, min(left, _MESSAGES_OF_A_SESSION))
        left -= _MESSAGES_OF_A_SESSION
    yield from ((run_brief, Session(options.seed, number, 0)) for number in range(briefs))


def _run(jobs: Iterator[Job], at_once: int) -> Report:
    report = Report()
    with ProcessPoolExecutor(at_once) as pool:
        running: Sequence[Future[Report]] = [pool.submit(run, session) for run, session in jobs]
        for number, done in enumerate(as_completed(running), 1):
            report.add(done.result())
            print(
                f"{number} of {len(running)}: {report.messages:,} messages, {report.faults.total():,} faults",
                file=sys.stderr,
                flush=True,
            )
    return report


def _table(report: Report, seconds: float) -> Iterator[str]:
    """As it stands in docs/reliability.md."""
    yield "| what | messages |"
    yield "|---|---|"
    for name, value in _lines(report, seconds):
        yield f"| {name} | {value} |"


def _lines(report: Report, seconds: float) -> Iterator[tuple[str, str]]:
    kinds = {
        kind: sum(count for name, count in report.faults.items() if name.startswith(f"{kind}:")) for kind in _KINDS
    }
    yield "messages sent", f"{report.messages:,}"
    yield "answers", f"{report.answers:,}"
    yield "servers", f"{report.servers:,}"
    yield "servers that died", f"{kinds['died']:,}"
    yield "ids that were not answered", f"{kinds['silent'] + kinds['frozen'] + kinds['lost']:,}"
    yield "answers `runtime.unexpected`", f"{kinds['unexpected']:,}"
    yield "other faults", f"{sum(count for kind, count in kinds.items() if kind not in _KINDS):,}"
    yield "answers after more than 2 s", f"{report.late:,}"
    yield "slowest answer of the server itself, s", f"{report.slowest_s:.2f}"
    yield "slowest answer with an engine or the disk, s", f"{report.slowest_engine_s:.2f}"
    yield "most memory of a server, MB", f"{report.memory / 1e6:.0f}"
    yield "seconds", f"{seconds:.0f}"


_KINDS = ("died", "silent", "frozen", "lost", "unexpected")


def _told(signature: str, count: int, finding: Finding) -> Iterator[str]:
    """A fault for a reader who wants to see it again."""
    session = finding.session
    yield f"\n## {signature} ({count} times)"
    how = "brief" if finding.kind in ("", "brief") else "session"
    where = f"{how} {session.number} ({session.kind}, {session.framing})"
    yield f"seed {session.seed}, {where}, near message {finding.message}"
    yield finding.fault.detail[-1500:]
    for body in finding.bodies[:5]:
        yield f"{body[:_SHOWN_BYTES]!r}{f' … {len(body):,} bytes' if len(body) > _SHOWN_BYTES else ''}"
    if len(finding.bodies) > 5:
        yield f"… {len(finding.bodies)} messages"


if __name__ == "__main__":
    sys.exit(main())
