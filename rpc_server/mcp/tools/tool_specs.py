"""The nine tools that every workspace has: what each is called, takes and gives."""

from dataclasses import dataclass

from pydantic import BaseModel

from rpc_server.mcp.tools.run_results import PAGE_URI
from rpc_server.mcp.tools.tool_schemas import portable_input, portable_output
from schemas.json_types import Json
from schemas.params import (
    ExecuteParams,
    InputsParams,
    MethodsListParams,
    RunRef,
    RunResultParams,
    RunsListParams,
    StartParams,
    ValidateParams,
)
from schemas.results import InputsTemplate, MethodEntry, MethodsPage
from schemas.runs import RunPage, RunRecord, RunResult, StartAck
from schemas.validation import ValidationVerdict


class ListedMethod(MethodEntry):
    """A method, and the tool that runs it, where it has one of its own."""

    tool: str | None = None


class ListedMethods(MethodsPage):
    """What `list_methods` answers."""

    methods: list[ListedMethod]  # type: ignore[assignment]


_METHOD = ("method", "files", "pipe_code")
_RUN = (*_METHOD, "inputs", "run_mode", "include", "timeout_s", "run_id", "orchestration_mode")
_NEXT_CALL = {
    "type": "object",
    "description": "The tool to call next, and its arguments.",
    "properties": {"tool": {"type": "string"}, "arguments": {"type": "object"}},
}
_SHORT: Json = {
    "Problem": {"type": "object", "description": "Why it failed; `next_step` says what to change."},
    "ProblemItem": {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "location": {"type": "object", "description": "`file`, and one-based `line` and `column`."},
        },
    },
    "Usage": {"type": "object", "description": "Tokens and cost; `cost_usd` is null where no price is known."},
}
"""What a model needs to know of the larger shapes."""
_LEFT_OUT: Json = {
    "left_out": {
        "type": "array",
        "items": {"type": "string"},
        "description": "What was too large to be shown here.",
    },
    "output_preview": {"type": "string", "description": "The beginning of an output that was left out."},
    "resource": {"type": "string", "description": "The resource that holds what was left out."},
    "message": {"type": "string"},
    "problem": {"type": "object", "description": "Why the call failed; `next_step` says what to change."},
    "next_call": _NEXT_CALL,
}


@dataclass(frozen=True)
class ToolSpec:
    """One tool: what it takes and what it gives."""

    name: str
    title: str
    description: str
    params: type[BaseModel]
    arguments: tuple[str, ...]
    """The params that a model is offered; any other is taken all the same."""
    result: type[BaseModel]
    reads_only: bool = True
    is_task: bool = False
    is_drawn: bool = False


