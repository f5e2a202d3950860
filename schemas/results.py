"""The results of the wire methods that are neither runs nor verdicts."""

from typing import Annotated, Any

from pydantic import Field

from schemas.base import Open
from schemas.problem import Problem


class VersionInfo(Open):
    """`version`: the protocol's handshake with this server's own facts."""

    protocol_version: str
    runner_version: str
    implementation: str
    implementation_version: str
    runtime_version: str
    python_version: str
    orchestration_mode: str


class ModelInfo(Open):
    """One entry of the model deck; `type` is its category."""

    name: str
    type: str | None = None


class ModelDeck(Open):
    """`models`: the deck of model presets, and the backends that are left out for want of a key."""

    models: list[ModelInfo]
    aliases: Annotated[dict[str, dict[str, str]], Field(default_factory=dict)]
    """Category -> alias -> the model it stands for."""
    waterfalls: Annotated[dict[str, dict[str, list[str]]], Field(default_factory=dict)]
    """Category -> name -> the models tried in turn."""
    missing_credentials: Annotated[dict[str, list[str]], Field(default_factory=dict)]
    """Backend that is left out -> the variables it needs."""


class MethodEntry(Open):
    """One method of the workspace."""

    path: str
    """What to give as `method`: relative to the workspace."""
    name: str
    description: str | None = None
    main_pipe: str | None = None
    domain: str | None = None
    problem: Problem | None = None
    """Why it cannot be read, if it cannot."""


class MethodsPage(Open):
    """`methods/list`: one page; `next_cursor` is absent on the last."""

    methods: list[MethodEntry]
    next_cursor: str | None = None
    truncated: bool = False
    """Whether the scan stopped at a limit before it had seen everything."""


class InputsTemplate(Open):
    """`methods/inputs`: what to fill in, as JSON and as TOML text, and the JSON Schema of each input."""

    pipe: str
    json_: Annotated[dict[str, Any], Field(alias="json")]
    toml: str
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class MethodSignature(Open):
    """What an engine reports of a method that is offered as a tool."""

    pipe: str
    description: str | None = None
    inputs: dict[str, Any]
    """JSON Schema of the inputs, each in its simplest form: a text, a number, a path, an object, or a list of such."""
    output: dict[str, Any]
    """JSON Schema of `RunResult.output`."""
    output_concept: str
    """`domain.Concept`, with `[]` or `[n]` behind it for a list."""
    output_description: str | None = None
    output_optional: bool = False
    """Whether a run that completes may have no output."""
    file_inputs: Annotated[list[str], Field(default_factory=list)]
    """The inputs that are documents or images, or lists of such."""
    envelopes: Annotated[dict[str, str], Field(default_factory=dict)]
    """Input name -> concept, of the inputs whose content a run takes only as `{concept, content}`."""


class WatchEnd(Open):
    """`runs/watch`: the run has ended; `last_seq` is the number of its last event."""

    pipeline_run_id: str
    state: str
    last_seq: int
