"""Every wire method of the plain side, in one place.

Models and handlers are named, not imported: a server answers `version` before it has loaded what the others need.
"""

import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rpc_server import versions
from rpc_server.calls.call_spec import CallSpec, CallTable, method_table
from rpc_server.wire.dispatch import Call, Handler

if TYPE_CHECKING:
    from rpc_server.calls.services import Services

ServicesWhenReady = Callable[[], Awaitable["Services"]]

_MODE_ERRORS = (
    "pipelex.deployment.orchestration_override_forbidden",
    "runtime.unsupported",
    "pipelex.plugin.not_found",
)
_METHOD_ERRORS = (
    "method.not_found",
    "method.package_invalid",
    "security.input_path_refused",
    "security.method_path_refused",
    "pipelex.deployment.custom_code_requires_sandbox",
)
_ENTRY_ERRORS = ("method.invalid", "request.pipe_not_found", "request.pipe_unspecified", "request.pipe_ambiguous")
_RUN_ERRORS = (
    *_MODE_ERRORS,
    *_METHOD_ERRORS,
    *_ENTRY_ERRORS,
    "request.idempotency_conflict",
    "input.missing",
    "input.unexpected",
    "input.invalid",
    "input.wrong_concept",
    "input.file_unreadable",
    "input.too_large",
    "security.input_url_refused",
    "pipe.function_raised",
    "pipe.output_invalid",
    "pipe.template_render_failed",
    "pipe.condition_unmatched",
    "model.unknown",
    "model.unavailable",
    "model.context_exceeded",
    "provider.rate_limited",
    "provider.unavailable",
    "provider.timeout",
    "provider.failed",
    "provider.credential_refused",
    "run.cancelled",
    "run.failed",
    "run.timed_out",
    "run.lost",
    "run.results_not_stored",
)
_RUN_REF_ERRORS = ("run.not_found", "runtime.unsupported")


def wire_methods(services: ServicesWhenReady, orchestration_mode: str) -> CallTable:
    """The table of a server whose configured mode is `orchestration_mode`."""

    def late(module: str, function: str, *, takes_call: bool = False) -> Handler:
        async def handler(call: Call, params: Any) -> Any:
            ready = await services()
            answer = getattr(import_module(f"rpc_server.calls.{module}"), function)
            return await (answer(ready, params, call) if takes_call else answer(ready, params))

        return handler

    def version(call: Call, params: None) -> Any:
        return {
            "protocol_version": versions.MTHDS_PROTOCOL,
            "runner_version": versions.SERVER,
            "implementation": "mthds-rpc",
            "implementation_version": versions.SERVER,
            "runtime_version": versions.PIPELEX,
            "python_version": ".".join(str(part) for part in sys.version_info[:3]),
            "orchestration_mode": orchestration_mode,
        }

    return method_table(
        [
            CallSpec(
                name="execute",
                params="schemas.params:ExecuteParams",
                handler=late("execute", "execute", takes_call=True),
                summary="Run a method and wait for its result.",
                result="schemas.runs:RunResult",
                errors=_RUN_ERRORS,
            ),
            CallSpec(
                name="start",
                params="schemas.params:StartParams",
                handler=late("start", "start"),
                summary="Start a method and return at once; refused where the orchestrator cannot keep the run.",
                result="schemas.runs:StartAck",
                errors=_RUN_ERRORS,
            ),
            CallSpec(
                name="validate",
                params="schemas.params:ValidateParams",
                handler=late("validate", "validate"),
                summary="Validate a method; a verdict for a valid and for an invalid one alike.",
                result="schemas.validation:ValidationVerdict",
                errors=(*_MODE_ERRORS, *_METHOD_ERRORS, "method.invalid"),
            ),
            CallSpec(
                name="models",
                params="schemas.params:ModelsParams",
                handler=late("models", "models"),
                summary="List the model deck, and the backends that are left out for want of a key.",
                result="schemas.results:ModelDeck",
            ),
            CallSpec(
                name="version",
                params=None,
                handler=version,
                summary="Say what is running: server, runtime and protocol versions, and the configured mode.",
                result="schemas.results:VersionInfo",
            ),
            CallSpec(
                name="methods/list",
                params="schemas.params:MethodsListParams",
                handler=late("workspace_calls", "list_methods"),
                summary="List the methods of the workspace.",
                result="schemas.results:MethodsPage",
                errors=("security.input_path_refused",),
            ),
            CallSpec(
                name="methods/inputs",
                params="schemas.params:InputsParams",
                handler=late("workspace_calls", "inputs"),
                summary="Give the fill-in template of a pipe's inputs, as JSON and as TOML.",
                result="schemas.results:InputsTemplate",
                errors=(*_METHOD_ERRORS, *_ENTRY_ERRORS),
            ),
            CallSpec(
                name="runs/get",
                params="schemas.params:RunRef",
                handler=late("runs", "get"),
                summary="Say how a run stands.",
                result="schemas.runs:RunRecord",
                errors=_RUN_REF_ERRORS,
            ),
            CallSpec(
                name="runs/list",
                params="schemas.params:RunsListParams",
                handler=late("runs", "list_runs"),
                summary="List runs, newest first.",
                result="schemas.runs:RunPage",
                errors=("runtime.unsupported",),
            ),
            CallSpec(
                name="runs/result",
                params="schemas.params:RunResultParams",
                handler=late("runs", "result"),
                summary="Give the result of a run, waiting for it if asked to.",
                result="schemas.runs:RunResult",
                errors=(
                    *(*_RUN_REF_ERRORS, "run.not_finished", "run.cancelled", "run.timed_out", "run.lost"),
                    "run.results_not_stored",
                ),
            ),
            CallSpec(
                name="runs/cancel",
                params="schemas.params:RunRef",
                handler=late("runs", "cancel"),
                summary="Stop a run; one that has ended stays as it is.",
                result="schemas.runs:RunRecord",
                errors=_RUN_REF_ERRORS,
            ),
            CallSpec(
                name="runs/watch",
                params="schemas.params:RunWatchParams",
                handler=late("runs", "watch", takes_call=True),
                summary="Follow a run to its end; its events arrive as progress notifications.",
                result="schemas.results:WatchEnd",
                errors=_RUN_REF_ERRORS,
            ),
            CallSpec(
                name="rpc.discover",
                params=None,
                handler=discover,
                summary="Describe every method, param, result and error as an OpenRPC document.",
                result={"type": "object", "description": "An OpenRPC document."},
            ),
        ]
    )


def discover(call: Call, params: None) -> Any:
    """The committed document (OpenRPC 1.3, "Service Discovery Method")."""
    import json
    from importlib import resources

    return json.loads(resources.files("schemas").joinpath("openrpc.json").read_text(encoding="utf-8"))
