"""The params of every wire method, in the order in which they may be given by position."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from schemas.base import Closed
from schemas.runs import Include, RunMode, RunState

RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"

RunId = Annotated[
    str, Field(pattern=RUN_ID_PATTERN, description="A run id: letters, digits, `_` and `-`, at most 128 characters.")
]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Meta(Closed):
    """What rides beside the params: `progressToken` asks for progress notifications."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    progressToken: str | int | None = None


class WireParams(Closed):
    """The members every method takes."""

    meta: Annotated[Meta | None, Field(alias="_meta")] = None

    model_config = ConfigDict(extra="forbid", defer_build=True, populate_by_name=False)


class PathFile(Closed):
    """A file of the workspace, read by the server."""

    path: str


class Base64Entry(Closed):
    """A file's bytes in padded standard Base64."""

    base64: str


FileParam = str | Base64Entry | PathFile


class MethodParams(WireParams):
    """The method, given in exactly one of three ways."""

    files: Annotated[
        dict[str, FileParam] | None,
        Field(description="The method's files: tree path -> text, `{base64}`, or `{path}` inside the workspace."),
    ] = None
    method: Annotated[str | None, Field(description="A `.mthds` file or a method folder inside the workspace.")] = None
    mthds_contents: Annotated[list[str] | None, Field(min_length=1, description="The texts of loose bundles.")] = None
    dependencies: Annotated[
        dict[str, dict[str, FileParam]] | None,
        Field(description="Packages the method names by address: address -> its files."),
    ] = None
    orchestration_mode: Annotated[
        str | None,
        Field(min_length=1, description="Where to run; another than the default only where the deployment allows it."),
    ] = None


class RunParams(MethodParams):
    """What `execute` and `start` share."""

    pipe_code: Annotated[str | None, Field(min_length=1, description="The pipe to run; else the entry pipe.")] = None
    inputs: Annotated[
        dict[str, Any] | None,
        Field(description="Input name -> value. A file input may be `{path}` inside the workspace."),
    ] = None
    output_name: str | None = None
    output_multiplicity: bool | int | None = None
    dynamic_output_concept_ref: str | None = None
    run_mode: Annotated[
        RunMode | None, Field(description="`dry` calls no model and runs no Python: outputs are made up.")
    ] = None
    include: Annotated[list[Include] | None, Field(description="What to add to the result besides the output.")] = None
    timeout_s: Annotated[Seconds | None, Field(description="Seconds until the run ends as `run.timed_out`.")] = None
    run_id: Annotated[RunId | None, Field(description="The caller's own id for the run.")] = None
    pipeline_run_id: Annotated[RunId | None, Field(description="The protocol's name for `run_id`.")] = None


class ExecuteParams(RunParams):
    """`execute`: run and wait."""

    wait_s: Annotated[
        Seconds | None,
        Field(
            description="Seconds to wait; then the answer is the run id and what to call next, and the run continues."
        ),
    ] = None


class StartParams(RunParams):
    """`start`: run, without waiting."""


class ValidateParams(MethodParams):
    """`validate`: check a method without running it."""

    allow_signatures: Annotated[bool, Field(description="Dry-run pipes that are only declared.")] = False
    include: Annotated[list[Literal["graph"]] | None, Field(description="`graph` adds the dry-run graph.")] = None
    graph_pipe_code: Annotated[
        str | None, Field(min_length=1, description="The pipe to draw; else the entry pipe.")
    ] = None


class InputsParams(MethodParams):
    """`methods/inputs`: the fill-in template of a pipe's inputs."""

    pipe_code: Annotated[str | None, Field(min_length=1)] = None


class ModelsParams(WireParams):
    """`models`: what the configured backends can serve."""

    type: Annotated[
        Literal["llm", "extract", "img_gen", "search", "judgment"] | None, Field(description="One category alone.")
    ] = None


class MethodsListParams(WireParams):
    """`methods/list`: the methods of the workspace."""

    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class RunRef(WireParams):
    """One run."""

    run_id: RunId
    orchestration_mode: Annotated[str | None, Field(min_length=1)] = None


class RunResultParams(RunRef):
    """`runs/result`: wait up to `wait_s` seconds for it."""

    wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0


class RunWatchParams(RunRef):
    """`runs/watch`: events after `after`, then live ones, as progress notifications; answers when the run has ended."""

    after: Annotated[int, Field(ge=0)] = 0


class RunsListParams(WireParams):
    """`runs/list`: newest first."""

    state: RunState | None = None
    method: str | None = None
    since: Annotated[float | None, Field(allow_inf_nan=False, description="Seconds since the epoch.")] = None
    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    orchestration_mode: Annotated[str | None, Field(min_length=1)] = None
