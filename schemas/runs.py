"""A run: its request, its events, its result and its record."""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from schemas.base import Closed, Open
from schemas.method_source import MethodSource
from schemas.problem import Problem

Include = Literal["graph", "usage", "working_memory"]
RunMode = Literal["live", "dry"]


class RunState(StrEnum):
    """The MTHDS registry's run states."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @classmethod
    def of(cls, word: str) -> Self:
        """The state that is stored or sent as `word`.

        A later release may know more states than this one. Such a state keeps its word and is not final.
        Raises `ValueError` for what cannot be a state.
        """
        if word in cls.__members__:
            return cls(word)
        if not _STATE_WORD.fullmatch(word):
            raise ValueError("this is no state of a run")
        state = str.__new__(cls, word)
        state._name_ = state._value_ = word
        return state

    @property
    def is_known(self) -> bool:
        return self.value in type(self).__members__

    @property
    def is_final(self) -> bool:
        return self.is_known and self not in (RunState.QUEUED, RunState.RUNNING)


_STATE_WORD = re.compile(r"[A-Z][A-Z_]{0,39}")


def _readable_state(state: Any) -> Any:
    """A state of a later release is taken; what cannot be one is left to the enumeration, which refuses it."""
    return RunState.of(state) if isinstance(state, str) and _STATE_WORD.fullmatch(state) else state


_WORDS = f"{', '.join(list(RunState)[:-1])} or {list(RunState)[-1]}; a later release may know others."

AnyRunState = Annotated[
    RunState,
    BeforeValidator(_readable_state),
    WithJsonSchema({"type": "string", "description": _WORDS}),
]
"""The state of a run as any release may report it; `RunState` itself is what a caller may ask for."""


Execution = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""One of several runs that may have the same id, one after the other: a name that no other of them has."""


class RunRequest(Closed):
    """One run, complete and pinned: everything that was a path has been read and inlined."""

    run_id: str
    method: MethodSource
    orchestration_mode: str
    pipe_code: str | None = None
    inputs: dict[str, Any] | None = None
    output_name: str | None = None
    output_multiplicity: bool | int | None = None
    dynamic_output_concept_ref: str | None = None
    run_mode: RunMode = "live"
    include: Annotated[list[Include], Field(default_factory=list)]
    created_at: float
    """Seconds since the epoch."""
    deadline: float | None = None
    """Absolute, seconds since the epoch; a run that has not ended then ends as `run.timed_out`."""
    execution: Execution | None = None
    """Said by the worker that runs it, where an id may be used again; never by who asks for it."""


EventKind = Literal[
    "run_started",
    "pipe_started",
    "pipe_completed",
    "pipe_failed",
    "pipe_skipped",
    "run_requeued",
    "run_ended",
    "unreadable",
]


class RunEvent(Open):
    """One thing that happened in a run. `seq` counts from 1 without gaps within a run."""

    run_id: str
    seq: int
    kind: EventKind | str
    """A later release may know more kinds. `unreadable` stands for an event whose stored text is damaged."""
    at: Annotated[float, Field(allow_inf_nan=False)]
    """Seconds since the epoch."""
    pipe: str | None = None
    node_id: str | None = None
    parent_node_id: str | None = None
    path: str | None = None
    """Where in the method the pipe is called, such as `pages.digest/step_2`: the same in every run of the method."""
    started: int = 0
    """Pipes started so far in this run."""
    ended: int = 0
    """Pipes ended so far in this run."""
    total: int | None = None
    """Pipes that the method says will start: a condition counts its longest branch, a batch one item, so that `started`
    may pass it or never reach it."""
    attempt: int = 1
    message: str | None = None
    problem: Problem | None = None


class ModelUsage(Open):
    """Tokens one model took in a run. `cost_usd` is null where no price is known, 0 where it is free."""

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class Usage(Open):
    """What a run consumed. `cost_usd` is null when any model has no price."""

    models: Annotated[list[ModelUsage], Field(default_factory=list)]
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    calls: list[dict[str, Any]] | None = None
    """One record per call of a model, in the protocol's shape, where `include` has `usage`."""


class RunResult(Open):
    """A completed run. `output` is the main output's content alone, as the protocol dumps it."""

    pipeline_run_id: str
    orchestration_mode: str
    state: AnyRunState = RunState.COMPLETED
    created_at: str
    """ISO 8601, UTC."""
    finished_at: str | None = None
    main_stuff_name: str | None = None
    concept: str | None = None
    """The concept of the main output, `domain.Concept`."""
    output: Any = None
    usage: Usage | None = None
    graph: dict[str, Any] | None = None
    pipe_output: dict[str, Any] | None = None
    run_mode: RunMode = "live"
    next_call: dict[str, Any] | None = None
    """Set when `wait_s` ran out first: the method and params to call next."""


class StartAck(Open):
    """The run is safe: what the orchestrator promises it will finish."""

    pipeline_run_id: str
    orchestration_mode: str
    state: AnyRunState
    created_at: str
    worker_alive: bool | None = None


class RunRecord(Open):
    """A run as its ledger knows it."""

    pipeline_run_id: str
    orchestration_mode: str
    state: AnyRunState
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    pipe: str | None = None
    method: str | None = None
    """The method as its caller named it by path; absent where it was sent as text."""
    attempt: int = 1
    """Which attempt is or was the last; 0 for a run that has not begun."""
    problem: Problem | None = None
    event_count: int = 0
    worker_alive: bool | None = None
    """Whether any worker could take the run; only for a run that waits for one."""
    waiting_since: str | None = None
    """Since when the run has waited for a worker; only for one that waits, where its mode has workers."""
    execution: Annotated[SkipJsonSchema[Execution | None], Field(exclude=True)] = None
    """Which run of the id it is, where its mode may use an id again. Stays within the process."""


class RunQuery(Closed):
    """A page of a ledger, newest first."""

    state: RunState | None = None
    method: str | None = None
    since: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Seconds since the epoch."""
    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class RunPage(Open):
    """One page; `next_cursor` is absent on the last."""

    runs: list[RunRecord]
    next_cursor: str | None = None
