"""temporalio's runtime, set up before its first use: its core writes to this process's log and never to stdout."""

import logging
from datetime import timedelta

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

_PAUSE_S = 30.0


class _Seldom(logging.Filter):
    """Lets one record of each origin through in `_PAUSE_S`: a core without its server says so ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.created - self._written.get(record.name, 0.0) < _PAUSE_S:
            return False
        self._written[record.name] = record.created
        return True


# It logs every activity that fails, with a traceback; callers get the problem in another way.
logging.getLogger("temporalio").setLevel(logging.ERROR)
_logger = logging.getLogger("temporalio.core")
_logger.setLevel(logging.WARNING)
_logger.addFilter(_Seldom())

WORKER_BEAT_S = 2.0
"""Seconds between two heartbeats of a worker."""

# Another runtime would write to stdout.
Runtime.prevent_default()  # type: ignore[no-untyped-call]
RUNTIME = Runtime(
    telemetry=TelemetryConfig(
        logging=LoggingConfig(
            filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
            forwarding=LogForwardingConfig(logger=_logger),
        )
    ),
    worker_heartbeat_interval=timedelta(seconds=WORKER_BEAT_S),
)
"""The one runtime of this process."""
