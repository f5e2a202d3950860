"""The plugin's parts: they run in this process, and say that they did."""

import asyncio
from typing import Any

from mthds.protocol.problem.registry import CoreCode
from pipelex.base_exceptions import PipelexError
from pipelex.errors.bundle_validation_failure import BundleValidationFailure
from pipelex.errors.problem import ProblemView
from pipelex.pipe_run.delivery_assignment import DeliveryAssignment
from pipelex.pipe_run.pipe_job import PipeJob
from pipelex.pipeline.direct_bundle_validator import DirectBundleValidator
from pipelex.pipeline.exceptions import ValidateBundleError
from pipelex.runtime_bridge.direct_orchestrator import DirectOrchestrator
from pipelex.runtime_bridge.payloads import PipelexPipeDispatchAck, PipelexPipeRunOutput


class TransportError(Exception):
    """No error of Pipelex: only the plugin's mapper knows what it means."""


class EchoUnavailableError(PipelexError):
    """What a transport error means."""

    error_code = CoreCode.RUNTIME_UNAVAILABLE


class EchoOrchestrator:
    """Runs a job where it stands; the name `void` cannot be reached, and `wait` never ends."""

    supports_fire_and_forget = True

    def __init__(self, *, is_booted: bool) -> None:
        self._is_booted = is_booted

    async def execute(
        self, *, pipe_job: PipeJob, delivery_assignment: DeliveryAssignment | None
    ) -> PipelexPipeRunOutput:
        self._reach(pipe_job)
        if pipe_job.working_memory.get_stuff_as_str("name") == "wait":
            await asyncio.Event().wait()
        return await DirectOrchestrator().execute(pipe_job=pipe_job, delivery_assignment=delivery_assignment)

    async def start(
        self, *, pipe_job: PipeJob, delivery_assignment: DeliveryAssignment | None
    ) -> PipelexPipeDispatchAck:
        self._reach(pipe_job)
        run_id = pipe_job.job_metadata.run_metadata.pipeline_run_id
        return PipelexPipeDispatchAck(pipeline_run_id=run_id, workflow_id=f"echo-{run_id}")

    def _reach(self, pipe_job: PipeJob) -> None:
        if not self._is_booted:
            raise TransportError("this process was not booted under pipelex_echo")
        if pipe_job.working_memory.get_stuff_as_str("name") == "void":
            raise TransportError("nothing there")


class EchoValidator:
    """Judges as Pipelex does, and refuses every method that speaks of the void."""

    async def validate_bundles(self, *, mthds_contents: list[str] | None, **arguments: Any) -> Any:
        if mthds_contents and "void" in mthds_contents[0]:
            refusal = ValidateBundleError("the void has no echo")
            return BundleValidationFailure(
                problem=refusal.to_problem(view=ProblemView.OPERATOR),
                validation_errors=refusal.validation_error_items(),
            )
        return await DirectBundleValidator().validate_bundles(mthds_contents=mthds_contents, **arguments)
