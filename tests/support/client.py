"""A client that spawns a server and talks to its stdin and stdout, with a spy that looks at every message.

    with RpcClient([sys.executable, "-P", "-m", "tests.support.server"]) as client:
        assert client.result("echo", {"value": 1}) == {"value": 1}

On leaving the block stdin is closed, the server has to end, and whatever the spy found wrong is raised.
"""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from tests.support.mcp_spy import McpSpy

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60.0

Framing = Literal["lines", "headers"]

_UNSET: Any = object()
_PROBLEM_MEMBERS = {"code", "title", "detail", "domain", "retry", "next_step"}


class RpcFailed(AssertionError):
    """A call was answered with an error, which is in `error`."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(json.dumps(error))
        self.error = error


class Spy:
    """What is wrong with a server's messages, were it a message that is none or a second answer.

    What belongs to MCP is judged by its own rules, in `mcp`.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.mcp = McpSpy(self.faults)
        self.saw_all_sent = True
        """False once something was sent that the spy could not read: then it judges single messages only."""
        self._asked: Counter[Any] = Counter()
        self._answered: Counter[Any] = Counter()
        self._tokens: dict[Any, Any] = {}

    def saw_sent(self, message: Any) -> None:
        """Remember what a message of the client asks for."""
        for request in message if isinstance(message, list) else [message]:
            if isinstance(request, dict):
                self.mcp.saw_sent(request)
            if isinstance(request, dict) and _wants_answer(request):
                self._asked[_key(request["id"])] += 1
                params = request.get("params")
                meta = params.get("_meta") if isinstance(params, dict) else None
                if isinstance(meta, dict) and isinstance(meta.get("progressToken"), str | int):
                    self._tokens[_key(meta["progressToken"])] = _key(request["id"])

    def saw_received(self, message: Any) -> None:
        """Look at a message of the server."""
        if isinstance(message, list):
            if not message:
                self.faults.append("an empty batch")
            for answer in message:
                self._look_at_answer(answer)
        elif isinstance(message, dict) and "method" in message:
            self._look_at_notification(message)
        else:
            self._look_at_answer(message)

    def unanswered(self) -> list[Any]:
        """The ids that were asked more often than answered, each as (is text, id)."""
        silenced = self.mcp.silenced()
        late = [key for key, asked in self._asked.items() if self._answered[key] < asked and key not in silenced]
        return late if self.saw_all_sent else []

    def _look_at_answer(self, answer: Any) -> None:
        members = set(answer) if isinstance(answer, dict) else set()
        if members not in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}) or answer["jsonrpc"] != "2.0":
            self.faults.append(f"not an answer: {answer!r}")
            return
        if self.mcp.answers(answer):
            self.mcp.saw_answer(answer)
        elif "error" in answer:
            self._look_at_error(answer["error"])
        key = _key(answer["id"])
        self._answered[key] += 1
        if self.saw_all_sent and answer["id"] is not None and self._answered[key] > self._asked[key]:
            self.faults.append(f"an answer too many for {answer['id']!r}")

    def _look_at_error(self, error: Any) -> None:
        if not isinstance(error.get("code"), int) or not isinstance(error.get("message"), str):
            self.faults.append(f"not an error: {error!r}")
        if not set(error.get("data") or {}) >= _PROBLEM_MEMBERS:
            self.faults.append(f"an error without a problem document: {error!r}")

    def _look_at_notification(self, message: dict[str, Any]) -> None:
        params = message.get("params")
        if self.mcp.owns(message):
            self.mcp.saw_notification(message)
        elif set(message) != {"jsonrpc", "method", "params"} or message["method"] != "notifications/progress":
            self.faults.append(f"not a notification of the contract: {message!r}")
        elif not isinstance(params, dict) or not {"progressToken", "progress", "data"} <= set(params):
            self.faults.append(f"not a progress notification: {message!r}")
        elif self.saw_all_sent and _key(params["progressToken"]) not in self._tokens:
            self.faults.append(f"progress that nobody asked for: {message!r}")
        elif self.saw_all_sent and self._answered[self._tokens[_key(params["progressToken"])]]:
            self.faults.append(f"progress after the answer: {message!r}")


