"""`mthds-rpc doctor`: checks this machine and prints the entries for hosts."""

import os
import sys

from rpc_server.commands.checks import Finding, examine, key_names
from rpc_server.commands.flags import add_settings_flags, flags_of, parser
from rpc_server.commands.hosts import HOSTS, Launch, launch
from rpc_server.commands.output import print_json
from rpc_server.redaction import Redactor
from rpc_server.server import log_to_stderr
from rpc_server.settings.settings import load_settings
from schemas.shown_text import fit_line

_DESCRIPTION = """\
Checks this machine: versions, settings, workspace, trust, plugins, an engine that really boots, which model backends
have their keys (names only), what would be refused. Then prints the entry to paste into each host's settings.

Give it the flags that the server is to be started with; they end up in the entries."""

_EPILOG = """\
examples:
  mthds-rpc doctor
  mthds-rpc doctor --host claude-code --workspace ~/projects/reports
  mthds-rpc doctor --host codex --env-file ~/keys.env

status 1 says that something found keeps the server from working."""


def run(arguments: list[str]) -> int:
    """Check and print. Raises `ConfigurationFault`."""
    options = parser("doctor", _DESCRIPTION, _EPILOG)
    options.add_argument("--host", choices=sorted(HOSTS), help="print the entry for this host alone, without checking")
    options.add_argument("--json", action="store_true", help="print everything as one JSON object")
    add_settings_flags(options)
    chosen = options.parse_args(arguments)
    flags = flags_of(chosen)
    settings = load_settings(flags)
    log_to_stderr(Redactor({**os.environ, **settings.environment}))
    start = launch(flags, settings, key_names(settings))
    if chosen.host:
        _print_host(chosen.host, start)
        return 0
    findings: list[Finding] = []
    for finding in examine(flags, settings):
        findings.append(finding)
        if not chosen.json:
            _print_finding(finding)
    # The keys anew: the engine may have filled Pipelex's home just now.
    start = launch(flags, settings, key_names(settings))
    if chosen.json:
        entries = {name: host.entry(start) for name, host in HOSTS.items()}
        print_json({"findings": [vars(finding) for finding in findings], "entries": entries})
    else:
        _print_entries(start)
    return 1 if any(finding.mark == "fault" for finding in findings) else 0


def _print_finding(finding: Finding) -> None:
    print(f"{finding.mark:<6}{fit_line(finding.text, None)}", flush=True)
    if finding.remedy:
        print(f"      {fit_line(finding.remedy, None)}", flush=True)


def _print_entries(start: Launch) -> None:
    for host in HOSTS.values():
        print(f"\n--- {host.title}: {host.place}")
        print(host.entry(start))
        if host.note:
            print(f"    {host.note}")


def _print_host(name: str, start: Launch) -> None:
    """The entry alone on stdout, so that it can be sent to a file."""
    host = HOSTS[name]
    print(host.entry(start))
    print(f"mthds-rpc: for {host.title}, in {host.place}. {host.note}".rstrip(), file=sys.stderr)
