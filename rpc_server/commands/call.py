"""`mthds-rpc call`: one call of a server that is started for it."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rpc_server.commands.call_params import ArgumentError, params_of
from rpc_server.commands.client import Client, Progress, ServerEnded
from rpc_server.commands.flags import add_settings_flags, flags_of, parser
from rpc_server.exit_statuses import CONFIGURATION_FAULT, INTERRUPTED
from rpc_server.settings.projects import project_root
from rpc_server.settings.settings import Flags, as_arguments, workspace_of
from rpc_server.wire.errors import CANCELLED

_DESCRIPTION = """\
Starts a server, calls METHOD, prints the result as JSON on stdout and ends. Everything else goes to stderr."""

_EPILOG = """\
examples:
  mthds-rpc call methods/list
  mthds-rpc call methods/inputs --method reports/summary.mthds
  mthds-rpc call execute --method reports/summary.mthds --inputs inputs.json
  mthds-rpc call execute --method invoices --input note="Pay today" --input document=@scan.pdf --input 'limits:=[1, 2]'
  mthds-rpc call execute --method invoices --run-mode dry --include usage --output
  mthds-rpc call validate --method reports/summary.mthds
  mthds-rpc call runs/list --param state=FAILED

`mthds-rpc call rpc.discover` describes every method and its params.
Ctrl-C cancels the run; a second one stops at once."""

_NO_WORKER = "mthds-rpc: the run is kept, and no worker is alive to take it up; `mthds-rpc worker` starts one"
_CANCELLING = "mthds-rpc: cancelling the run; Ctrl-C again stops at once"


def run(arguments: list[str]) -> int:
    """Make one call; the exit status says how it went."""
    options = _parser()
    chosen = options.parse_args(arguments)
    flags = flags_of(chosen)
    method_path, flags = _placed(chosen.method_path, flags)
    workspace, _ = workspace_of(flags.workspace)
    with Client(as_arguments(flags)) as client:
        try:
            params = params_of(
                method=method_path,
                workspace=workspace,
                inputs_file=chosen.inputs,
                input_items=chosen.input,
                param_items=chosen.param,
                named={
                    "pipe_code": chosen.pipe,
                    "run_mode": chosen.run_mode,
                    "include": chosen.include,
                    "timeout_s": chosen.timeout,
                    "run_id": chosen.run_id,
                },
            )
        except ArgumentError as error:
            options.error(str(error))
        try:
            response = _response(client, chosen.wire_method, params, chosen.progress)
        except ServerEnded as error:
            return _server_ended(error)
    return _report(chosen, response)


def _parser() -> argparse.ArgumentParser:
    options = parser("call", _DESCRIPTION, _EPILOG)
    options.add_argument(
        "wire_method", metavar="METHOD", help="execute, validate, methods/list, methods/inputs, models, …"
    )
    options.add_argument("--method", dest="method_path", metavar="PATH", help="the method: a .mthds file or a folder")
    options.add_argument("--inputs", metavar="FILE", help="a JSON or TOML file of inputs; - reads JSON from stdin")
    options.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="one input: NAME=TEXT, NAME=@FILE for a document or an image, NAME:=JSON; may be repeated",
    )
    options.add_argument("--pipe", metavar="CODE", help="the pipe to run; else the method's main pipe")
    options.add_argument("--run-mode", choices=("live", "dry"), help="dry calls no model: the outputs are made up")
    options.add_argument(
        "--include",
        type=lambda text: text.split(","),
        metavar="WHAT",
        help="what to add to the result: graph, usage, working_memory, separated by commas",
    )
    options.add_argument("--timeout", type=float, metavar="SECONDS", help="end the run after that long")
    options.add_argument("--run-id", metavar="ID", help="an id of your own for the run")
    options.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="any other param of METHOD; what is not JSON is taken as text; may be repeated",
    )
    options.add_argument("--output", action="store_true", help="print the main output alone: its text, else its JSON")
    options.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show each pipe as it starts and ends; on by itself where stderr is a terminal",
    )
    add_settings_flags(options)
    return options


def _placed(method: str | None, flags: Flags) -> tuple[str | None, Flags]:
    """The method's path as the server is to read it, and the flags with a workspace that holds it.

    Whoever types a path may have it read: outside the working directory, the workspace is the method's own project.
    """
    if method is None:
        return None, flags
    path = Path(method).expanduser()
    if flags.workspace is not None:
        return str(path.absolute()), flags
    resolved = path.resolve()
    workspace, _ = workspace_of(None)
    if workspace is not None and resolved.is_relative_to(workspace):
        return str(path), flags
    folder = resolved if resolved.is_dir() else resolved.parent
    return str(resolved), replace(flags, workspace=project_root(folder) or folder) if folder.is_dir() else flags


def _response(client: Client, method: str, params: Mapping[str, Any], wanted: bool | None) -> dict[str, Any]:
    shows = sys.stderr.isatty() if wanted is None else wanted
    if not shows:
        return _await(client, client.send(method, params))
    from rpc_server.commands.progress_display import progress_display

    with progress_display(sys.stderr) as display:
        request = client.send(method, params, progress=display)
        return _await(client, request, display)


def _await(client: Client, request: int, display: Progress | None = None) -> dict[str, Any]:
    try:
        return client.answer(request, display)
    except KeyboardInterrupt:
        print(_CANCELLING, file=sys.stderr)
        client.cancel(request)
        client.answer(request)
        raise


def _server_ended(error: ServerEnded) -> int:
    # A fault of the settings: the server has said it all.
    if error.status == CONFIGURATION_FAULT:
        return CONFIGURATION_FAULT
    print(f"mthds-rpc: the server ended before it answered ({error})", file=sys.stderr)
    return 1


def _report(chosen: argparse.Namespace, response: Mapping[str, Any]) -> int:
    from rpc_server.commands.output import explain_error, explain_faults, print_json

    if "error" in response:
        if not sys.stdout.isatty():
            print_json({"error": response["error"]})
        explain_error(response["error"])
        return INTERRUPTED if response["error"]["code"] == CANCELLED else 1
    result = response["result"]
    if chosen.output and isinstance(result, dict) and "output" in result:
        _print_output(result["output"])
    else:
        print_json(result)
    if isinstance(result, dict) and result.get("worker_alive") is False:
        print(_NO_WORKER, file=sys.stderr)
    if chosen.wire_method == "validate" and not result["is_valid"]:
        explain_faults(result.get("errors") or [])
        return 3
    return 0


def _print_output(output: Any) -> None:
    from rpc_server.commands.output import print_json, print_text

    if isinstance(output, dict) and output.keys() == {"text"} and isinstance(output["text"], str):
        print_text(output["text"])
    else:
        print_json(output)
