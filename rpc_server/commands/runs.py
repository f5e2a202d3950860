"""`mthds-rpc runs`: the runs that are kept, for people. It opens the ledgers itself and needs no engine."""

import argparse
import os
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import anyio

from orchestrators.plugins.contract import PrunableLedger
from rpc_server.bootstrap import open_services
from rpc_server.calls import runs as wire
from rpc_server.calls.errors import problem_to_rpc_error
from rpc_server.calls.services import Services, mode_of_reading
from rpc_server.commands.flags import add_settings_flags, flags_of, parser
from rpc_server.commands.output import explain_error, print_json, print_text, table
from rpc_server.redaction import Redactor
from rpc_server.server import log_to_stderr
from rpc_server.settings.settings import load_settings
from schemas.params import RUN_ID_PATTERN, RunRef, RunResultParams, RunsListParams, RunWatchParams
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunState

_DESCRIPTION = """\
Shows the runs that a durable mode keeps, from any process, and ends or forgets them.

Where no mode is named, the configured one is asked, then the runs that this user's `dbos` keeps on this machine."""

_EPILOG = """\
examples:
  mthds-rpc runs list --state FAILED --since 2h
  mthds-rpc runs watch 3f1c…          its events from the first, then live, to its end
  mthds-rpc runs result 3f1c… --wait 60
  mthds-rpc runs cancel 3f1c…
  mthds-rpc runs prune --older-than 7d --keep 1000"""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

Action = Callable[[Services, argparse.Namespace], Awaitable[int]]


def run(arguments: list[str]) -> int:
    """Run one of the subcommands; the exit status. Raises `ConfigurationFault`, perhaps in a group."""
    options = _parser()
    chosen = options.parse_args(arguments)
    if (chosen.run_id is None) != (chosen.action in _WITHOUT_RUN):
        options.error(f"{chosen.action} takes {'no run id' if chosen.run_id else 'the id of a run'}")
    settings = load_settings(flags_of(chosen))
    redactor = Redactor({**os.environ, **settings.environment})
    log_to_stderr(redactor)

    async def act() -> int:
        async with open_services(settings, redactor, "reader") as services:
            try:
                return await _ACTIONS[chosen.action](services, chosen)
            except ProblemError as error:
                return _refused(error)

    return anyio.run(act)


def _parser() -> argparse.ArgumentParser:
    options = parser("runs", _DESCRIPTION, _EPILOG)
    options.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
    options.add_argument("run_id", nargs="?", type=_run_id, metavar="RUN", help="the run's id; not for list and prune")
    options.add_argument("--json", action="store_true", help="print JSON, a line for each event")
    options.add_argument("--state", choices=[state.value for state in RunState], help="list: runs in this state alone")
    options.add_argument("--method", metavar="PATH", help="list: runs of this method alone, as its caller named it")
    options.add_argument("--since", type=_seconds, metavar="AGE", help="list: runs of the last 90s, 30m, 2h, 7d")
    options.add_argument(
        "--limit", type=_count, default=50, metavar="N", help="list: how many at most; 50 unless given"
    )
    options.add_argument("--cursor", metavar="TEXT", help="list: continue where the list before ended")
    options.add_argument("--after", type=_count, default=0, metavar="N", help="watch: events after that number")
    options.add_argument("--wait", type=_duration, default=0.0, metavar="SECONDS", help="result: wait that long for it")
    options.add_argument("--older-than", type=_seconds, metavar="AGE", help="prune: runs that ended that long ago")
    options.add_argument("--keep", type=_count, metavar="N", help="prune: all but the newest N that have ended")
    add_settings_flags(options)
    return options


def _run_id(text: str) -> str:
    if not re.fullmatch(RUN_ID_PATTERN, text):
        raise argparse.ArgumentTypeError("no run can have this id: letters, digits, `_` and `-`, at most 128")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


