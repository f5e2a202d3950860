"""Running a method: load or reuse its library, build the job, run it, shape what comes out."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mthds.protocol.problem.registry import CoreCode
from pipelex.base_exceptions import PipelexError
from pipelex.core.qualified_ref import QualifiedRef
from pipelex.interpreter_hub import (
    get_required_entry_pipe,
    get_required_pipe,
    get_selectable_own_pipe_refs,
)
from pipelex.pipe_run.pipe_job import PipeJob
from pipelex.pipe_run.pipe_router import PipeRouter
from pipelex.pipe_run.pipe_run import PipeRun
from pipelex.pipeline.exceptions import PipeExecutionError, PipelineExecutionError
from pipelex.pipeline.execution_seams import prepare_pipe_job
from pipelex.reporting.usage_records import TokensUsageRecord, dump_tokens_usage_records, make_tokens_usage_record
from pipelex.runtime_bridge.serialization import resolve_main_stuff_root_key
from pipelex.system.storage_scope import LOCAL_USER_ID

from orchestrators.artifact_scope import artifact_scope
from orchestrators.engine.libraries import LibraryCache, LoadedLibrary, entry_pipe_ref
from orchestrators.engine.tracing import Wanted, pipe_run_mode, traced
from schemas.problem import problem_error
from schemas.runs import ModelUsage, RunEvent, RunRequest, RunResult, Usage
from schemas.times import iso_now, iso_time

if TYPE_CHECKING:
    from pipelex.core.pipes.pipe_output import PipeOutput
    from pipelex.pipe_machinery.pipe_abstract import PipeAbstract

logger = logging.getLogger(__name__)

# Objects under these keys would be rebuilt as Python classes by Pipelex's own decoder.
_RESERVED_INPUT_KEYS = frozenset({"__class__", "__module__"})


@dataclass(frozen=True)
class PreparedRun:
    """A job that is ready to run."""

    job: PipeJob
    library: LoadedLibrary


async def execute(
    libraries: LibraryCache,
    run: RunRequest,
    digest: str,
    listener: Callable[[RunEvent], None] | None,
    begun: Callable[[], None],
) -> RunResult:
    """Run on this machine. `begun` is called once, before the first pipe."""
    async with prepared(libraries, run, digest, listener) as prepared_run:
        begun()
        try:
            output = await PipeRun(pipe_router=PipeRouter()).run(pipe_job=prepared_run.job)
        except PipelexError as error:
            raise run_failure(prepared_run.job, error) from error
        return result_of(run, output)


async def check(libraries: LibraryCache, run: RunRequest, digest: str) -> None:
    """Load the method and find its entry pipe; raises what a run of it would raise before its first pipe."""
    async with libraries.using(run.method, digest, dry=run.run_mode == "dry") as library:
        await entry_pipe(library, run.pipe_code)


@asynccontextmanager
async def prepared(
    libraries: LibraryCache, run: RunRequest, digest: str, listener: Callable[[RunEvent], None] | None
) -> AsyncIterator[PreparedRun]:
    """The job of `run`, with its library current and its trace open for the block."""
    _refuse_reserved_keys(run.inputs)
    scope = artifact_scope(run.run_id, run.orchestration_mode, iso_time(run.created_at), run.execution)
    async with libraries.using(run.method, digest, dry=run.run_mode == "dry") as library:
        pipe = await entry_pipe(library, run.pipe_code)
        wanted = Wanted.of(run, library, listener)
        with traced(run, pipe, wanted) as trace_context:
            with _inputs_at_fault(run.run_id):
                job = await prepare_pipe_job(
                    pipe=pipe,
                    library_id=library.library_id,
                    execution_config=wanted.execution_config(),
                    pipe_run_mode=pipe_run_mode(run),
                    pipeline_run_id=run.run_id,
                    user_id=LOCAL_USER_ID,
                    storage_scope=scope,
                    read_scope=scope,
                    inputs=run.inputs,
                    search_scope=_search_scope(pipe, run.pipe_code),
                    trace_context=trace_context,
                    output_name=run.output_name,
                    output_multiplicity=run.output_multiplicity,
                    dynamic_output_concept_ref=run.dynamic_output_concept_ref,
                )
            yield PreparedRun(job=job, library=library)


@contextmanager
def _inputs_at_fault(run_id: str) -> Iterator[None]:
    """Any failure while Pipelex shapes the inputs of a loaded method is the inputs' fault."""
    try:
        yield
    except PipelexError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        logger.warning("the inputs of the run %s cannot be read", run_id, exc_info=error)
        raise problem_error(
            "input.invalid",
            "An input is shaped as nothing that the method takes.",
            next_step=(
                "change_input",
                "Compare the inputs with what `methods/inputs` gives, then send the request again.",
            ),
            params={"input": "inputs"},
            run_id=run_id,
        ) from error


