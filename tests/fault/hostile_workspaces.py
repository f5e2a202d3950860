"""Workspaces full of hostile files: everything that lists, reads, judges or runs them is asked, and has to answer."""

import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from tests.fault.exchanges import Fault
from tests.fault.hostile_client import HostileClient
from tests.fault.hostile_files import Made, Round, make, told
from tests.fault.hostile_messages import Session
from tests.fault.hostile_sessions import Finding, Report, shrunk
from tests.support import mcp_schemas
from tests.support.mcp_client import COMMAND, envelope
from tests.support.mcp_schemas import MODERN
from tests.support.mthds_server import isolated_env

FILES_OF_A_ROUND = 400
_LIMIT_S = 150.0
"""An engine may take a minute for a verdict."""
_TRIES_S = 90.0
_SETTINGS = "[rpc.mcp]\nmax_method_tools = 1000\nlist_wait_s = {:.1f}\n"
_LIST_WAIT_S = 3.0
_LIST_WAIT_OF_A_TRY_S = 15.0
"""Of a try every tool has to be seen."""
_USED = 14
"""Things of a round that are judged, and run."""
_MADE = re.compile(r"-made-(\d+)$")
_LONGEST_TEXT = 20_000
_UNREADABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]"
)
"""Controls, bidi and invisible characters: no host or model should be shown them."""
_MAY_HOLD_METHODS = ("deep", "directory")
_SHOWN = ("title", "description", "name")

Answers = Mapping[str, dict[str, Any]]


class Workspace:
    """A server whose workspace is filled again and again."""

    def __init__(self, session: Session, list_wait_s: float = _LIST_WAIT_S) -> None:
        self._session = session
        self._home = tempfile.TemporaryDirectory(prefix="mthds-rpc-hostile-", ignore_cleanup_errors=True)
        home = Path(self._home.name)
        self._folder = home / "workspace"
        self._folder.mkdir()
        (home / "rpc.toml").write_text(_SETTINGS.format(list_wait_s))
        command = [*COMMAND, "--config", str(home / "rpc.toml")]
        self.client = HostileClient(command, cwd=self._folder, env=isolated_env(home), framing=session.framing)

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self.has_ended:
            self.client.end(0)
        self.client.discard()
        self._home.cleanup()

    @property
    def has_ended(self) -> bool:
        return self.client.process.poll() is not None

    @contextmanager
    def filled(self, round_number: int, numbers: Sequence[int]) -> Iterator[Round]:
        """The workspace with these of the things of a round; empty afterwards. Some are written to meanwhile."""
        round_ = Round(self._folder)
        for number in numbers:
            make(round_, self._session.chance("file", round_number, number), number)
        over = threading.Event()
        writer = threading.Thread(target=_go_on_writing, args=(round_.growing, over))
        writer.start()
        try:
            yield round_
        finally:
            over.set()
            writer.join()
            for server in round_.sockets:
                server.close()
            for path in self._folder.iterdir():
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()

    def list_all(self) -> dict[str, list[Any]]:
        """What each kind of list holds, over all of its pages."""
        return {
            "methods": list(self._pages("methods/list", "methods", {"limit": 1000})),
            "tools": list(self._pages("tools/list", "tools", envelope())),
            "resources": list(self._pages("resources/list", "resources", envelope())),
        }

    def _pages(self, method: str, member: str, params: dict[str, Any]) -> Iterator[Any]:
        cursor: str | None = None
        while not self.has_ended:
            given = params if cursor is None else {**params, "cursor": cursor}
            answer = self.client.ask({method: (method, given)}, _LIMIT_S)[method]
            if method != "methods/list" and "result" in answer:
                for fault in mcp_schemas.faults_of(answer, revision=MODERN, method_of_request=method):
                    self.client.add("form", f"{method}: {fault.partition(':')[0]:.100}", fault)
            result = answer.get("result", {})
            yield from result.get(member, [])
            cursor = result.get("nextCursor", result.get("next_cursor"))
            if cursor is None:
                return

    def use(self, chance: Random, made: Sequence[Made], paths: Sequence[str]) -> None:
        """Judge what is there, and run it dry, each by its own name and by one that a list gives."""
        calls: dict[str, tuple[str, Any]] = {}
        named = {f"listed-{number}": path for number, path in enumerate(paths)}
        named |= {f"made-{one.number}": one.path for one in made}
        for name, path in named.items():
            method = {"method": path}
            calls[f"validate-{name}"] = ("validate", method)
            kind = chance.choice(tuple(_USES))
            calls[f"{kind}-{name}"] = _USES[kind](method)
        self.client.ask(calls, _LIMIT_S)


_USES: dict[str, Callable[[dict[str, Any]], tuple[str, Any]]] = {
    "execute": lambda method: ("execute", {**method, "run_mode": "dry", "inputs": {"name": "Ann"}}),
    "inputs": lambda method: ("methods/inputs", method),
    "tool": lambda method: ("tools/call", envelope({"name": "inputs_template", "arguments": method})),
    "resource": lambda method: ("resources/read", envelope({"uri": f"mthds://methods/{method['method']}"})),
}


