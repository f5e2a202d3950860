"""What an engine can be asked: the table of its operations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mthds.protocol.models import ModelCategory
from pipelex.pipeline.exceptions import ValidateBundleError
from pipelex.pipeline.runner import PipelexMTHDSProtocol

from orchestrators.engine import bridge
from orchestrators.engine import run as running
from orchestrators.engine import validate as judging
from orchestrators.engine.engine import Engine
from orchestrators.engine.problems import problem_of
from orchestrators.engine.templates import inputs_template
from schemas.method_source import MethodSource
from schemas.problem import ProblemError, ProblemItem
from schemas.runs import RunEvent, RunRequest
from schemas.validation import ValidateRequest


@dataclass(frozen=True)
class Job:
    """One request to an engine and what it may say before its answer."""

    payload: dict[str, Any]
    digest: str
    listener: Callable[[RunEvent], None] | None
    begun: Callable[[], None]


Operation = Callable[[Engine, Job], Awaitable[Any]]


async def execute(engine: Engine, job: Job) -> Any:
    """Run a method to its end: `RunRequest` -> `RunResult`."""
    request = RunRequest.model_validate(job.payload)
    try:
        result = await running.execute(engine.libraries, request, job.digest, job.listener, job.begun)
    except ValidateBundleError as error:
        raise await _located(engine, request.method, error, request.run_id) from error
    return result.model_dump(mode="json", exclude_none=True)


async def check(engine: Engine, job: Job) -> Any:
    """Load a method and find its entry pipe: `RunRequest` -> null."""
    request = RunRequest.model_validate(job.payload)
    try:
        await running.check(engine.libraries, request, job.digest)
    except ValidateBundleError as error:
        raise await _located(engine, request.method, error, request.run_id) from error


async def validate(engine: Engine, job: Job) -> Any:
    """Judge a method: `ValidateRequest` -> `ValidationVerdict`."""
    return await judging.validate(ValidateRequest.model_validate(job.payload), engine.libraries.directory)


async def models(engine: Engine, job: Job) -> Any:
    """What the configured backends can serve: `{type?}` -> the protocol's model deck, with what lacks credentials."""
    category = job.payload.get("type")
    deck = await PipelexMTHDSProtocol().models(ModelCategory(category) if category else None)
    return {**deck.model_dump(mode="json"), "missing_credentials": engine.booted.models.missing_credentials}


async def inputs(engine: Engine, job: Job) -> Any:
    """The fill-in template of a pipe's inputs: `{method, pipe_code?}` -> `InputsTemplate`."""
    source = MethodSource.model_validate(job.payload["method"])
    try:
        return await inputs_template(engine.libraries, source, job.digest, job.payload.get("pipe_code"))
    except ValidateBundleError as error:
        raise await _located(engine, source, error) from error


async def bridge_tokens(engine: Engine, job: Job) -> Any:
    """What the installed Pipelex plugins serve: nothing -> token -> facts."""
    return bridge.tokens(engine.booted.pipelex)


async def bridge_execute(engine: Engine, job: Job) -> Any:
    """Run a method in a Pipelex plugin's orchestrator: `RunRequest` -> `RunResult`."""
    request = RunRequest.model_validate(job.payload)
    pipelex = engine.booted.pipelex
    try:
        result = await bridge.execute(pipelex, engine.libraries, request, job.digest, job.listener, job.begun)
    except ValidateBundleError as error:
        raise await _located(engine, request.method, error, request.run_id) from error
    return result.model_dump(mode="json", exclude_none=True)


async def bridge_start(engine: Engine, job: Job) -> Any:
    """Hand a run to a Pipelex plugin's orchestrator: `RunRequest` -> `StartAck`."""
    request = RunRequest.model_validate(job.payload)
    ack = await bridge.start(engine.booted.pipelex, engine.libraries, request, job.digest, job.begun)
    return ack.model_dump(mode="json", exclude_none=True)


async def bridge_validate(engine: Engine, job: Job) -> Any:
    """Have a method judged by a Pipelex plugin: `ValidateRequest` -> `ValidationVerdict`."""
    request = ValidateRequest.model_validate(job.payload)
    return await bridge.validate(engine.booted.pipelex, request, engine.libraries.directory)


OPERATIONS: dict[str, Operation] = {
    "execute": execute,
    "check": check,
    "validate": validate,
    "models": models,
    "inputs": inputs,
    "bridge_tokens": bridge_tokens,
    "bridge_execute": bridge_execute,
    "bridge_start": bridge_start,
    "bridge_validate": bridge_validate,
}


async def _located(
    engine: Engine, method: MethodSource, error: ValidateBundleError, run_id: str | None = None
) -> ProblemError:
    """The refusal of a method with every fault's place, as `validate` would tell them."""
    problem = problem_of(error, run_id)
    request = ValidateRequest(method=method, orchestration_mode="direct", allow_signatures=True, include=[])
    verdict = await judging.validate(request, engine.libraries.directory)
    faults = [ProblemItem.model_validate(fault) for fault in verdict.get("errors") or []]
    return ProblemError(problem.model_copy(update={"errors": faults}) if faults else problem)
