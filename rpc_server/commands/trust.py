"""`mthds-rpc trust`: which projects' own settings count."""

import sys
from pathlib import Path

from rpc_server.commands.flags import parser
from rpc_server.settings.environment import user_home
from rpc_server.settings.trust import distrust, trust, trust_file, trusted_projects

_DESCRIPTION = """\
A project may carry settings in its folder `.pipelex`: ours, and Pipelex's own, such as the address of a model service
that would receive your API key. They count only in a project you trust.

Trust belongs to the folder's path: what changes inside it later is trusted as well."""


def run(arguments: list[str]) -> int:
    """Trust a folder, trust it no longer, or list those that are trusted."""
    options = parser("trust", _DESCRIPTION)
    options.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="the project's folder")
    options.add_argument("--remove", action="store_true", help="trust DIR no longer")
    options.add_argument("--list", action="store_true", help="list the trusted folders")
    chosen = options.parse_args(arguments)
    if chosen.list == (chosen.directory is not None) or (chosen.remove and chosen.list):
        options.error("give either DIR or --list")
    if chosen.list:
        return _list()
    return _remove(chosen.directory) if chosen.remove else _trust(chosen.directory)


def _list() -> int:
    for path in trusted_projects():
        print(path)
    return 0


def _trust(given: Path) -> int:
    directory = given.resolve()
    if not directory.is_dir():
        return _refuse(f"{given} is not a folder")
    if directory in (user_home(), Path(directory.anchor)):
        return _refuse(f"{directory} is no project; name the project's own folder")
    trust(directory)
    print(f"{directory} is trusted; its settings count from the next start of a server (kept in {trust_file()}).")
    if not (directory / ".pipelex").is_dir():
        print(f"mthds-rpc: note: {directory} has no folder .pipelex, so there is nothing to count yet", file=sys.stderr)
    return 0


def _remove(given: Path) -> int:
    if not distrust(given):
        return _refuse(f"{given.resolve()} was not trusted; `mthds-rpc trust --list` shows what is")
    print(f"{given.resolve()} is no longer trusted.")
    return 0


def _refuse(why: str) -> int:
    print(f"mthds-rpc: {why}", file=sys.stderr)
    return 1
