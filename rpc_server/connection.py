"""One peer: its read loop, what it has in flight, its answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may ask of the server."""

    max_message_bytes: int = 32 * 1024 * 1024
    max_json_depth: int = 128
    max_in_flight: int = 1024
    """Calls running at once; one more is refused as `runtime.unavailable`."""
    max_batch: int = 1000
    """Calls in one batch."""
    max_queued_bytes: int = 4 * 1024 * 1024
    """Answers waiting for a peer that does not read; above it nothing more is read from that peer."""
    drain_s: float = 300.0
    """Seconds that calls may go on after the peer closed its side."""
    stop_grace_s: float = 2.0
    """Seconds that cancelled calls get to end."""
