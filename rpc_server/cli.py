"""The command line. It imports only what the given command needs: `serve` has to be up in a moment."""

import sys

from rpc_server.exit_statuses import CONFIGURATION_FAULT, EXIT_STATUSES, INTERRUPTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Command -> the module that runs it, and what it does.
COMMANDS = {
    "serve": ("rpc_server.commands.serve", "speak JSON-RPC and MCP on stdin and stdout; what an editor or host starts"),
    "worker": ("rpc_server.commands.worker", "run what was started in a durable mode, from any process"),
    "runs": ("rpc_server.commands.runs", "list, show, watch, cancel and prune the runs that are kept"),
    "call": ("rpc_server.commands.call", "call one method of a server that is started for it, and print the answer"),
    "plugins": ("rpc_server.commands.plugins", "list the installed plugins and the orchestration modes they serve"),
    "config": ("rpc_server.commands.config", "show every setting and the file it came from"),
    "doctor": ("rpc_server.commands.doctor", "check this machine, and print the entry to paste into a host's settings"),
    "trust": ("rpc_server.commands.trust", "let a project's own .pipelex settings count"),
    "version": ("rpc_server.commands.version", "print the versions"),
}

_WINDOWS = "mthds-rpc does not run on Windows itself. Use it inside WSL (`wsl --install`), where it runs as on Linux."


def main() -> int:
    """Run the command that the process was started with; the exit status."""
    arguments = sys.argv[1:]
    command = arguments[0] if arguments else None
    if command in (None, "-h", "--help", "help"):
        print(_help(), file=sys.stderr if command is None else sys.stdout)
        return 2 if command is None else 0
    if command in ("-V", "--version"):
        command = "version"
    if command not in COMMANDS:
        print(_unknown(command), file=sys.stderr)
        return 2
    if sys.platform == "win32" and command != "version":
        print(_WINDOWS, file=sys.stderr)
        return 69
    return _run(COMMANDS[command][0], arguments[1:])


def entry() -> None:
    """Run the command and end the process at once.

    The interpreter's own end may crash or hang in the threads of an orchestrator's SDK: temporalio's do not stop.
    """
    # Before any other module of mthds-rpc is imported.
    from mthds_rpc_start import put_pythonpath_last

    put_pythonpath_last()
    import atexit
    import os

    if sys.argv[1:2] != ["serve"] or {"-h", "--help"} & set(sys.argv):
        from rpc_server.commands.streams import prepare_standard_streams

        prepare_standard_streams()
    status = _ended(main)
    status = _ended(sys.stdout.flush, status)
    atexit._run_exitfuncs()
    os._exit(status)


def _ended(act: "Callable[[], int | None]", status: int = 0) -> int:
    """The exit status after `act`: what it answers, else `status`; of a failure, its own."""
    try:
        return act() or status
    except BaseException as error:  # noqa: BLE001 - printed as the interpreter would
        return _status_of(error)


def _status_of(error: BaseException) -> int:
    """Say what ended the command, where that is worth a word; the exit status."""
    from rpc_server.commands.streams import OutputFault
    from rpc_server.settings.layers import ConfigurationFault
    from rpc_server.wire.exception_groups import first_of

    known = first_of(error, SystemExit, KeyboardInterrupt, OutputFault, ConfigurationFault)
    if isinstance(known, SystemExit):
        return _status_of_exit(known)
    if isinstance(known, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(known, OutputFault):
        if not known.is_reader_gone:
            print(f"mthds-rpc: the output cannot be written: {known}", file=sys.stderr)
        return 1
    if isinstance(known, ConfigurationFault):
        print(_masked(f"mthds-rpc: {known}"), file=sys.stderr)
        return CONFIGURATION_FAULT
    import traceback

    print(_masked("".join(traceback.format_exception(error)).rstrip()), file=sys.stderr)
    return 1


def _status_of_exit(end: SystemExit) -> int:
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


def _run(module: str, arguments: list[str]) -> int:
    from importlib import import_module

    return int(import_module(module).run(arguments))


def _masked(text: str) -> str:
    """What went wrong, without the secrets of the environment."""
    import os

    from rpc_server.redaction import Redactor

    return Redactor(os.environ).line(text)


def _help() -> str:
    commands = "\n".join(f"  {name:<9} {summary}" for name, (_, summary) in COMMANDS.items())
    return f"""\
usage: mthds-rpc COMMAND [options]

Runs AI methods (.mthds bundles) for an editor, a script or an LLM host, over JSON-RPC on stdin and stdout.

commands:
{commands}

first steps:
  mthds-rpc call methods/list                                   what there is to run here
  mthds-rpc call execute --method PATH --inputs FILE            run a method
  mthds-rpc doctor --host claude-code                           the entry for a host's settings

`mthds-rpc COMMAND --help` explains a command.

{EXIT_STATUSES}"""


def _unknown(command: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(COMMANDS)}."
    return f"mthds-rpc: there is no command `{command}`; {hint}"


if __name__ == "__main__":
    entry()
