"""Pipelex's own plugins at work in an engine: the tokens they serve, and a run or a validation by one of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mthds.protocol.models import ValidationReport
from pipelex.base_exceptions import PipelexError
from pipelex.core.pipes.pipe_output import PipeOutput
from pipelex.errors.bundle_validation_failure import BundleValidationFailure
from pipelex.pipe_run.delivery_assignment import DeliveryAssignment, StorageTarget
from pipelex.plugins.registrar import PluginOrigin
from pipelex.runtime_bridge.exceptions import MissingBundleValidatorError, MissingOrchestratorError
from pipelex.runtime_bridge.primitives.hydration import hydrate_working_memory
from pipelex.runtime_hub import get_bundle_validator_registry, get_orchestrator_registry
from pipelex.system.caller_identity import CallerIdentity
from pipelex.system.storage_scope import LOCAL_USER_ID

from orchestrators.engine.libraries import LibraryCache
from orchestrators.engine.model_decks import every_model
from orchestrators.engine.run import PreparedRun, prepared, result_of, run_failure
from orchestrators.engine.trees import MaterialisedTree
from orchestrators.engine.validation.validate import validate_by
from schemas.runs import RunEvent, RunRequest, RunResult, RunState, StartAck
from schemas.times import iso_time
from schemas.validation import ValidateRequest

if TYPE_CHECKING:
    from pipelex.pipelex import Pipelex
    from pipelex.plugins.orchestrator_registry import OrchestratorProtocol
    from pipelex.plugins.registrar import PluginRegistrar
    from pipelex.runtime_bridge.payloads import PipelexPipeRunOutput


def tokens(pipelex: "Pipelex") -> dict[str, dict[str, Any]]:
    """Token -> `{plugin, orchestrates, fire_and_forget, validates}`, of every token that an installed plugin serves.

    Pipelex's own are left out.
    """
    registrar = _registrar(pipelex)
    installed = {found.name for found in registrar.discoveries if found.origin == PluginOrigin.EXTERNAL}
    sources = {**registrar._bundle_validator_sources, **registrar._orchestrator_sources}  # noqa: SLF001
    return {
        token: {
            "plugin": plugin,
            "orchestrates": token in registrar.orchestrators,
            "fire_and_forget": token in registrar.orchestrators
            and registrar.orchestrators[token].supports_fire_and_forget,
            "validates": token in registrar.bundle_validators,
        }
        for token, plugin in sources.items()
        if plugin in installed
    }


async def execute(
    pipelex: "Pipelex",
    libraries: LibraryCache,
    run: RunRequest,
    digest: str,
    listener: Callable[[RunEvent], None] | None,
    begun: Callable[[], None],
) -> RunResult:
    """Run to the end in the orchestrator of `run.orchestration_mode`. `begun` is called once, before it has the job."""
    orchestrator = _orchestrator(run.orchestration_mode)
    async with prepared(libraries, run, digest, listener) as prepared_run, _mapped(pipelex, prepared_run):
        begun()
        output = await orchestrator.execute(pipe_job=prepared_run.job, delivery_assignment=None)
        return result_of(run, _typed(output))


async def start(
    pipelex: "Pipelex", libraries: LibraryCache, run: RunRequest, digest: str, begun: Callable[[], None]
) -> StartAck:
    """Hand the run to the orchestrator of `run.orchestration_mode`, its result to be delivered to the storage."""
    orchestrator = _orchestrator(run.orchestration_mode)
    # A graph and usage come with a result, and the result never comes here.
    unobserved = run.model_copy(update={"include": []})
    async with prepared(libraries, unobserved, digest, None) as prepared_run, _mapped(pipelex, prepared_run):
        begun()
        delivery = DeliveryAssignment(storage=StorageTarget())
        ack = await orchestrator.start(pipe_job=prepared_run.job, delivery_assignment=delivery)
    return StartAck.model_validate(
        {
            "pipeline_run_id": ack.pipeline_run_id,
            "orchestration_mode": run.orchestration_mode,
            "state": RunState.QUEUED,
            "created_at": iso_time(run.created_at),
            "workflow_id": ack.workflow_id,
        }
    )


async def validate(pipelex: "Pipelex", request: ValidateRequest, directory: Path) -> dict[str, Any]:
    """The verdict of the validator of `request.orchestration_mode`, as `schemas.validation.ValidationVerdict` dumps.

    `directory` is where trees may be written for the time of the call.
    """
    validator = get_bundle_validator_registry().get_optional(mode=request.orchestration_mode)
    if validator is None:
        raise MissingBundleValidatorError(mode=request.orchestration_mode)

    async def ask(
        tree: MaterialisedTree, sources: list[str] | None, graph_pipe: str | None
    ) -> ValidationReport[Any] | BundleValidationFailure:
        async with _mapped(pipelex):
            return await validator.validate_bundles(
                mthds_contents=tree.contents,
                mthds_sources=sources,
                allow_signatures=request.allow_signatures,
                library_dirs=None,
                caller_identity=CallerIdentity(user_id=LOCAL_USER_ID),
                graph_pipe_code=graph_pipe,
                submitted_files=None,
                method_dir=tree.path,
                methods_dirs=tree.methods_dirs or None,
                read_scope=LOCAL_USER_ID,
            )

    # A missing key is not a fault of the method.
    with every_model():
        return await validate_by(ask, request, directory)


def _orchestrator(mode: str) -> "OrchestratorProtocol":
    orchestrator = get_orchestrator_registry().get_optional(mode=mode)
    if orchestrator is None:
        raise MissingOrchestratorError(mode=mode)
    return orchestrator


@asynccontextmanager
async def _mapped(pipelex: "Pipelex", prepared_run: PreparedRun | None = None) -> AsyncIterator[None]:
    """Make a plugin's failure Pipelex's own: by its HTTP error mapper, and, in a run, as the failure of that run."""
    try:
        yield
    except Exception as error:
        mapped = _by_mapper(pipelex, error)
        if mapped is not None:
            raise mapped from error
        if isinstance(error, PipelexError) and prepared_run is not None:
            raise run_failure(prepared_run.job, error) from error
        raise


def _by_mapper(pipelex: "Pipelex", error: Exception) -> PipelexError | None:
    mappers = _registrar(pipelex).get_http_error_mappers()
    for kind in type(error).__mro__:
        if kind is PipelexError:
            return None
        if kind in mappers:
            return mappers[kind](error)
    return None


def _registrar(pipelex: "Pipelex") -> "PluginRegistrar":
    registrar = pipelex._plugin_registrar  # noqa: SLF001
    assert registrar is not None
    return registrar


def _typed(output: "PipelexPipeRunOutput") -> PipeOutput:
    """What came over the plugin's boundary as JSON, with its classes again; the run's library must be current."""
    return PipeOutput.model_validate(
        {
            "working_memory": hydrate_working_memory(output.output_dict),
            "pipeline_run_id": output.pipeline_run_id,
            "graph_spec": output.graph_spec_dump,
            "graph_assembly_error": output.graph_assembly_error,
            "tokens_usages": output.tokens_usages_dump,
            "usage_assembly_error": output.usage_assembly_error,
        },
        strict=False,
    )
