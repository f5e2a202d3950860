"""Points in time as text."""

from datetime import UTC, datetime


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def iso_now() -> str:
    """The present moment as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()
