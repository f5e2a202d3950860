"""A run's events as the progress of the call that asked for it."""

from functools import partial

from orchestrators.plugins.contract import EventSink
from rpc_server.wire.dispatch import Call, Report
from schemas.runs import RunEvent


def event_sink(call: Call) -> EventSink | None:
    """What sends each event to the caller; None where the caller gave no progress token, so that nothing is paid."""
    return None if call.progress is None else partial(_report, call.progress)


def _report(progress: Report, event: RunEvent) -> None:
    message = event.message or f"{event.kind.replace('_', ' ')} {event.pipe or ''}".rstrip()
    progress(event.seq, message, event.model_dump(mode="json", exclude_none=True))
