"""temporalio, set up before anybody uses it: its core writes to this process's log and never to stdout."""

import logging
from datetime import timedelta

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

_logger = logging.getLogger("temporalio.core")

WORKER_BEAT_S = 2.0
"""How often a worker tells Temporal that it lives."""

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
