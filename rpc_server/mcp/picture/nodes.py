"""The nodes and edges of a picture, and what Pipelex's graph of a method says of them."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.problem import Problem
from schemas.shown_text import MAX_TITLE

Status = Literal["pending", "running", "completed", "failed", "skipped"]

MAX_TEXT = 400
MAX_VALUE = 160

_RANK: tuple[Status, ...] = ("failed", "running", "completed", "skipped")


@dataclass
class Node:
    """A pipe as it is drawn, for all the times it runs."""

    id: str
    label: str
    kind: str
    parent: str | None = None
    description: str | None = None
    detail: str | None = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, Status] = field(default_factory=dict)
    """What became of each time the pipe began, by the id it had that time."""

    @property
    def status(self) -> Status:
        return next((status for status in _RANK if status in self.runs.values()), "pending")

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "id": self.id,
            "label": cut(self.label, MAX_TITLE),
            "kind": cut(self.kind, MAX_TITLE),
            "parent": self.parent,
            "status": self.status,
        }
        optional = {
            "description": self.description,
            "detail": self.detail,
            "inputs": [_shown(value) for value in self.inputs],
            "outputs": [_shown(value) for value in self.outputs],
            "times": len(self.runs) if len(self.runs) > 1 else None,
        }
        return said | {name: value for name, value in optional.items() if value}


@dataclass(frozen=True)
class Edge:
    """What leads from one node to another; `label` says what flows."""

    source: str
    target: str
    label: str
    kind: str


def node_of(raw: dict[str, Any], key: str, *, with_values: bool) -> Node:
    io = raw.get("io") or raw.get("node_io")
    specs = io if isinstance(io, dict) else {}
    inputs = [_io_of(spec, with_value=with_values) for spec in dicts(specs.get("inputs"))]
    outputs = [_io_of(spec, with_value=with_values) for spec in dicts(specs.get("outputs"))]
    bound = outputs[0]["name"] if outputs else ""
    return Node(
        id=key,
        label=text_of(raw.get("pipe_code")) or bound or text_of(raw.get("kind")) or "pipe",
        kind=text_of(raw.get("pipe_type")) or text_of(raw.get("kind")).capitalize() or "Pipe",
        description=cut(text_of(raw.get("description")), MAX_TEXT) or None,
        inputs=inputs,
        outputs=outputs,
    )


def _io_of(spec: dict[str, Any], *, with_value: bool) -> dict[str, Any]:
    concept = text_of(spec.get("concept"))
    count = spec.get("multiplicity")
    if concept and count is True:
        concept += "[]"
    elif concept and isinstance(count, int) and count > 1:
        concept += f"[{count}]"
    value = _value_text(spec) if with_value else ""
    return {
        "name": text_of(spec.get("name")),
        "concept": concept,
        "value": value,
        "digest": text_of(spec.get("digest")),
    }


def _shown(io: dict[str, Any]) -> dict[str, Any]:
    return {name: cut(value, MAX_TITLE) for name, value in io.items() if value and name != "digest"}


def _value_text(spec: dict[str, Any]) -> str:
    value = spec.get("data")
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if value is None:
        value = spec.get("preview")
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return cut(text, MAX_VALUE)


def flow(raw: dict[str, Any], source: Node, target: Node) -> str:
    """What flows along an edge, as `name: Concept`, or the edge's own label."""
    label = text_of(raw.get("label"))
    digests = {text_of(raw.get("source_stuff_digest")), text_of(raw.get("target_stuff_digest"))} - {""}
    for io in [*target.inputs, *source.outputs, *target.outputs]:
        if io["digest"] in digests or (not digests and io["name"] == label):
            return f"{io['name']}: {io['concept']}" if io["concept"] else str(io["name"])
    return label


def problem_text(problem: Any) -> str | None:
    """A problem's detail and what to do about it."""
    if isinstance(problem, Problem):
        problem = problem.model_dump(mode="json")
    if not isinstance(problem, dict):
        return None
    step = problem.get("next_step")
    said = [
        text_of(problem.get("detail")) or text_of(problem.get("title")),
        text_of(step.get("detail")) if isinstance(step, dict) else "",
    ]
    sentences = [text if text.endswith((".", "!", "?")) else f"{text}." for text in said if text]
    return cut(" ".join(sentences), MAX_TEXT) or None


def code_of(ref: str | None) -> str:
    return (ref or "").rpartition(".")[2]


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
