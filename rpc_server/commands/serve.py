"""`mthds-rpc serve`: the server itself."""

import os
import sys
from typing import TYPE_CHECKING

from rpc_server.transport.stdio import ProtocolFds, take_protocol_fds

if TYPE_CHECKING:
    from rpc_server.settings.settings import Flags

_DESCRIPTION = """\
Speaks JSON-RPC 2.0 and MCP on stdin and stdout, one message a line or with Content-Length headers, whichever the
client begins with. It is meant to be started by a program: `mthds-rpc doctor --host NAME` prints the entry for one.

It ends once stdin is at its end and every call is answered. Nothing but messages is ever written to stdout."""

_HINT = (
    "mthds-rpc serve speaks JSON-RPC on stdin and stdout and is meant to be started by a program; `mthds-rpc call` is"
    ' the command for people. Type a request such as {"jsonrpc":"2.0","id":1,"method":"version"}, or Ctrl-D to end.'
)


def run(arguments: list[str]) -> int:
    """Serve until stdin ends; the exit status. Raises `ConfigurationFault`."""
    if "-h" in arguments or "--help" in arguments:
        _parse(arguments)
    fds = take_protocol_fds()
    _hint(fds)
    flags, client_pid = _parse(arguments)
    from rpc_server.server import main_serve

    return main_serve(flags, fds, client_pid)


def _parse(arguments: list[str]) -> "tuple[Flags, int | None]":
    """The settings' flags, and the process that the server must not outlive."""
    from rpc_server.settings.settings import Flags

    if not arguments:
        # No parser for the usual case: it would cost a tenth of the time to the first answer.
        return Flags(), None
    from argparse import SUPPRESS

    from rpc_server.commands.flags import add_settings_flags, flags_of, parser

    serve = parser("serve", _DESCRIPTION)
    # vscode-languageclient adds these by itself; users do not type them.
    serve.add_argument("--stdio", action="store_true", help=SUPPRESS)
    serve.add_argument("--clientProcessId", "--client-process-id", type=_pid, help=SUPPRESS)
    add_settings_flags(serve)
    chosen = serve.parse_args(arguments)
    return flags_of(chosen), chosen.clientProcessId


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:12]) < 2**31):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"'{text}' is no process id")
    return int(text)


def _hint(fds: ProtocolFds) -> None:
    if os.isatty(fds.source):
        print(_HINT, file=sys.stderr)
