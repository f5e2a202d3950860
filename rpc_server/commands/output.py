"""What the commands print: JSON on stdout, explanations for people on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rpc_server.wire.json_text import utf_8
from schemas.shown_text import escaped, fit_line, fit_text


def print_json(value: Any) -> None:
    """Indented on a terminal, which is shown nothing that it would obey; on one line elsewhere."""
    if sys.stdout.isatty():
        text = escaped(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.flush()
    sys.stdout.buffer.write(utf_8(text) + b"\n")
    sys.stdout.buffer.flush()


def explain_error(error: Mapping[str, Any]) -> None:
    """A JSON-RPC error in a few lines: what happened, where, what to do next."""
    problem = error.get("data")
    problem = problem if isinstance(problem, dict) else {}
    code = problem.get("code", error["code"])
    place = place_of(problem.get("location") or {})
    _say(f"mthds-rpc: {f'{place}: ' if place else ''}{error['message']} [{code}]")
    explain_faults(fault for fault in problem.get("errors") or [] if fault["detail"] != error["message"])
    step = problem.get("next_step")
    if isinstance(step, dict):
        _say(f"  {step.get('detail', '')}")


def explain_faults(faults: Iterable[Mapping[str, Any]]) -> None:
    """One line a fault: where, what."""
    for fault in faults:
        place = place_of(fault.get("location") or {})
        _say(f"  {place}: {fault['detail']}" if place else f"  {fault['detail']}")


def place_of(location: Mapping[str, Any]) -> str:
    """`file:line:column`, as far as they are known; else the pipe."""
    parts = [str(location[name]) for name in ("file", "line", "column") if location.get(name) is not None]
    if parts:
        return ":".join(parts)
    return f"pipe {location['pipe']}" if location.get("pipe") else ""


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows as aligned columns."""
    lines = [tuple(fit_line(cell, None) for cell in row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def print_text(text: str) -> None:
    """A text as it is, but for what a terminal would obey, where it is shown on one."""
    print(fit_text(text, None) if sys.stdout.isatty() else utf_8(text).decode())


def _say(line: str) -> None:
    print(fit_text(line, None), file=sys.stderr)
