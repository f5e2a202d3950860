"""A client that sends bytes of any kind to the real server and counts the answers, id by id."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.fault.exchanges import Exchange, Fault
from tests.support.client import RpcClient
from tests.support.wire_oracle import NULL_ID, Expected, Key, key_of

_INTERNAL_ERROR = -32603
_ENDED = ("run.lost", "engine.lost")
_PROBLEM_MEMBERS = {"code", "title", "detail", "domain", "retry", "next_step"}
_FRAME = re.compile(r'File "[^"]*?/((?:rpc_server|orchestrators|schemas)/[^"]+)", line \d+, in (\S+)')
_RAISED = re.compile(r"^(?:[\s|]*)([A-Za-z_][\w.]*(?:Error|Exception|Group|Exit|Interrupt|Warning))\b", re.MULTILINE)
LATE_S = 2.0
_REFERENCE = re.compile("[0-9a-f]{12}")
_BEAT_S = 0.5
_MOST_BEATS = 20
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_LOG_WAIT_S = 2.0
_LOG_BYTES = 20_000


class HostileClient(RpcClient):
    """One server. Faults are gathered, never raised: `exchange` sends and waits, `faults` says what was wrong."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, allow_unanswered=True)
        self.faults: list[Fault] = []
        self.slowest_s = 0.0
        """Of what the server answers by itself."""
        self.slowest_engine_s = 0.0
        """Of what it needs an engine for, or the disk."""
        self.late = 0
        """Answers of the first kind that took longer than `late_s`."""
        self.late_s = LATE_S
        self.answers = 0
        self._asked = 0
        self._beats: dict[Key, float] = {}
        """When each was sent that has not been answered."""
        self._latest: tuple[float, Key | None] = (0.0, None)
        """How long the slowest of the exchange took, in seconds, and which it was."""
        self._worked_s = 0.0
        """Processor time of the server before the exchange."""
        self._kept: dict[Key, dict[str, Any]] = {}
        """The ids whose answers are kept, and those answers."""
        self._exchange: Exchange | None = None

    def exchange(self, one: Exchange, limit_s: float) -> bool:
        """Send it and wait for its answers; False where they did not all come, or the server has ended or hangs.

        The server is killed where it takes nothing in any more or does not answer the probe.
        """
        watch = threading.Timer(limit_s, self.process.kill)
        watch.daemon = True
        self.begin(one)
        watch.start()
        try:
            self.send_bytes(one.data)
            settled = self.settle(limit_s, with_beats=not one.is_lenient)
        except OSError:
            settled = False
        finally:
            watch.cancel()
        self.judge(settled, limit_s)
        return settled

    def ask(self, calls: Mapping[str, tuple[str, Any]], limit_s: float) -> dict[str, dict[str, Any]]:
        """Make some calls, each under a name of its own; their answers, `{}` where there was none.

        The id of a fault that comes of a call ends in its name.
        """
        self._asked += 1
        keys = {name: key_of(f"ask-{self._asked}-{name}") for name in calls}
        self._kept = {key: {} for key in keys.values()}
        probe = key_of(f"probe-of-ask-{self._asked}")
        bodies = [_request(keys[name][1], *call) for name, call in calls.items()]
        expected = Expected(Counter([*self._kept, probe]))
        data = b"".join(self._framed(body) for body in (*bodies, _request(probe[1], "version", None)))
        self.exchange(Exchange(data, [expected], probe, frozenset(self._kept)), limit_s)
        return {name: self._kept[key] for name, key in keys.items()}

    def begin(self, one: Exchange) -> None:
        """From now on answers are those of `one`."""
        with self._changed:
            if self._exchange is not None:
                one.owed = self._exchange.still_owed()
            self._exchange = one
            self._latest = (0.0, None)
            self._worked_s = self._processor_time()
            one.began = time.monotonic()

    def settle(self, limit_s: float, *, with_beats: bool = False) -> bool:
        """Wait until everything is answered; False where that is not so in the end.

        Beats are sound requests that are sent meanwhile: they show whether the server still answers at once.
        """
        one = self._exchange
        assert one is not None
        deadline = time.monotonic() + limit_s
        with self._changed:
            while not one.is_settled() and not self._ended and time.monotonic() < deadline:
                pause_s = min(_BEAT_S, deadline - time.monotonic())
                is_over = self._changed.wait_for(lambda: self._ended or one.is_settled(), pause_s)
                if with_beats and not is_over:
                    self._beat()
            return one.is_settled()

    def _beat(self) -> None:
        if len(self._beats) < _MOST_BEATS:
            self._asked += 1
            key = key_of(f"beat-{self._asked}")
            self._beats[key] = time.monotonic()
            self.send_bytes(self._framed(_request(key[1], "version", None)))

    def judge(self, settled: bool, limit_s: float) -> None:
        """Note what was wrong with the answers. A server that does not answer the probe is killed."""
        one = self._exchange
        assert one is not None
        worked_s = self._processor_time() - self._worked_s
        with self._changed:
            self._judge(one, settled, time.monotonic() - one.began >= limit_s)
            # On a busy machine much is late that costs the server little.
            took_s, key = self._latest
            if took_s > self.late_s and worked_s > self.late_s:
                self.add("late", "an answer of the server itself", f"{took_s:.1f} s, {worked_s:.1f} s of work", key)

    @property
    def environment(self) -> dict[str, str] | None:
        return self._env

    @property
    def folder(self) -> Path | str:
        return self._cwd

    def memory(self) -> int:
        """The most bytes that the server has had in memory, where the system tells, else what it has now."""
        try:
            peak = _PEAK.search(Path(f"/proc/{self.pid}/status").read_text())
            return int(peak[1]) * 1024 if peak else int(psutil.Process(self.pid).memory_info().rss)
        except (OSError, psutil.Error):
            return 0

    def end(self, status: int) -> None:
        """Close the server's input, which has to end it with this status."""
        self.close_stdin()
        self.see_it_end(status)

    def see_it_end(self, status: int) -> None:
        """The server has been told to end in some way."""
        try:
            ended = self.wait()
        except AssertionError:
            self.add("left", "the server does not end", self.stderr[-2000:])
            return
        if ended != status:
            self.add("status", f"{ended} in place of {status} at the end", self.stderr[-2000:])

    def discard(self) -> None:
        """Kill the server, if it still lives, and close everything."""
        self.process.kill()
        self.__exit__(AssertionError, None, None)

    def add(self, kind: str, signature: str, detail: str, id: Key | None = None) -> None:
        self.faults.append(Fault(kind, f"{kind}: {signature}", detail, id))

    def _processor_time(self) -> float:
        try:
            used = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return self._worked_s
        return float(used.user + used.system)

    def _judge(self, one: Exchange, settled: bool, out_of_time: bool) -> None:
        if not settled and not one.answered[one.probe]:
            if out_of_time:
                self.process.kill()
                kind = "lost" if one.is_lenient else "frozen"
                what = "nothing is understood after bad headers" if one.is_lenient else "the probe is not answered"
                self.add(kind, what, f"nothing for {time.monotonic() - one.began:.0f} s")
            else:
                self.add("died", self._last_words(), f"status {self.process.wait()}; {self.stderr[-3000:]}")
        elif not settled:
            for key in one.missing():
                self.add("silent", "an id is never answered", f"{key}", key)
        for key in one.too_many():
            said = f"{dict(one.said_under_null_id)}" if key == NULL_ID else ""
            self.add("too many", "answers that nothing asked for", f"{key}: {one.answered[key]}; {said}", key)

    def _last_words(self) -> str:
        self._threads[1].join(_LOG_WAIT_S)
        return cause_in(self.stderr) or f"status {self.process.wait()}"

    # What is received, in the reading thread.

    def _take(self, body: bytes) -> None:
        now = time.monotonic()
        with self._changed:
            try:
                self._look_at(body, now)
            except (ValueError, AttributeError, TypeError, KeyError) as error:
                self.add("form", f"no message: {type(error).__name__}", f"{error}: {body[:300]!r}")
            if self._exchange is not None and self._exchange.is_settled():
                self._changed.notify_all()

    def _look_at(self, body: bytes, now: float) -> None:
        text = body.decode("utf-8")
        if "\u2028" in text or "\u2029" in text:
            self.add("form", "U+2028 or U+2029 as it is", f"{body[:300]!r}")
        message = json.loads(text)
        if "\\u" in text and _holds_surrogates(message):
            self.add("form", "half of a surrogate pair", f"{body[:300]!r}")
        if message == []:
            self.add("form", "an empty batch", "")
        for part in message if isinstance(message, list) else [message]:
            self._look_at_part(part, now)

    def _look_at_part(self, part: dict[str, Any], now: float) -> None:
        if "method" in part:
            if part["jsonrpc"] != "2.0" or not set(part) <= {"jsonrpc", "method", "params"}:
                self.add("form", "a notification with odd members", f"{part!r:.300}")
            return
        if set(part) not in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}) or part["jsonrpc"] != "2.0":
            self.add("form", "an answer with odd members", f"{part!r:.300}")
        key = key_of(part["id"])
        self._count(key, now)
        if key in self._kept:
            self._kept[key] = part
        if "error" in part:
            self._look_at_error(part["error"], key)
        elif isinstance(part["result"], dict) and part["result"].get("isError") is True:
            self._look_at_problem(part["result"].get("structuredContent", {}), key)

    def _count(self, key: Key, now: float) -> None:
        self.answers += 1
        one = self._exchange
        if key in self._beats:
            self._note_time(now - self._beats.pop(key), key)
            return
        if one is None:
            self.add("too many", "an answer that nothing asked for", f"{key}", key)
            return
        one.answered[key] += 1
        if key in one.slow:
            self.slowest_engine_s = max(self.slowest_engine_s, now - one.began)
        else:
            self._note_time(now - one.began, key)

    def _note_time(self, took_s: float, key: Key) -> None:
        self.slowest_s = max(self.slowest_s, took_s)
        self.late += took_s > self.late_s
        if took_s > self._latest[0]:
            self._latest = (took_s, key)

    def _look_at_error(self, error: dict[str, Any], key: Key) -> None:
        if key == NULL_ID and self._exchange is not None:
            self._exchange.said_under_null_id[error["message"]] += 1
        if not isinstance(error["code"], int) or not isinstance(error["message"], str):
            self.add("form", "an odd error", f"{error!r:.300}", key)
        data = error.get("data")
        if isinstance(data, dict) and "code" in data:
            if not set(data) >= _PROBLEM_MEMBERS:
                self.add("form", "a problem document that is not whole", f"{data!r:.300}", key)
            self._look_at_problem(data, key)
        elif error["code"] == _INTERNAL_ERROR:
            self.add("unexpected", f"{error['message']}", f"{error!r:.300}", key)

    def _look_at_problem(self, problem: dict[str, Any], key: Key) -> None:
        code = problem.get("code")
        if code == "runtime.unexpected":
            self._tell_of_unexpected(problem, key)
        elif code in _ENDED:
            self.add("engine", f"{code}", f"{problem!r:.500}", key)

    def _tell_of_unexpected(self, problem: dict[str, Any], key: Key) -> None:
        reference = str((problem.get("params") or {}).get("reference", ""))
        self.add("unexpected", reference or f"{problem.get('detail')}", f"{problem!r:.1500}", key)

    def named_faults(self) -> list[Fault]:
        """The faults so far, each unexpected one by what the log says of it; none of them is given twice."""
        with self._changed:
            faults, self.faults = self.faults, []
        return [self._named(fault) if fault.kind == "unexpected" else fault for fault in faults]

    def _named(self, fault: Fault) -> Fault:
        reference = fault.signature.partition(": ")[2]
        if not _REFERENCE.fullmatch(reference):
            return fault
        log = self._log_of(reference)
        return Fault(fault.kind, f"unexpected: {cause_in(log) or 'no cause is logged'}", log[-3000:], fault.id)

    def _log_of(self, reference: str) -> str:
        """The log from a reference to the next one."""
        deadline = time.monotonic() + _LOG_WAIT_S
        while (at := self._stderr.find(reference.encode())) < 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        rest = bytes(self._stderr[at : at + _LOG_BYTES]) if at >= 0 else b""
        return rest.partition(b"Unexpected failure, reference")[0].decode("utf-8", "replace")


def _request(id_: Any, method: str, params: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": id_, "method": method}
    return json.dumps(message if params is None else {**message, "params": params}).encode()


def cause_in(log: str) -> str:
    """The last exception of a log and the frame of ours that it came through."""
    raised = _RAISED.findall(log)
    frames = _FRAME.findall(log)
    where = f" in {frames[-1][0]}:{frames[-1][1]}" if frames else ""
    return f"{raised[-1]}{where}" if raised else ""


def descendants(pid: int) -> list[psutil.Process]:
    """The processes below one, as far as they can be seen."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def still_there(processes: Sequence[psutil.Process]) -> Iterator[psutil.Process]:
    """Those that have not ended."""
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue


def _holds_surrogates(message: Any) -> bool:
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
