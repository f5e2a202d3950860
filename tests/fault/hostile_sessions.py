"""Long sessions: a server is sent hostile messages, each answer is counted, each fault kept with what it came of."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fault.exchanges import Fault
from tests.fault.hostile_client import HostileClient
from tests.fault.hostile_messages import BOUNDS, SETTINGS, Batch, Session, batch_of, batches, frame
from tests.fault.wire_samples import PLAIN, handshake, samples
from tests.support.bundles import GREETING, SEQUENCE
from tests.support.mcp_client import COMMAND, envelope
from tests.support.mthds_server import isolated_env
from tests.support.wire_oracle import NULL_ID, read

LIMIT_S = 30.0
"""An answer that takes longer counts as none. The machine may be busy; how long the slowest took is reported."""
LENIENT_LIMIT_S = 10.0
"""For a probe behind bad headers."""
MOST_MEMORY = 1_500_000_000
_MEMORY_EVERY_S = 2.0
_INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
_TRIES_S = 40.0
_TRY_S = 6.0


@dataclass(frozen=True)
class Finding:
    """A fault, and the smallest sample of what led to it that is known."""

    fault: Fault
    session: Session
    kind: str
    bodies: Sequence[bytes]
    """Of the messages that led to it, after the session's handshake; framed where `kind` is `framing`."""
    message: int
    """The number of the first of them in its session, near enough; of a workspace, the number of its round."""
    files: tuple[int, ...] = ()
    """The numbers of the files that were there."""