def _duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not (seconds >= 0 and isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return seconds


def _seconds(text: str) -> float:
    try:
        seconds = float(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"'{text}' is not an age; give one such as 90s, 30m, 2h or 7d") from None
    if not (seconds >= 0 and isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"'{text}' is not an age")
    return seconds


async def _list(services: Services, chosen: argparse.Namespace) -> int:
    params = RunsListParams(
        state=chosen.state,
        method=chosen.method,
        since=None if chosen.since is None else datetime.now(UTC).timestamp() - chosen.since,
        cursor=chosen.cursor,
        limit=min(max(chosen.limit, 1), 1000),
        orchestration_mode=chosen.orchestration_mode,
    )
    page = await wire.list_runs(services, params)
    if chosen.json:
        print_json(page)
        return 0
    if not page["runs"]:
        print("no runs", file=sys.stderr)
        return 0
    rows = [("RUN", "STATE", "STARTED", "TOOK", "TRY", "METHOD"), *(_cells(record) for record in page["runs"])]
    print(table(rows))
    if "next_cursor" in page:
        print(f"more: --cursor {page['next_cursor']}", file=sys.stderr)
    return 0


def _cells(record: dict[str, Any]) -> tuple[str, ...]:
    return (
        record["pipeline_run_id"],
        record["state"],
        _local(record.get("started_at") or record["created_at"]),
        _took(record),
        str(record["attempt"]),
        record.get("method") or "-",
    )


def _local(time: str) -> str:
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _took(record: dict[str, Any]) -> str:
    if "started_at" not in record:
        return "-"
    end = datetime.fromisoformat(record["finished_at"]) if "finished_at" in record else datetime.now(UTC)
    seconds = (end - datetime.fromisoformat(record["started_at"])).total_seconds()
    return (
        f"{seconds:.1f} s"
        if seconds < 60
        else f"{seconds / 60:.1f} min"
        if seconds < 3600
        else f"{seconds / 3600:.1f} h"
    )


async def _show(services: Services, chosen: argparse.Namespace) -> int:
    record = await wire.get(services, RunRef(run_id=chosen.run_id, orchestration_mode=chosen.orchestration_mode))
    _print_record(record, chosen.json)
    return 0


def _print_record(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    problem = record.pop("problem", None)
    print(table((name, str(value)) for name, value in record.items()))
    if problem is not None:
        print_text(f"\n{problem['detail']} [{problem['code']}]\n  {problem['next_step']['detail']}")
    if record.get("worker_alive") is False:
        print("\nno worker is alive to take it up; `mthds-rpc worker` starts one", file=sys.stderr)


async def _watch(services: Services, chosen: argparse.Namespace) -> int:
    params = RunWatchParams(run_id=chosen.run_id, after=chosen.after, orchestration_mode=chosen.orchestration_mode)
    if chosen.json:
        end = await wire.watch_for(services, params, _print_event)
    else:
        from rpc_server.commands.progress_display import progress_display

        with progress_display(sys.stderr) as display:

            def show(event: RunEvent) -> None:
                display({"progress": event.seq, "message": event.message, "data": event.model_dump(mode="json")})

            end = await wire.watch_for(services, params, show)
        print(f"{end['pipeline_run_id']} {end['state']}")
    return 0 if end["state"] == RunState.COMPLETED else 1


def _print_event(event: RunEvent) -> None:
    print_json(event.model_dump(mode="json", exclude_none=True))


async def _result(services: Services, chosen: argparse.Namespace) -> int:
    params = RunResultParams(run_id=chosen.run_id, wait_s=chosen.wait, orchestration_mode=chosen.orchestration_mode)
    print_json(await wire.result(services, params))
    return 0


async def _cancel(services: Services, chosen: argparse.Namespace) -> int:
    ref = RunRef(run_id=chosen.run_id, orchestration_mode=chosen.orchestration_mode)
    _print_record(await wire.cancel(services, ref), chosen.json)
    return 0


async def _prune(services: Services, chosen: argparse.Namespace) -> int:
    if chosen.older_than is None and chosen.keep is None:
        print("mthds-rpc: give --older-than AGE, --keep N, or both", file=sys.stderr)
        return 2
    modes = [await mode_of_reading(services, chosen.orchestration_mode)]
    if chosen.orchestration_mode is None:
        modes += [mode for mode in services.plugins.local_ledgers() if mode not in modes]
    ledgers = [(await services.plugins.orchestrators.get(mode)).ledger for mode in modes]
    prunable = [ledger for ledger in ledgers if isinstance(ledger, PrunableLedger)]
    if not prunable:
        print(f"mthds-rpc: the mode '{modes[0]}' keeps no runs that could be forgotten from here", file=sys.stderr)
        return 1
    pruned = sum([await ledger.prune(chosen.older_than, chosen.keep) for ledger in prunable])
    print(f"{pruned} runs forgotten")
    return 0


def _refused(error: ProblemError) -> int:
    rpc_error = problem_to_rpc_error(error.problem, error.rpc_code)
    if not sys.stdout.isatty():
        print_json({"error": rpc_error})
    explain_error(rpc_error)
    return 1


_WITHOUT_RUN = ("list", "prune")
_ACTIONS: dict[str, Action] = {
    "list": _list,
    "show": _show,
    "watch": _watch,
    "result": _result,
    "cancel": _cancel,
    "prune": _prune,
}