def run_failure(job: PipeJob, error: PipelexError) -> PipelineExecutionError:
    """What Pipelex calls the failure of a run in which `error` was raised; its problem is the root fault."""
    return PipelineExecutionError.make_for_run_failure(
        failure=error,
        run_mode=job.pipe_run_params.run_mode,
        entry_pipe_code=job.pipe.code,
        output_name=job.output_name,
    )


def result_of(run: RunRequest, output: "PipeOutput") -> RunResult:
    """The completed run, with what the caller asked to be included."""
    memory = output.working_memory
    name = resolve_main_stuff_root_key(pipe_output=output)
    stuff = memory.root.get(name)
    return RunResult(
        pipeline_run_id=run.run_id,
        orchestration_mode=run.orchestration_mode,
        created_at=iso_time(run.created_at),
        finished_at=iso_now(),
        main_stuff_name=name,
        concept=stuff.concept.concept_ref if stuff is not None else None,
        output=stuff.content.model_dump(mode="json", serialize_as_any=True) if stuff is not None else None,
        usage=_usage(run, output),
        graph=_graph(output) if "graph" in run.include else None,
        pipe_output=_pipe_output(output) if "working_memory" in run.include else None,
        run_mode=run.run_mode,
    )


def _usage(run: RunRequest, output: "PipeOutput") -> Usage | None:
    """What the run consumed. A live run that was not traced had no pipe that could call a model."""
    if output.tokens_usages is None and run.run_mode == "dry":
        return None
    records = [make_tokens_usage_record(record) for record in output.tokens_usages or []]
    usage = usage_of(records)
    if "usage" in run.include:
        usage.calls = [record.model_dump(mode="json", exclude_none=True) for record in records]
    return usage


def usage_of(records: list[TokensUsageRecord]) -> Usage:
    """Sum the records by model. A model without a price makes the total unknown."""
    by_model: dict[str, ModelUsage] = {}
    for record in records:
        tokens = record.nb_tokens_by_category
        name = record.inference_model_name
        so_far = by_model.get(name) or ModelUsage(model=name, cost_usd=0.0)
        known = so_far.cost_usd is not None and record.cost is not None
        by_model[name] = ModelUsage(
            model=name,
            input_tokens=so_far.input_tokens + tokens.get("input", 0),
            output_tokens=so_far.output_tokens + tokens.get("output", 0),
            cost_usd=(so_far.cost_usd or 0.0) + (record.cost or 0.0) if known else None,
        )
    models = list(by_model.values())
    return Usage(
        models=models,
        input_tokens=sum(model.input_tokens for model in models),
        output_tokens=sum(model.output_tokens for model in models),
        cost_usd=(
            None if any(model.cost_usd is None for model in models) else sum(model.cost_usd or 0.0 for model in models)
        ),
    )


async def entry_pipe(library: LoadedLibrary, pipe_code: str | None) -> "PipeAbstract":
    """The pipe of the current library that `pipe_code` names, or that a run naming none starts at."""
    if pipe_code:
        return get_required_entry_pipe(pipe_code=pipe_code)
    ref = await entry_pipe_ref(library)
    if ref is not None:
        return get_required_pipe(pipe_code=ref)
    raise (
        PipeExecutionError(message="No pipe_code was given and no bundle declares a main_pipe.")
        .with_error_code(CoreCode.REQUEST_PIPE_UNSPECIFIED)
        .with_params(candidates=sorted(get_selectable_own_pipe_refs()))
    )


def _search_scope(pipe: "PipeAbstract", pipe_code: str | None) -> str:
    """Where a bare concept code of the inputs is looked up first; a dependency's pipe keeps its package alias."""
    if pipe_code and QualifiedRef.has_cross_package_prefix(pipe_code):
        alias, _ = QualifiedRef.split_cross_package_ref(pipe_code)
        return f"{alias}->{pipe.domain_code}"
    return pipe.domain_code


def _graph(output: "PipeOutput") -> dict[str, Any] | None:
    if output.graph_spec is None:
        return None
    return output.graph_spec.model_dump(mode="json", serialize_as_any=True, by_alias=True)


def _pipe_output(output: "PipeOutput") -> dict[str, Any]:
    """The protocol's `pipe_output`, without the runtime's own plumbing."""
    dump = output.model_dump(mode="json", serialize_as_any=True, include={"working_memory", "pipeline_run_id"})
    if output.tokens_usages is not None:
        dump["tokens_usages"] = dump_tokens_usage_records(output.tokens_usages)
    return dump


def _refuse_reserved_keys(value: Any) -> None:
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            reserved = _RESERVED_INPUT_KEYS & node.keys()
            if reserved:
                raise problem_error(
                    "request.invalid",
                    f"An input holds the reserved key {sorted(reserved)[0]!r}.",
                    next_step=("change_input", "Remove the key, then send the request again."),
                    params={"field": "inputs"},
                )
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
