"""Messages as large as a server takes where nothing else is configured, and larger."""

import tempfile
from pathlib import Path
from random import Random

from tests.fault.hostile_client import HostileClient
from tests.fault.hostile_messages import Session, batch_of, large_message
from tests.fault.hostile_sessions import Report, new_client
from tests.support.wire_oracle import Bounds

MESSAGES = 6
_BOUNDS = Bounds()
_SIZES = (_BOUNDS.message_bytes - 100_000, _BOUNDS.message_bytes - 100_000, _BOUNDS.message_bytes + 1)
_LIMIT_S = 120.0
_LATE_S = 20.0


def run_large(session: Session) -> Report:
    """A few of them, one after the other, each before the next is sent."""
    report = Report()
    chance = session.chance("large")
    with tempfile.TemporaryDirectory(prefix="mthds-rpc-hostile-", ignore_cleanup_errors=True) as folder:
        client = new_client(Path(folder), session, settings="")
        client.late_s = _LATE_S
        client.__enter__()
        try:
            if all(_is_taken(client, session, chance, number, report) for number in range(MESSAGES)):
                client.end(0)
        finally:
            client.discard()
        report.note(client.named_faults(), session, None, report.messages)
        report.slowest_large_s, client.slowest_s = client.slowest_s, 0.0
        report.take(client)
    return report


def _is_taken(client: HostileClient, session: Session, chance: Random, number: int, report: Report) -> bool:
    batch = batch_of(session, "largest", [large_message(chance, _SIZES)], number, _BOUNDS)
    settled = client.exchange(batch.exchange, _LIMIT_S)
    report.look_at_memory(client)
    report.note(client.named_faults(), session, batch, number)
    report.messages += 1
    report.kinds[batch.kind] += 1
    return settled
