"""Points in time as text."""

from datetime import UTC, datetime
from math import isnan

# A day within what `datetime` can hold, so that every time zone can show it.
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC).timestamp()
_LATEST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC.

    Raises nothing: a time beyond the years 1 to 9999 is shown as the nearest within, and no number as the epoch.
    """
    within = 0.0 if isnan(seconds) else min(max(seconds, _EARLIEST), _LATEST)
    return datetime.fromtimestamp(within, UTC).isoformat()


def iso_now() -> str:
    """The present moment as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()