class Conversation:
    """What is said to a server and by it. A subclass has the way to the server."""

    def __init__(self, framing: Framing, allow_unanswered: bool = False) -> None:
        """`allow_unanswered` is for a test that kills the server."""
        self.messages: list[Any] = []
        """Everything received, in order."""
        self.spy = Spy()
        self._framing = framing
        self._allow_unanswered = allow_unanswered
        self._answers: dict[Any, list[Any]] = {}
        self._ended = False
        self._changed = threading.Condition()
        self._next_id = 0

    @property
    def notifications(self) -> list[dict[str, Any]]:
        """The notifications received so far, in order."""
        return [message for message in list(self.messages) if isinstance(message, dict) and "method" in message]

    def check(self) -> None:
        """Raise what the spy found, a request left unanswered among it."""
        assert not self.spy.faults, self.spy.faults
        if not self._allow_unanswered:
            assert not self.spy.unanswered(), f"never answered: {self.spy.unanswered()}; {self._state()}"

    def send(self, message: Any) -> None:
        """Send any JSON value as one message."""
        with self._changed:
            self.spy.saw_sent(message)
        self._write(self._framed(json.dumps(message).encode()))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are; the spy then no longer knows what has to be answered."""
        self.spy.saw_all_sent = False
        self._write(data)

    def request(self, method: str, params: Any = _UNSET, *, id: Any = _UNSET) -> Any:
        """Send a request without waiting; its id, one of our own unless given."""
        if id is _UNSET:
            self._next_id += 1
            id = f"client-{self._next_id}"
        self.send({"jsonrpc": "2.0", "id": id, "method": method, **({} if params is _UNSET else {"params": params})})
        return id

    def notify(self, method: str, params: Any = _UNSET) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, **({} if params is _UNSET else {"params": params})})

    def answer(self, id: Any, *, nth: int = 0) -> dict[str, Any]:
        """Wait for the answer to `id`, or for a later one where an id was used again."""
        answers = self._answers.setdefault(_key(id), [])
        self.wait_until(lambda: len(answers) > nth, f"an answer to {id!r}")
        return dict(answers[nth])

    def call(self, method: str, params: Any = _UNSET) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        return self.answer(self.request(method, params))

    def result(self, method: str, params: Any = _UNSET) -> Any:
        """The result of a call. Raises RpcFailed for an error."""
        answer = self.call(method, params)
        if "error" in answer:
            raise RpcFailed(answer["error"])
        return answer["result"]

    def error(self, method: str, params: Any = _UNSET) -> dict[str, Any]:
        """The error of a call that has to fail."""
        answer = self.call(method, params)
        assert "error" in answer, answer
        return dict(answer["error"])

    def message(self, matches: Callable[[Any], bool]) -> Any:
        """Wait for a message, received already or still to come, that `matches`."""
        self.wait_until(lambda: any(map(matches, self.messages)), "a message")
        return next(filter(matches, self.messages))

    def wait_until(self, is_so: Callable[[], bool], what: str = "it") -> None:
        """Wait until something received makes it so."""
        deadline = time.monotonic() + TIMEOUT_S
        with self._changed:
            while not is_so():
                assert not self._ended, f"the server ended before {what} came; {self._state()}"
                assert self._changed.wait(deadline - time.monotonic()), f"waited in vain for {what}; {self._state()}"

    def _write(self, data: bytes) -> None:
        raise NotImplementedError

    def _state(self) -> str:
        return f"{len(self.messages)} messages"

    def _framed(self, body: bytes) -> bytes:
        return body + b"\n" if self._framing == "lines" else b"Content-Length: %d\r\n\r\n%b" % (len(body), body)

    def _take(self, body: bytes) -> None:
        with self._changed:
            try:
                message = json.loads(body)
            except ValueError:
                self.spy.faults.append(f"not JSON on stdout: {body[:200]!r}")
                return
            self.spy.saw_received(message)
            self.messages.append(message)
            for answer in message if isinstance(message, list) else [message]:
                if isinstance(answer, dict) and "method" not in answer:
                    self._answers.setdefault(_key(answer.get("id")), []).append(answer)
            self._changed.notify_all()

    def _end(self) -> None:
        """The server says nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class RpcClient(Conversation):
    """One server process and the conversation with it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        framing: Framing = "lines",
        env: Mapping[str, str] | None = None,
        cwd: Path | str = ROOT,
        allow_unanswered: bool = False,
    ) -> None:
        """`env` replaces the whole environment."""
        super().__init__(framing, allow_unanswered)
        self.command = list(command)
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._stderr = bytearray()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._env,
            cwd=self._cwd,
        )
        self._threads = [
            threading.Thread(target=self._read_messages, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_stdin()
        try:
            self.wait()
        except AssertionError:
            self.process.kill()
            self.process.wait()
            if error is None:
                raise
        finally:
            for thread in self._threads:
                thread.join(TIMEOUT_S)
            for stream in (self.process.stdout, self.process.stderr):
                assert stream is not None
                stream.close()
        if error is None:
            self.check()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        """What the server has said on stderr so far; all of it once it has ended."""
        return bytes(self._stderr).decode()

    def close_stdin(self) -> None:
        """Let the server see the end of its input."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait(self) -> int:
        """Wait for the process to end; its exit status."""
        try:
            return self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end; {self._state()}") from None

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def _read_messages(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        read = _read_line if self._framing == "lines" else _read_headed
        while body := read(stdout):
            self._take(body)
        self._end()

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while chunk := os.read(self.process.stderr.fileno(), 65536):
            self._stderr += chunk

    def _state(self) -> str:
        return f"status {self.process.poll()}, {super()._state()}, stderr: {self.stderr[-2000:]}"


def _key(id_: Any) -> Any:
    """An id to look up by: 1 and "1" are two, 1 and 1.0 are one."""
    return isinstance(id_, str), id_


def _wants_answer(message: dict[str, Any]) -> bool:
    """Whether it is a request, a faulty one too, rather than a notification or a response of the client."""
    is_response = "method" not in message and ("result" in message or "error" in message)
    return "id" in message and _is_legal(message["id"]) and not is_response


def _is_legal(id_: Any) -> bool:
    return id_ is None or (isinstance(id_, str | int | float) and not isinstance(id_, bool))


def _read_line(stream: IO[bytes]) -> bytes:
    return stream.readline()


def _read_headed(stream: IO[bytes]) -> bytes:
    """A message behind headers, or one on a line, as a server sends it that takes its peer for one that does."""
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        if line[:1] in (b"{", b"["):
            return line
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return stream.read(length)