def run_workspaces(session: Session) -> Report:
    """As many files as the session has messages, round after round; a new server after each that ended."""
    report = Report()
    number = 0
    while report.files < session.messages:
        with Workspace(session) as workspace:
            while report.files < session.messages and not workspace.has_ended:
                count = min(FILES_OF_A_ROUND, session.messages - report.files)
                _run_round(workspace, session, number, count, report)
                number += 1
        _note(report, workspace.client.named_faults(), session, number, [])
        report.take(workspace.client)
    return report


def _run_round(workspace: Workspace, session: Session, number: int, count: int, report: Report) -> None:
    client = workspace.client
    numbers = range(count)
    chance = session.chance("use", number)
    with workspace.filled(number, numbers) as round_:
        report.files += sum(one.files for one in round_.made)
        report.kinds += Counter(one.kind for one in round_.made)
        lists = workspace.list_all()
        _look_at_lists(client, round_.made, lists)
        _note(report, client.named_faults(), session, number, numbers)
        if not workspace.has_ended:
            some = chance.sample(round_.made, min(_USED, len(round_.made)))
            # Names that do not come back as they are.
            odd = sorted({entry["path"] for entry in lists["methods"]} - {one.path for one in round_.made})
            workspace.use(chance, some, chance.sample(odd, min(_USED // 2, len(odd))))
            _note(report, client.named_faults(), session, number, [one.number for one in some], used=True)
        report.memory = max(report.memory, client.memory())


def _note(
    report: Report,
    faults: Sequence[Fault],
    session: Session,
    number: int,
    numbers: Sequence[int],
    *,
    used: bool = False,
) -> None:
    for fault in faults:
        report.faults[fault.signature] += 1
        named = _MADE.search(str(fault.id[1])) if fault.kind == "unexpected" and fault.id is not None else None
        finding = Finding(fault, session, "used" if used else "files", [], number, tuple(numbers))
        if named is not None:
            finding = replace(finding, files=(int(named[1]),))
        report.findings.setdefault(fault.signature, finding)


def _look_at_lists(client: HostileClient, made: Sequence[Made], lists: Mapping[str, list[Any]]) -> None:
    """Each method is listed once, each list shows only what can be read."""
    if lists["methods"]:
        _look_at_methods(client, made, lists["methods"])
    for name in ("tools", "resources"):
        for one in lists[name]:
            for member in _SHOWN:
                _look_at_text(client, f"{name}/list", member, one.get(member) or "")


def _look_at_methods(client: HostileClient, made: Sequence[Made], entries: Sequence[Mapping[str, Any]]) -> None:
    """Each method once; what is none not at all, or with a problem."""
    paths = Counter(entry["path"] for entry in entries)
    faulty = {entry["path"] for entry in entries if entry.get("problem") is not None}
    for one in made:
        if not one.is_plain or one.kind in _MAY_HOLD_METHODS:
            continue
        if one.is_method and paths[one.path] != 1:
            client.add("listed", f"a {one.kind} {'twice' if paths[one.path] else 'not at all'}", f"{one}")
        elif not one.is_method and paths[one.path] and one.path not in faulty:
            client.add("listed", f"a {one.kind}, which is no method, without a problem", f"{one}")
    odd = [one.name for one in made if one.is_method and not one.is_plain]
    rest = paths.total() - sum(paths[one.path] for one in made if one.is_plain)
    if rest < len(odd):
        client.add("listed", "fewer odd names than there are", f"{rest} of {len(odd)}: {odd[:20]}")


def _look_at_text(client: HostileClient, where: str, member: str, text: str) -> None:
    if len(text) > _LONGEST_TEXT:
        client.add("shown", f"a {member} of more than {_LONGEST_TEXT:,} characters in {where}", f"{len(text):,}")
    found = _UNREADABLE.search(text)
    if found:
        client.add("shown", f"a {member} with invisible or control characters in {where}", f"{text[:200]!r}")


def smallest_workspace(finding: Finding) -> Finding:
    """The finding with as few files as show it again in a server of their own, within some tries."""
    until = time.monotonic() + _TRIES_S

    def shows(numbers: Sequence[int]) -> bool:
        return time.monotonic() < until and any(
            fault.signature == finding.fault.signature for fault in _faults_of(finding, numbers)
        )

    numbers = list(finding.files)
    if len(numbers) > 1 and shows(numbers):
        numbers = shrunk(numbers, shows)
    with Workspace(finding.session) as workspace, workspace.filled(finding.message, numbers) as round_:
        return replace(finding, files=tuple(numbers), bodies=list(told(round_.made)))


def _faults_of(finding: Finding, numbers: Sequence[int]) -> Sequence[Fault]:
    session, number = finding.session, finding.message
    with Workspace(session, _LIST_WAIT_OF_A_TRY_S) as workspace, workspace.filled(number, numbers) as round_:
        if finding.kind == "used":
            workspace.use(session.chance("use", number), round_.made, [])
        else:
            _look_at_lists(workspace.client, round_.made, workspace.list_all())
        return workspace.client.named_faults()


def _go_on_writing(paths: Sequence[Path], over: threading.Event) -> None:
    while not over.wait(0.002):
        for path in paths:
            with path.open("ab") as file:
                file.write(b"# more\n" * 50)
