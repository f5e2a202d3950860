"""The flags that set something, shared by the commands that read the settings."""

import argparse
import os
from argparse import ArgumentTypeError
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from rpc_server.exit_statuses import EXIT_STATUSES
from rpc_server.settings.settings import Flags


def parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser that ends its help with the exit statuses, and never guesses an abbreviated flag."""
    return argparse.ArgumentParser(
        prog=f"mthds-rpc {command}",
        description=description,
        epilog=f"{epilog}\n\n{EXIT_STATUSES}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `Flags`."""
    group = parser.add_argument_group("settings, which win over every file")
    group.add_argument(
        "--workspace",
        type=_folder,
        metavar="DIR",
        help="the folder that paths are read from and that is searched for methods, also as a file: URI; else the"
        " working directory, unless that is / or your home",
    )
    group.add_argument("--orchestration-mode", metavar="MODE", help="where runs happen; `mthds-rpc plugins` lists them")
    group.add_argument(
        "--allow-override",
        action=argparse.BooleanOptionalAction,
        help="whether a request may name another mode than the configured one",
    )
    group.add_argument(
        "--allow-python",
        action=argparse.BooleanOptionalAction,
        help="whether a method's own Python may run; it runs with your rights",
    )
    group.add_argument(
        "--trust-project",
        action="store_true",
        help="let the project's .pipelex settings count this once; `mthds-rpc trust DIR` for good",
    )
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a TOML file laid over all others: what would stand in api_override.toml under [api], in rpc_override.toml"
        " under [rpc], in rpc_NAME_override.toml under [rpc_NAME]",
    )
    group.add_argument(
        "--env-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a file of NAME=value lines, such as API keys; variables that are really set win; may be repeated",
    )


def _folder(text: str) -> Path:
    """A path, or the one that a `file:` URI names (RFC 8089), as editors give it."""
    if text[:5].lower() != "file:":
        return Path(text)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is no URI") from None
    path = os.fsdecode(unquote_to_bytes(parts.path))
    if parts.netloc.lower() not in ("", "localhost"):
        raise ArgumentTypeError(f"'{text}' names another machine, '{parts.netloc}'")
    if parts.query or parts.fragment or not path.startswith("/") or "\0" in path:
        raise ArgumentTypeError(f"'{text}' names no folder of this machine; give one such as file:///home/me/project")
    return Path(path)


def flags_of(arguments: argparse.Namespace) -> Flags:
    """What the flags say."""
    return Flags(
        orchestration_mode=arguments.orchestration_mode,
        allow_override=arguments.allow_override,
        allow_python=arguments.allow_python,
        workspace=arguments.workspace,
        trust_project=arguments.trust_project,
        config=arguments.config,
        env_files=tuple(arguments.env_file),
    )
