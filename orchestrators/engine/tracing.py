"""What of a run is traced: as little as its caller can do with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelex.config import get_config
from pipelex.graph.graph_tracer_manager import GraphTracerManager
from pipelex.runtime_hub import get_report_delegate, scoped_event_log
from pipelex.system.configuration.configs import PipelineExecutionConfig
from pipelex.system.pipe_run_mode import PipeRunMode

from orchestrators.engine.events import RunEventLog
from orchestrators.engine.libraries import LoadedLibrary
from orchestrators.engine.steps import steps_of
from schemas.runs import RunEvent, RunRequest

if TYPE_CHECKING:
    from pipelex.pipe_machinery.pipe_abstract import PipeAbstract
    from pipelex.system.trace_context import TraceContext


@dataclass(frozen=True)
class Wanted:
    """What a run has to report."""

    graph: bool
    usage: bool
    listener: Callable[[RunEvent], None] | None
    library_id: str

    @classmethod
    def of(cls, run: RunRequest, library: LoadedLibrary, listener: Callable[[RunEvent], None] | None) -> "Wanted":
        """Usage is kept where asked for, and wherever a live run may cost something."""
        may_cost = library.may_call_models and run.run_mode == "live"
        return cls(
            graph="graph" in run.include,
            usage=may_cost or "usage" in run.include,
            listener=listener,
            library_id=library.library_id,
        )

    def execution_config(self) -> PipelineExecutionConfig:
        """Pipelex's configuration for this run."""
        base = get_config().interpreter.pipeline_execution
        data = {
            "stuff_json_content": self.graph,
            "error_stack_traces": False,
            "pipe_and_concept_registry": self.graph,
        }
        inclusion = base.graph.data_inclusion.model_copy(update=data)
        return base.model_copy(
            update={
                "is_generate_graph": self.graph or self.listener is not None,
                "is_generate_usage": self.usage,
                "graph": base.graph.model_copy(update={"data_inclusion": inclusion}),
            }
        )


@contextmanager
def traced(run: RunRequest, pipe: "PipeAbstract", wanted: Wanted) -> Iterator["TraceContext | None"]:
    """Open Pipelex's tracer for the block, if anything of it is needed."""
    if not (wanted.graph or wanted.usage or wanted.listener):
        yield None
        return
    total = steps_of(wanted.library_id, pipe.pipe_ref) if wanted.listener is not None else None
    event_log = RunEventLog(run.run_id, wanted.listener, keep=wanted.graph or wanted.usage, total=total)
    tracers = GraphTracerManager.get_or_create_instance()
    reports = get_report_delegate()
    emits_graph = wanted.graph or wanted.listener is not None
    with scoped_event_log(event_log):
        context = tracers.open_tracer(
            graph_id=run.run_id,
            data_inclusion=wanted.execution_config().graph.data_inclusion,
            pipeline_ref_domain=pipe.domain_code,
            pipeline_ref_main_pipe=pipe.code,
            event_log=event_log if emits_graph else None,
            workflow_id="direct",
            pipeline_run_id=run.run_id,
            emit_graph_events=emits_graph,
            emit_usage_events=wanted.usage,
            describe_pipe_io=False,
            run_mode=pipe_run_mode(run),
        )
        if wanted.usage:
            reports.set_event_log(context_key=run.run_id, event_log=event_log, pipeline_run_id=run.run_id)
        try:
            yield context
        finally:
            tracers.close_tracer(run.run_id)
            reports.clear_event_log(context_key=run.run_id)


def pipe_run_mode(run: RunRequest) -> PipeRunMode:
    """Pipelex's name for the run's mode."""
    return PipeRunMode.DRY if run.run_mode == "dry" else PipeRunMode.LIVE