TOOLS = (
    ToolSpec(
        name="execute",
        title="Run a method",
        description=(
            "Run an MTHDS method and wait for its result. A method is a `.mthds` file, or a folder of them, "
            "that says step by step what AI models do with typed inputs. Name it by its path in the workspace; "
            'do not paste it. Example: {"method": "methods/invoice_triage", "inputs": {"invoice": '
            '"ACME, 120 EUR, due 2026-01-31"}}. `inputs_template` shows the inputs a method takes; a '
            'document or an image is given as {"path": "scans/page.pdf"}. `run_mode`: "dry" tries the '
            "method without calling any model. The result is in `output`. A long run returns its "
            "`pipeline_run_id` and `next_call`, and continues meanwhile."
        ),
        params=ExecuteParams,
        arguments=(*_RUN, "wait_s"),
        result=RunResult,
        reads_only=False,
        is_task=True,
        is_drawn=True,
    ),
    ToolSpec(
        name="start",
        title="Start a method",
        description=(
            "Start an MTHDS method and return at once with its `pipeline_run_id`; the run continues, even if "
            "this server ends. Only where runs are kept (orchestration mode `dbos` or another durable one); "
            'elsewhere call `execute` with a small `wait_s`. Takes what `execute` takes. Example: {"method": '
            '"methods/invoice_triage", "inputs": {"invoice": "…"}}. Then call `run_result`.'
        ),
        params=StartParams,
        arguments=_RUN,
        result=StartAck,
        reads_only=False,
        is_task=True,
        is_drawn=True,
    ),
    ToolSpec(
        name="validate",
        title="Check a method",
        description=(
            "Validate an MTHDS method without running it: syntax, types, and how its steps fit together. Call it "
            "after each change of a `.mthds` file. `is_valid` is the verdict; each of `errors` says what is "
            'wrong, with file, line and column. Example: {"method": "methods/invoice_triage"}, or, for a '
            'text that is not saved yet, {"files": {"draft.mthds": "domain = …"}}.'
        ),
        params=ValidateParams,
        arguments=("method", "files", "allow_signatures", "include", "graph_pipe_code", "orchestration_mode"),
        result=ValidationVerdict,
        is_drawn=True,
    ),
    ToolSpec(
        name="run_status",
        title="How a run stands",
        description=(
            "Say how a run stands: its state (QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED, TIMED_OUT), its "
            'times and, if it failed, why. Does not wait. Example: {"run_id": "4f1c…"}, the '
            "`pipeline_run_id` of an earlier answer."
        ),
        params=RunRef,
        arguments=("run_id", "orchestration_mode"),
        result=RunRecord,
        is_drawn=True,
    ),
    ToolSpec(
        name="run_result",
        title="The result of a run",
        description=(
            "Give the result of a run, waiting up to `wait_s` seconds for it. A run that has not ended then is "
            'no error: the answer says so, and to call again. Example: {"run_id": "4f1c…", "wait_s": 50}.'
        ),
        params=RunResultParams,
        arguments=("run_id", "wait_s", "orchestration_mode"),
        result=RunResult,
        is_drawn=True,
    ),
    ToolSpec(
        name="cancel_run",
        title="Stop a run",
        description=(
            "Stop a run, so that it calls no further model. A run that has ended stays as it is. Example: "
            '{"run_id": "4f1c…"}.'
        ),
        params=RunRef,
        arguments=("run_id", "orchestration_mode"),
        result=RunRecord,
        reads_only=False,
        is_drawn=True,
    ),
    ToolSpec(
        name="list_runs",
        title="List runs",
        description=(
            "List runs, newest first, with their states. `next_cursor` is there while more follow. Example: "
            '{"state": "FAILED", "limit": 10}.'
        ),
        params=RunsListParams,
        arguments=("state", "method", "since", "cursor", "limit", "orchestration_mode"),
        result=RunPage,
    ),
    ToolSpec(
        name="list_methods",
        title="List methods",
        description=(
            "List the methods of the workspace: the `path` to give to `execute`, name, description, the name "
            "of the `tool` that runs it, and for one that cannot be run, the `problem`. Example: {}."
        ),
        params=MethodsListParams,
        arguments=("cursor", "limit"),
        result=ListedMethods,
    ),
    ToolSpec(
        name="inputs_template",
        title="The inputs of a method",
        description=(
            "Give the inputs that a method takes: `json` is a form to fill in and pass to `execute` as "
            '`inputs`, `schema` says what each may hold. Example: {"method": "methods/invoice_triage"}.'
        ),
        params=InputsParams,
        arguments=_METHOD,
        result=InputsTemplate,
    ),
)


def definition_of(tool: ToolSpec) -> Json:
    """The `Tool` on the wire."""
    definition: Json = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": _input_schema(tool),
        "outputSchema": output_schema(tool.result),
        "annotations": {
            "title": tool.title,
            "readOnlyHint": tool.reads_only,
            "destructiveHint": tool.name == "cancel_run",
            "idempotentHint": tool.reads_only or tool.name == "cancel_run",
            "openWorldHint": tool.is_task,
        },
    }
    if tool.is_task:
        definition["execution"] = {"taskSupport": "optional"}
    if tool.is_drawn:
        definition["_meta"] = {"ui": {"resourceUri": PAGE_URI}, "ui/resourceUri": PAGE_URI}
    return definition


def _input_schema(tool: ToolSpec) -> Json:
    whole = tool.params.model_json_schema(by_alias=True)
    properties = {name: whole["properties"][name] for name in tool.arguments if name in whole["properties"]}
    required = [name for name in whole.get("required", []) if name in properties]
    return portable_input({**whole, "properties": properties, "required": required})[0]


def output_schema(result: type[BaseModel], output: Json | None = None) -> Json:
    """What a tool answers, as a model's JSON Schema; `output` is the schema of a run's own output, where it is known.

    Nothing is required: an answer may be that the run continues, or a problem.
    """
    whole = result.model_json_schema(mode="serialization", by_alias=True)
    whole["$defs"] = {**whole.get("$defs", {}), **_SHORT}
    schema = portable_output(whole)
    properties = {**schema.get("properties", {}), **_LEFT_OUT}
    if output is not None:
        properties["output"] = output
    schema = {name: value for name, value in schema.items() if name != "required"}
    return {**schema, "properties": properties}
