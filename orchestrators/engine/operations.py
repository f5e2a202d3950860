"""What an engine can be asked: the table of its operations."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from mthds.protocol.models import ModelCategory
from pipelex.pipeline.exceptions import ValidateBundleError
from pipelex.pipeline.runner import PipelexMTHDSProtocol

from orchestrators.engine import bridge
from orchestrators.engine import run as running
from orchestrators.engine.engine import Engine
from orchestrators.engine.outline import refuse_endless
from orchestrators.engine.pacing import bound_steps
from orchestrators.engine.problems import UNFORESEEN
from orchestrators.engine.signatures import signature as signature_of
from orchestrators.engine.templates import inputs_template
from orchestrators.engine.validation import validate as validation
from schemas.method_source import MethodSource
from schemas.problem import ProblemError, ProblemItem, faults_summary, problem_error
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
    if request.run_mode == "dry":
        await refuse_endless(request.method, engine.options.max_dry_steps, request.run_id)
    async with _refusals_located(engine, request.method, request.run_id):
        result = await running.execute(engine.libraries, request, job.digest, job.listener, job.begun)
    return result.model_dump(mode="json", exclude_none=True)


async def check(engine: Engine, job: Job) -> Any:
    """Load a method and find its entry pipe: `RunRequest` -> null."""
    request = RunRequest.model_validate(job.payload)
    async with _refusals_located(engine, request.method, request.run_id):
        await running.check(engine.libraries, request, job.digest)


async def validate(engine: Engine, job: Job) -> Any:
    """Judge a method: `ValidateRequest` -> `ValidationVerdict`."""
    request = ValidateRequest.model_validate(job.payload)
    await refuse_endless(request.method, engine.options.max_dry_steps)
    async with _judging(engine, request.method):
        return await validation.validate(request, engine.libraries.directory)


async def models(engine: Engine, job: Job) -> Any:
    """What the configured backends can serve: `{type?}` -> the protocol's model deck, with what lacks credentials."""
    category = job.payload.get("type")
    deck = await PipelexMTHDSProtocol().models(ModelCategory(category) if category else None)
    return {**deck.model_dump(mode="json"), "missing_credentials": engine.booted.models.missing_credentials}


async def inputs(engine: Engine, job: Job) -> Any:
    """The fill-in template of a pipe's inputs: `{method, pipe_code?}` -> `InputsTemplate`."""
    source = MethodSource.model_validate(job.payload["method"])
    await refuse_endless(source, engine.options.max_dry_steps)
    async with _refusals_located(engine, source):
        template = await inputs_template(engine.libraries, source, job.digest, job.payload.get("pipe_code"))
    return template  # noqa: RET504 - mypy takes the block for one that may swallow an error


async def signature(engine: Engine, job: Job) -> Any:
    """What a pipe takes and gives: `{method, pipe_code?}` -> `MethodSignature`."""
    source = MethodSource.model_validate(job.payload["method"])
    await refuse_endless(source, engine.options.max_dry_steps)
    async with _refusals_located(engine, source):
        signature = await signature_of(engine.libraries, source, job.digest, job.payload.get("pipe_code"))
    return signature  # noqa: RET504 - mypy takes the block for one that may swallow an error


async def bridge_tokens(engine: Engine, job: Job) -> Any:
    """What the installed Pipelex plugins serve: nothing -> token -> facts."""
    return bridge.tokens(engine.booted.pipelex)


async def bridge_execute(engine: Engine, job: Job) -> Any:
    """Run a method in a Pipelex plugin's orchestrator: `RunRequest` -> `RunResult`."""
    request = RunRequest.model_validate(job.payload)
    pipelex = engine.booted.pipelex
    async with _refusals_located(engine, request.method, request.run_id):
        result = await bridge.execute(pipelex, engine.libraries, request, job.digest, job.listener, job.begun)
    return result.model_dump(mode="json", exclude_none=True)


async def bridge_start(engine: Engine, job: Job) -> Any:
    """Hand a run to a Pipelex plugin's orchestrator: `RunRequest` -> `StartAck`."""
    request = RunRequest.model_validate(job.payload)
    async with _refusals_located(engine, request.method, request.run_id):
        ack = await bridge.start(engine.booted.pipelex, engine.libraries, request, job.digest, job.begun)
    return ack.model_dump(mode="json", exclude_none=True)


async def bridge_validate(engine: Engine, job: Job) -> Any:
    """Have a Pipelex plugin validate a method: `ValidateRequest` -> `ValidationVerdict`."""
    request = ValidateRequest.model_validate(job.payload)
    await refuse_endless(request.method, engine.options.max_dry_steps)
    async with _judging(engine, request.method):
        return await bridge.validate(engine.booted.pipelex, request, engine.libraries.directory)


OPERATIONS: dict[str, Operation] = {
    "execute": execute,
    "check": check,
    "validate": validate,
    "models": models,
    "inputs": inputs,
    "signature": signature,
    "bridge_tokens": bridge_tokens,
    "bridge_execute": bridge_execute,
    "bridge_start": bridge_start,
    "bridge_validate": bridge_validate,
}


@asynccontextmanager
async def _refusals_located(engine: Engine, method: MethodSource, run_id: str | None = None) -> AsyncIterator[None]:
    """Refuse a method that does not load, with every fault and its place, as `validate` would."""
    try:
        yield
    except (ValidateBundleError, *UNFORESEEN) as error:
        request = ValidateRequest(method=method, orchestration_mode="direct", allow_signatures=True, include=[])
        bound_steps(engine.options.max_dry_steps)
        async with _judging(engine, method):
            verdict = await validation.validate(request, engine.libraries.directory)
        faults = [ProblemItem.model_validate(fault) for fault in verdict.get("errors") or []]
        if faults:
            raise _invalid(faults, run_id) from error
        raise


def _judging(engine: Engine, method: MethodSource) -> AbstractAsyncContextManager[None, None]:
    """The lock for a method with Python: Pipelex imports each written copy of its tree, and only one at a time."""
    return engine.python_validation if method.python_files else nullcontext()


def _invalid(faults: list[ProblemItem], run_id: str | None) -> ProblemError:
    return problem_error(
        "method.invalid",
        faults_summary(faults),
        next_step=("change_method", "Fix each fault that `errors` lists, then send the request again."),
        errors=faults,
        run_id=run_id,
    )
