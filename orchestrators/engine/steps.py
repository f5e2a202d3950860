"""How many pipes a run will start, as far as the method says before it runs."""

from functools import lru_cache

from pipelex.interpreter_hub import get_optional_pipe
from pipelex.pipe_controllers.batch.pipe_batch import PipeBatch
from pipelex.pipe_controllers.binding.binding_step import BindingStep
from pipelex.pipe_controllers.condition.pipe_condition import PipeCondition
from pipelex.pipe_controllers.parallel.pipe_parallel import PipeParallel
from pipelex.pipe_controllers.sequence.pipe_sequence import PipeSequence
from pipelex.pipe_controllers.sub_pipe import SubPipe
from pipelex.pipe_machinery.pipe_abstract import PipeAbstract


@lru_cache(maxsize=256)
def steps_of(library_id: str, pipe_ref: str) -> int:
    """The pipes that a run of `pipe_ref` starts, itself included, `library_id` being the current library.

    A condition counts its longest branch and a batch one item, so that a run may start fewer pipes, or more.
    """
    return _Steps().of(pipe_ref, frozenset())


class _Steps:
    """Counts each pipe of a tree once, however often it is used."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}

    def of(self, pipe_ref: str, above: frozenset[str]) -> int:
        """The steps of a pipe below the pipes `above`; one for a pipe that is among them, or is not there."""
        pipe = get_optional_pipe(pipe_code=pipe_ref)
        if pipe is None or pipe.pipe_ref in above:
            return 1
        if pipe.pipe_ref not in self._counted:
            self._counted[pipe.pipe_ref] = 1 + self._below(pipe, above | {pipe.pipe_ref})
        return self._counted[pipe.pipe_ref]

    def _below(self, pipe: PipeAbstract, above: frozenset[str]) -> int:
        match pipe:
            case PipeSequence():
                return sum(self._step(step, above) for step in pipe.sequential_sub_pipes)
            case PipeParallel():
                return sum(self._step(step, above) for step in pipe.parallel_sub_pipes)
            case PipeCondition():
                return max((self.of(code, above) for code in pipe.pipe_dependencies()), default=0)
            case PipeBatch():
                return self.of(pipe.branch_pipe_code, above)
        return 0

    def _step(self, step: SubPipe | BindingStep, above: frozenset[str]) -> int:
        """A binding is reported like a pipe; a step that batches runs inside a batch that Pipelex adds."""
        if isinstance(step, BindingStep):
            return 1
        return self.of(step.pipe_code, above) + (1 if step.batch_params else 0)
