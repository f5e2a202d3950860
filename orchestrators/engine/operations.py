"""What an engine can be asked: the table of its operations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mthds.protocol.models import ModelCategory
from pipelex.pipeline.runner import PipelexMTHDSProtocol

from orchestrators.engine import run as running
from orchestrators.engine.engine import Engine
from schemas.runs import RunEvent, RunRequest


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
    result = await running.execute(engine.libraries, request, job.digest, job.listener, job.begun)
    return result.model_dump(mode="json", exclude_none=True)


async def check(engine: Engine, job: Job) -> Any:
    """Load a method and find its entry pipe: `RunRequest` -> null."""
    await running.check(engine.libraries, RunRequest.model_validate(job.payload), job.digest)


async def models(engine: Engine, job: Job) -> Any:
    """What the configured backends can serve: `{type?}` -> the protocol's model deck, with what lacks credentials."""
    category = job.payload.get("type")
    deck = await PipelexMTHDSProtocol().models(ModelCategory(category) if category else None)
    return {**deck.model_dump(mode="json"), "missing_credentials": engine.booted.models.missing_credentials}


OPERATIONS: dict[str, Operation] = {"execute": execute, "check": check, "models": models}