@dataclass
class Report:
    """What came of some sessions."""

    messages: int = 0
    files: int = 0
    answers: int = 0
    servers: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """How often each kind of batch was sent, or of file was made, and each way to end was taken."""
    slowest_s: float = 0.0
    slowest_engine_s: float = 0.0
    slowest_large_s: float = 0.0
    """While messages of the largest size were read."""
    late: int = 0
    memory: int = 0
    """The most bytes that a server had in memory."""
    faults: Counter[str] = field(default_factory=Counter)
    """By their signatures."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """The first of each signature."""

    def add(self, other: "Report") -> None:
        """Take in what came of other sessions."""
        self.messages += other.messages
        self.files += other.files
        self.answers += other.answers
        self.servers += other.servers
        self.kinds += other.kinds
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.slowest_engine_s = max(self.slowest_engine_s, other.slowest_engine_s)
        self.slowest_large_s = max(self.slowest_large_s, other.slowest_large_s)
        self.late += other.late
        self.memory = max(self.memory, other.memory)
        self.faults += other.faults
        self.findings = {**other.findings, **self.findings}

    def note(self, faults: Sequence[Fault], session: Session, batch: Batch | None, message: int) -> None:
        """Count faults; of the first of its signature keep what it may have come of."""
        for fault in faults:
            self.faults[fault.signature] += 1
            if fault.signature not in self.findings:
                kind, bodies = ("", []) if batch is None else (batch.kind, _suspects(batch, fault))
                self.findings[fault.signature] = Finding(fault, session, kind, bodies, message)

    def look_at_memory(self, client: HostileClient) -> None:
        """Note how much a server has taken; too much is a fault."""
        memory = client.memory()
        self.memory = max(self.memory, memory)
        if memory > MOST_MEMORY:
            client.add("memory", "too much", f"{memory:,} bytes")

    def take(self, client: HostileClient) -> None:
        """Take in what a client counted."""
        self.servers += 1
        self.answers += client.answers
        self.slowest_s = max(self.slowest_s, client.slowest_s)
        self.slowest_engine_s = max(self.slowest_engine_s, client.slowest_engine_s)
        self.late += client.late


class Talk:
    """One server, past the handshake, with an engine that has run a method. In a home of its own, which it removes."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.is_gone = False
        self.tools: dict[str, Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="mthds-rpc-hostile-", ignore_cleanup_errors=True)
        self.client = new_client(Path(self._folder.name), session)

    def __enter__(self) -> Self:
        self.client.__enter__()
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the server's input, which has to end it with status 0."""
        if not self.is_gone and error is None:
            self.client.end(0)
        self.client.discard()
        self._folder.cleanup()

    def _open(self) -> None:
        """What a session begins with: a handshake where it has one, a run that boots an engine, the tools."""
        is_plain = self.session.kind == PLAIN
        if not is_plain:
            self._ask("initialize", handshake(self.session.kind))
            self.client.send_bytes(
                frame(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', self.session.framing)
            )
        self._ask("execute", {"method": "greet.mthds", "inputs": {"name": "Ann"}, "run_id": "warm"})
        listed = self._ask("tools/list", envelope() if is_plain else {})
        self.tools = {tool["name"]: tool["inputSchema"] for tool in listed["result"]["tools"]}

    def _ask(self, method: str, params: Any) -> dict[str, Any]:
        answer = self.client.ask({"it": (method, params)}, 2 * LIMIT_S)["it"]
        assert "result" in answer, (method, answer, self.client.faults)
        return answer

    def exchange(self, batch: Batch, limit_s: float) -> bool:
        """Whether all was answered; afterwards the server may be gone."""
        settled = self.client.exchange(batch.exchange, limit_s)
        self.is_gone = not settled and not batch.exchange.answered[batch.exchange.probe]
        return settled


def new_client(home: Path, session: Session, settings: str = SETTINGS) -> HostileClient:
    """A server in `home`, which holds two methods."""
    workspace = home / "workspace"
    workspace.mkdir(parents=True)
    (workspace / "greet.mthds").write_text(GREETING)
    (workspace / "chain.mthds").write_text(SEQUENCE)
    (home / "rpc.toml").write_text(settings)
    command = [*COMMAND, "--config", str(home / "rpc.toml")]
    return HostileClient(command, cwd=workspace, env=isolated_env(home), framing=session.framing)


def run_session(session: Session) -> Report:
    """Send all of it, to a new server after each that ended."""
    report = Report()
    generator: Iterator[Batch] | None = None
    while report.messages < session.messages:
        with Talk(session) as talk:
            if generator is None:
                generator = batches(session, samples(session.chance("samples"), session.kind, talk.tools))
            _converse(talk, generator, report)
        report.note(talk.client.named_faults(), session, None, report.messages)
        report.take(talk.client)
    return report


def _converse(talk: Talk, generator: Iterator[Batch], report: Report) -> None:
    """Exchange batches until there are enough or the server is gone."""
    looked = 0.0
    while report.messages < talk.session.messages and not talk.is_gone:
        batch = next(generator)
        talk.exchange(batch, LENIENT_LIMIT_S if batch.exchange.is_lenient else LIMIT_S)
        if time.monotonic() - looked > _MEMORY_EVERY_S:
            looked = time.monotonic()
            report.look_at_memory(talk.client)
        report.note(talk.client.named_faults(), talk.session, batch, report.messages)
        report.messages += len(batch.bodies) + 1
        report.kinds[batch.kind] += 1


def _suspects(batch: Batch, fault: Fault) -> Sequence[bytes]:
    """The messages that a fault may come of: those of its id, where it has one, else all."""
    if fault.id is None or fault.id == NULL_ID:
        return batch.bodies
    found = [body for body in batch.bodies if fault.id in read(body, BOUNDS).ids]
    return found or batch.bodies


def smallest(finding: Finding) -> Finding:
    """The finding with as little to send as shows it again, found within some tries; itself where nothing less does."""
    if finding.kind in ("", "framing", "largest") or not finding.bodies:
        return finding
    with _Trial(finding) as trial:
        if not trial.shows(finding.bodies):
            return finding
        bodies = shrunk(list(finding.bodies), trial.shows)
        for index, body in enumerate(bodies):
            before, after = bodies[:index], bodies[index + 1 :]
            bodies[index] = shrunk(body, partial(_shows_with, trial, before, after))
    return replace(finding, bodies=bodies)


class _Trial:
    """Servers that show whether some messages lead to a fault, one after the other as they end."""

    def __init__(self, finding: Finding) -> None:
        self._finding = finding
        self._talk: Talk | None = None
        self._until = time.monotonic() + _TRIES_S
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def shows(self, bodies: Sequence[bytes]) -> bool:
        """False also where the time is up."""
        if time.monotonic() > self._until:
            return False
        if self._talk is None:
            self._talk = Talk(self._finding.session).__enter__()
        self._number += 1
        self._talk.exchange(batch_of(self._finding.session, self._finding.kind, bodies, self._number), _TRY_S)
        faults = self._talk.client.named_faults()
        if self._talk.is_gone:
            self._let_go()
        return any(fault.signature == self._finding.fault.signature for fault in faults)

    def _let_go(self) -> None:
        if self._talk is not None:
            self._talk.__exit__(AssertionError, AssertionError(), None)
            self._talk = None


def _shows_with(trial: _Trial, before: Sequence[bytes], after: Sequence[bytes], body: bytes) -> bool:
    return trial.shows([*before, body, *after])


def shrunk(items: Any, shows: Callable[[Any], bool]) -> Any:
    """`items`, bytes or a list, without what is not needed for it to show, tried from large parts to small ones."""
    size = max(1, len(items) // 2)
    while True:
        at = 0
        while at < len(items):
            less = items[:at] + items[at + size :]
            if less and shows(less):
                items = less
            else:
                at += size
        if size == 1:
            return items
        size //= 2
