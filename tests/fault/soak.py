"""`make soak`: the crash campaign at length and every odd row, on SQLite and on Postgres, and what came of it."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fault.campaign import Plan, Report, campaign
from tests.fault.odd_campaign import OddReport, try_odd_rows
from tests.fault.odd_rows import oddities
from tests.support.postgres import postgres_server

_RUNS_PER_KILL = 15
_FEW_ATTEMPTS = 2


def main() -> int:
    """Run every campaign; 0 where all invariants held."""
    options = _options()
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="mthds-rpc-soak-", ignore_cleanup_errors=True) as folder:
        if options.kills:
            print(f"SQLite: {options.kills} kills, seed {options.seed}", flush=True)
            reports["SQLite"] = _sqlite(Path(folder) / "long", _plan(options.seed, options.kills))
        if options.few_kills:
            print(f"SQLite, {_FEW_ATTEMPTS} attempts at most: {options.few_kills} kills", flush=True)
            reports[f"SQLite, {_FEW_ATTEMPTS} attempts"] = _sqlite(
                Path(folder) / "few", _plan(options.seed, options.few_kills, _FEW_ATTEMPTS)
            )
        if options.postgres_kills:
            print(f"Postgres: {options.postgres_kills} kills", flush=True)
            reports["Postgres"] = _postgres(Path(folder) / "postgres", _plan(options.seed, options.postgres_kills))
        odd = _odd_rows(Path(folder)) if options.odd_rows else {}
    for line in _table(reports) if reports else ():
        print(line)
    for dialect, tried in odd.items():
        print(
            f"odd rows on {dialect}: {tried.rows:,}, and {tried.refused:,} that it refuses; faults: {len(tried.faults)}"
        )
    everything: dict[str, Report | OddReport] = {**reports, **odd}
    for name, report in everything.items():
        for fault in report.faults:
            print(f"{name}: {fault}", file=sys.stderr)
    return int(any(report.faults for report in everything.values()))


def _odd_rows(folder: Path) -> dict[str, OddReport]:
    reports = {}
    for dialect in ("sqlite", "postgres"):
        print(f"odd rows on {dialect}", flush=True)
        home = folder / f"odd-{dialect}"
        home.mkdir()
        reports[dialect] = try_odd_rows(home, dialect, oddities(dialect))
    return reports


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fault.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=220, help="on SQLite; 0 leaves the campaign out")
    parser.add_argument("--few-kills", type=int, default=30, help="on SQLite, where a run is given up early")
    parser.add_argument("--postgres-kills", type=int, default=40, help="on Postgres")
    parser.add_argument("--odd-rows", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _plan(seed: int, kills: int, max_attempts: int = Plan.max_attempts) -> Plan:
    return Plan(seed=seed, kills=kills, runs=_RUNS_PER_KILL * kills, max_attempts=max_attempts)


def _sqlite(home: Path, plan: Plan) -> Report:
    with campaign(home, plan) as opened:
        return opened.run()


def _postgres(home: Path, plan: Plan) -> Report:
    home.mkdir()
    with postgres_server(home) as server, campaign(home, plan, server) as opened:
        return opened.run()


def _table(reports: dict[str, Report]) -> Iterator[str]:
    """As it stands in docs/reliability.md."""
    yield f"| what | {' | '.join(reports)} |"
    yield f"|---|{'---|' * len(reports)}"
    for cells in zip(*(_lines(report) for report in reports.values()), strict=True):
        yield f"| {cells[0][0]} | {' | '.join(value for _, value in cells)} |"


def _lines(report: Report) -> list[tuple[str, str]]:
    strikes = ", ".join(f"{name} {count}" for name, count in sorted(report.strikes.items()))
    ended = ", ".join(f"{state} {count:,}" for state, count in sorted(report.ended.items()))
    return [
        ("runs acknowledged", f"{report.acknowledged:,}"),
        ("runs kept whose acknowledgement was lost", f"{report.unanswered:,}"),
        ("ended", ended),
        ("kills", f"{report.kills:,}"),
        ("what was done to whom", strikes),
        ("runs begun more than once", f"{report.begun_again:,}"),
        ("highest attempt", f"{report.highest_attempt}"),
        ("seconds", f"{report.seconds:.0f}"),
        ("invariants held", "no" if report.faults else "yes"),
    ]


if __name__ == "__main__":
    sys.exit(main())
