"""From the params of `execute` and `start` to the run they ask for."""

import time
import uuid

from rpc_server.calls.services import Services
from rpc_server.workspace.method_folders import entry_pipe
from schemas.params import RunParams
from schemas.problem import problem_error
from schemas.runs import RunRequest


async def run_request(services: Services, params: RunParams, mode: str) -> RunRequest:
    """The complete request: every path read and inlined, its id and deadline set.

    Raises `ProblemError` coded `request.*`, `input.*`, `method.*` or `security.*`.
    """
    run_id = _run_id(params)
    now = time.time()
    deadline = now + _timeout(params, services.settings.runs.max_timeout_s)
    method = await services.workspace.method_source(params)
    return RunRequest(
        run_id=run_id,
        method=method,
        orchestration_mode=mode,
        pipe_code=params.pipe_code or entry_pipe(method),
        inputs=await services.workspace.inputs(params.inputs),
        output_name=params.output_name,
        output_multiplicity=params.output_multiplicity,
        dynamic_output_concept_ref=params.dynamic_output_concept_ref,
        run_mode=params.run_mode or "live",
        include=params.include or [],
        created_at=now,
        deadline=deadline,
    )


def _run_id(params: RunParams) -> str:
    if params.run_id and params.pipeline_run_id and params.run_id != params.pipeline_run_id:
        raise problem_error(
            "request.invalid",
            "`run_id` and `pipeline_run_id` are two names for one thing, and they differ.",
            next_step=("change_input", "Give one of them."),
            params={"field": "run_id"},
        )
    return params.run_id or params.pipeline_run_id or str(uuid.uuid4())


def _timeout(params: RunParams, longest: float) -> float:
    if params.timeout_s is not None and params.timeout_s > longest:
        raise problem_error(
            "request.invalid",
            f"`timeout_s` is {params.timeout_s:g}, and this server lets a run take {longest:g} seconds at the most.",
            next_step=("change_input", "Ask for less, or raise `max_timeout_s` under [runs] in rpc_override.toml."),
            params={"field": "timeout_s", "limit_seconds": longest},
        )
    return params.timeout_s or longest
