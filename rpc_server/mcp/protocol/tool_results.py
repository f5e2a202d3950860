"""From our answer to a `CallToolResult` that a model can use: bounded, and whole in each of its two forms.

Some hosts show a model only `content`, others only `structuredContent`, so each carries the essentials alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rpc_server.wire.json_text import encode
from schemas.json_types import Json
from schemas.shown_text import fit

_ESSENTIAL_TEXT = 400
"""Bytes that what is left of a bounded answer may still need beside its preview."""

_TOOL_NAMES = {
    "`methods/list`": "`list_methods`",
    "`methods/inputs`": "`inputs_template`",
    "`runs/get`": "`run_status`",
    "`runs/list`": "`list_runs`",
    "`runs/result`": "`run_result`",
    "`runs/watch`": "`run_result`",
    "`runs/cancel`": "`cancel_run`",
    "`rpc.discover` describes them": "the tool's input schema describes them",
    "params": "arguments",
    "param `": "argument `",
}
"""What the problems call by its name on the plain side, by the name that a model knows."""


def tool_result(structured: Json, *, links: Sequence[Json] = (), meta: Json | None = None) -> Json:
    """The result of a call that went well."""
    content = [{"type": "text", "text": encode(structured).decode()}, *links]
    result: Json = {"content": content, "structuredContent": structured, "isError": False}
    if meta:
        result["_meta"] = meta
    return result


def problem_result(problem: Json, limit: int) -> Json:
    """The result of a call that failed: the problem in words, and as it is."""
    worded = fit(_worded(problem))
    faults = list(worded.get("errors") or [])
    while faults and _size({"problem": worded}) > limit:
        faults = faults[: len(faults) // 2]
        worded["errors"] = faults
    text = "\n".join([f"{worded['detail']} ({worded['code']})", *map(_fault_line, faults), _next_step(worded)])
    return {
        "content": [{"type": "text", "text": text.encode()[:limit].decode(errors="ignore")}],
        "structuredContent": {"problem": worded},
        "isError": True,
    }


def bounded(answer: Json, limit: int, spare: Sequence[str]) -> Json:
    """`answer` in at most `limit` bytes of JSON: members named in `spare` are left out, in that order, as need be.

    `left_out` names what is missing.
    """
    kept = dict(answer)
    left_out: list[str] = list(answer.get("left_out", []))
    for name in spare:
        if _size(kept) <= limit:
            break
        if kept.pop(name, None) is not None:
            left_out.append(name)
            kept["left_out"] = left_out
    return kept


def preview_of(value: Any, limit: int) -> str:
    """The beginning of a value that is too large to be shown, in at most `limit` bytes of JSON."""
    text = value if isinstance(value, str) else encode(value).decode()
    shown = text.encode()[: max(0, limit)].decode(errors="ignore")
    while shown and _size(shown) > limit:
        shown = shown[: len(shown) * 3 // 4]
    return shown + " …"


def bounded_output(answer: Json, limit: int, resource: str) -> Json:
    """`answer` without its `output` where that does not fit; then a preview of it, and the resource that has it all."""
    if _size(answer) <= limit or "output" not in answer:
        return answer
    kept = {name: value for name, value in answer.items() if name != "output"}
    kept["left_out"] = [*kept.get("left_out", []), "output"]
    kept["resource"] = resource
    room = limit - _size(kept) - _ESSENTIAL_TEXT
    if room > 0:
        kept["output_preview"] = preview_of(answer["output"], room)
    return kept


def resource_link(uri: str, name: str, description: str, mime_type: str = "application/json") -> Json:
    """A pointer to a resource, in a result's `content` (2025-06-18 and later)."""
    return {"type": "resource_link", "uri": uri, "name": name, "description": description, "mimeType": mime_type}


def _size(value: Any) -> int:
    return len(encode(value))


def _worded(problem: Mapping[str, Any]) -> Json:
    """The problem with the names that a model knows."""
    worded = {**problem, "detail": _translated(problem["detail"])}
    step = problem["next_step"]
    worded["next_step"] = {**step, "detail": _translated(step["detail"])}
    if problem.get("errors"):
        worded["errors"] = [{**fault, "detail": _translated(fault["detail"])} for fault in problem["errors"]]
    return worded


def _translated(text: str) -> str:
    for plain, tool in _TOOL_NAMES.items():
        text = text.replace(plain, tool)
    return text


def _fault_line(fault: Mapping[str, Any]) -> str:
    location = fault.get("location") or {}
    place = ":".join(str(location[key]) for key in ("file", "line", "column") if location.get(key) is not None)
    return f"- {place + ': ' if place else ''}{fault['detail']}"


def _next_step(problem: Mapping[str, Any]) -> str:
    return f"Next step: {problem['next_step']['detail']}"
