"""Brief sessions: how they begin, what they are sent, and how they end is odd; an engine is still booting."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil

from tests.fault.exchanges import Exchange
from tests.fault.hostile_client import HostileClient, descendants, still_there
from tests.fault.hostile_messages import Batch, Session, batch_of, frame, message, version_request
from tests.fault.hostile_sessions import LENIENT_LIMIT_S, LIMIT_S, Report, new_client
from tests.fault.mutations import hostile_quotes
from tests.fault.wire_samples import Samples, samples
from tests.support.wire_oracle import NULL_ID, Expected, key_of

_OPENINGS = {
    "lines": (b"", b"\xef\xbb\xbf", b"\r\n\n \t\r\n", b"\n" * 70_000, b" " * 70_000, b"\xef\xbb\xbf\r\n"),
    "headers": (b"", b"\xef\xbb\xbf", b"\r\n\r\n"),
}
_BAD_FIRST = (
    b"Content-Lenght: 2\r\n\r\n{}",
    b"Content-Length: x\r\n\r\n{}",
    b"Content-Length: -2\r\n\r\n{}",
    b"Content-Length:\r\n\r\n",
    b"Content-Type: application/json\r\n\r\n",
    b"C\r\n\r\n",
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"Content-Length: 1\r\n\r\n{}",
    b"c" * 20_000 + b"\r\n\r\n",
)
_GONE_S = 30.0


class _Brief:
    """One brief session with its server."""

    def __init__(self, session: Session, client: HostileClient, pool: Samples) -> None:
        self.session = session
        self.client = client
        self.pool = pool
        self.chance: Random = session.chance("brief")
        self.sent = 0

    def open(self) -> bool:
        """The first bytes, which may be odd; whether what follows them is understood, as it has to be."""
        first = self.chance.choice(_OPENINGS[self.session.framing])
        is_bad = self.session.framing == "headers" and self.chance.random() < 0.4
        if is_bad:
            first = self.chance.choice(_BAD_FIRST)
        names = [f"first-{number}" for number in range(4)]
        data = first + b"".join(frame(version_request(name), self.session.framing) for name in names)
        expected = Expected()
        expected.least.update(map(key_of, names))
        return self.exchange(Exchange(data, [expected], key_of(names[-1]), is_lenient=is_bad))

    def batch(self) -> Batch:
        """Some mutated messages."""
        bodies = [message(self.session, self.pool, self.sent + number) for number in range(self.chance.randint(5, 40))]
        bodies = [
            part for body in bodies for part in (body.split(b"\n") if self.session.framing == "lines" else [body])
        ]
        self.sent += len(bodies)
        return batch_of(self.session, "many", [body for body in bodies if body.strip()], self.sent)

    def exchange(self, one: Exchange) -> bool:
        return self.client.exchange(one, LENIENT_LIMIT_S if one.is_lenient else LIMIT_S)

    def half(self) -> bytes:
        """The beginning of a message, small or large."""
        body = self.chance.choice((b'{"jsonrpc":"2.0","id":1,"meth', b'"', hostile_quotes(200_000), b"[" * 70_000))
        return body if self.session.framing == "lines" else b"Content-Length: %d\r\n\r\n%b" % (len(body) + 9, body)


# The ends.


def _at_once(brief: _Brief) -> None:
    brief.client.end(0)


def _after_half_a_message(brief: _Brief) -> None:
    """The unfinished message is refused under the null id, since its own id cannot be known."""
    expected = Expected()
    expected.least[NULL_ID] = 1
    brief.client.begin(Exchange(b"", [expected], NULL_ID))
    brief.client.send_bytes(brief.half())
    brief.client.close_stdin()
    if not brief.client.settle(LIMIT_S):
        brief.client.add("silent", "half a message, then the end of the input", brief.client.stderr[-2000:])
    brief.client.see_it_end(0)


def _after_a_pause_in_a_message(brief: _Brief) -> None:
    """The other half comes later, in pieces."""
    whole = brief.batch()
    data = whole.exchange.data
    cut = brief.chance.randrange(len(data))
    brief.client.begin(whole.exchange)
    for piece in (data[:cut], data[cut : cut + 1], data[cut + 1 :]):
        brief.client.send_bytes(piece)
        time.sleep(0.05)
    brief.client.judge(brief.client.settle(LIMIT_S), LIMIT_S)
    brief.client.end(0)


def _by_shutdown(brief: _Brief) -> None:
    """Everything between `shutdown` and `exit` is refused, and answered."""
    before, after = brief.batch(), brief.batch()
    shutdown = frame(b'{"jsonrpc":"2.0","id":"shutdown","method":"shutdown"}', brief.session.framing)
    leave = frame(b'{"jsonrpc":"2.0","method":"exit"}', brief.session.framing)
    expected = before.exchange.expected[0]
    for more in (after.exchange.expected[0],):
        expected.least.update(more.least)
        expected.optional.update(more.optional)
    expected.least[key_of("shutdown")] += 1
    data = before.exchange.data + shutdown + after.exchange.data + leave
    brief.exchange(Exchange(data, [expected], after.exchange.probe))
    brief.client.see_it_end(0)


def _by_exit(brief: _Brief) -> None:
    brief.client.send_bytes(frame(b'{"jsonrpc":"2.0","method":"exit"}', brief.session.framing))
    brief.client.see_it_end(1)


def _by_a_signal(brief: _Brief) -> None:
    """In the middle of messages, of a half one, or of nothing; what is answered is answered once."""
    whole = brief.batch()
    brief.client.begin(Exchange(b"", whole.exchange.expected, whole.exchange.probe, is_lenient=True))
    brief.client.send_bytes(brief.chance.choice((whole.exchange.data, whole.exchange.data + brief.half(), b"")))
    os.kill(brief.client.pid, signal.SIGTERM)
    brief.client.see_it_end(0)


def _by_a_kill(brief: _Brief) -> None:
    """Its engines end with it."""
    below = descendants(brief.client.pid)
    brief.client.send_bytes(brief.batch().exchange.data)
    os.kill(brief.client.pid, signal.SIGKILL)
    _see_them_end(brief.client, below)


def _without_its_client(brief: _Brief) -> None:
    """The client is killed while it writes: both pipes break at once."""
    command, env, cwd = brief.client.command, brief.client.environment, brief.client.folder
    orphan = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, cwd=cwd
    )
    assert orphan.stdin is not None
    assert orphan.stdout is not None
    orphan.stdin.write(frame(version_request("one"), brief.session.framing))
    orphan.stdin.flush()
    orphan.stdout.readline()
    below = [psutil.Process(orphan.pid), *descendants(orphan.pid)]
    with suppress(BrokenPipeError):
        orphan.stdin.write(brief.batch().exchange.data + brief.half())
        orphan.stdin.close()
    orphan.stdout.close()
    with suppress(subprocess.TimeoutExpired):
        orphan.wait(LIMIT_S)
    _see_them_end(brief.client, below)
    orphan.kill()
    orphan.wait()
    brief.client.end(0)


ENDS: Sequence[Callable[[_Brief], None]] = (
    *(_at_once, _after_half_a_message, _after_a_pause_in_a_message, _by_shutdown, _by_exit, _by_a_signal),
    *(_by_a_kill, _without_its_client),
)


def run_brief(session: Session) -> Report:
    """An odd beginning, some messages, an odd end."""
    report = Report()
    pool = samples(session.chance("samples"), session.kind, {}, 150)
    end = ENDS[session.number // 2 % len(ENDS)]
    with tempfile.TemporaryDirectory(prefix="mthds-rpc-hostile-", ignore_cleanup_errors=True) as folder:
        client = new_client(Path(folder), session)
        client.__enter__()
        brief = _Brief(session, client, pool)
        try:
            batch = brief.batch()
            if brief.open() and brief.exchange(batch.exchange):
                report.note(client.named_faults(), session, batch, 0)
                with suppress(BrokenPipeError):
                    end(brief)
        finally:
            client.discard()
        report.note(client.named_faults(), session, None, brief.sent)
        report.take(client)
    report.messages = brief.sent
    report.kinds[f"ended {end.__name__.strip('_').replace('_', ' ')}"] += 1
    return report


def _see_them_end(client: HostileClient, processes: Sequence[psutil.Process]) -> None:
    deadline = time.monotonic() + _GONE_S
    while left := list(still_there(processes)):
        if time.monotonic() > deadline:
            client.add("left", "processes outlive their server or client", f"{left}")
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            return
        time.sleep(0.02)
