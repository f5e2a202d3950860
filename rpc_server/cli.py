"""The command line. It imports only what the given command needs: `serve` has to be up in a moment."""

import sys

# Command -> the module that runs it, and what it does.
COMMANDS = {
    "serve": ("rpc_server.commands.serve", "speak JSON-RPC and MCP on stdin and stdout; what an editor or host starts"),
    "worker": ("rpc_server.commands.worker", "run what was started in a durable mode, whoever started it"),
    "runs": ("rpc_server.commands.runs", "list, show, watch, cancel and prune the runs that are kept"),
    "call": ("rpc_server.commands.call", "call one method of a server that is started for it, and print the answer"),
    "plugins": ("rpc_server.commands.plugins", "list the installed plugins and the orchestration modes they serve"),
    "config": ("rpc_server.commands.config", "show every setting and the file it came from"),
    "doctor": ("rpc_server.commands.doctor", "check this machine, and print the entry to paste into a host's settings"),
    "trust": ("rpc_server.commands.trust", "let a project's own .pipelex settings count"),
    "version": ("rpc_server.commands.version", "print the versions"),
}

EXIT_STATUSES = """\
exit status:
  0    done: the run completed, the method is valid
  1    the call failed: the answer is an error
  2    the command line is wrong
  3    `call validate`: the method is not valid
  69   this system cannot run mthds-rpc (Windows: use WSL)
  78   a setting cannot be used; the line on stderr names file, line and key
  130  interrupted with Ctrl-C; the run was cancelled"""

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
    import atexit
    import os

    try:
        status = main()
    except SystemExit as end:
        status = _status_of(end)
    except BaseException as error:  # noqa: BLE001 - told as the interpreter would tell it
        import traceback

        print(_masked("".join(traceback.format_exception(error)).rstrip()), file=sys.stderr)
        status = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(status)


def _status_of(end: SystemExit) -> int:
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


def _run(module: str, arguments: list[str]) -> int:
    from importlib import import_module

    try:
        status = import_module(module).run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except Exception as error:
        fault = _configuration_fault(error)
        if fault is None:
            raise
        print(_masked(f"mthds-rpc: {fault}"), file=sys.stderr)
        return 78
    return int(status)


def _masked(text: str) -> str:
    """What went wrong, without the secrets of the environment."""
    import os

    from rpc_server.redaction import Redactor

    return Redactor(os.environ).line(text)


def _configuration_fault(error: Exception) -> Exception | None:
    from rpc_server.documents import ConfigurationFault

    return error if isinstance(error, ConfigurationFault) else None


def _silence_stdout() -> None:
    """The reader of stdout is gone: let the interpreter's last flush go nowhere."""
    import os

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


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
