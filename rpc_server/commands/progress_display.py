"""A run's progress for people: a bar on a terminal, a line an event elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

Display = Callable[[Mapping[str, Any]], None]


@contextmanager
def progress_display(stream: TextIO) -> Iterator[Display]:
    """A display on `stream` for the block; it is called with the params of each progress notification."""
    if not stream.isatty():
        yield lambda params: print(_line(params), file=stream, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        task = progress.add_task("waiting for the engine", total=None)

        def show(params: Mapping[str, Any]) -> None:
            ended, started = _counts(params)
            progress.update(task, completed=ended, total=started or None, description=_message(params))

        yield show


def _line(params: Mapping[str, Any]) -> str:
    ended, started = _counts(params)
    return _message(params) if not started else f"[{ended:g}/{started:g}] {_message(params)}"


def _counts(params: Mapping[str, Any]) -> tuple[float, float | None]:
    """Pipes ended and pipes started so far; what is still to start is not known."""
    event = params.get("data")
    if isinstance(event, dict) and "started" in event:
        return event["ended"], event["started"]
    return params["progress"], params.get("total")


def _message(params: Mapping[str, Any]) -> str:
    from schemas.shown_text import fit_line

    return fit_line(str(params.get("message") or ""))
