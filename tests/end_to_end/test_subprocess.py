"""A good subprocess: how a server behaves towards its descriptors, its environment and its own end."""

import json
import os
import pty
import select
import selectors
import signal
import socket
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.bundles import python_method
from tests.support.client import TIMEOUT_S, RpcClient
from tests.support.mthds_server import isolated_env
from tests.support.wire_server import COMMAND, wire_server

WHOLE = [sys.executable, "-P", "-m", "rpc_server.cli", "serve"]


@pytest.fixture(params=[COMMAND, WHOLE], ids=["wire", "whole"])
def command(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return isolated_env(tmp_path)


def line(method: str, id_: Any = None, **params: Any) -> bytes:
    members = {"jsonrpc": "2.0", "method": method, **({} if id_ is None else {"id": id_})}
    return json.dumps({**members, **({"params": params} if params else {})}).encode() + b"\n"


def piped(command: list[str], data: bytes, env: dict[str, str] | None = None, **options: Any) -> tuple[list[Any], Any]:
    """What the server answers to `data`, and the finished process."""
    done = subprocess.run(command, input=data, capture_output=True, env=env, timeout=TIMEOUT_S, **options)
    return [json.loads(text) for text in done.stdout.splitlines()], done


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, **options)
    try:
        yield process
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.mark.parametrize("count", [1, 2, 50])
def test_as_many_answers_as_requests_are_piped_in(command: list[str], env: dict[str, str], count: int) -> None:
    answers, done = piped(command, b"".join(line("version", number) for number in range(count)), env)

    assert sorted(answer["id"] for answer in answers) == list(range(count))
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("count", [1, 2, 50])
def test_slow_requests_that_are_piped_in_are_waited_for(count: int) -> None:
    slow = b"".join(line("wait", number, name="go") for number in range(count))

    answers, done = piped(COMMAND, slow + line("set", name="go"))

    assert {answer["id"]: answer["result"] for answer in answers} == dict.fromkeys(range(count), "go")
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_last_line_needs_no_line_feed(command: list[str], env: dict[str, str]) -> None:
    answers, _ = piped(command, line("version", 1).rstrip(), env)

    assert [answer["id"] for answer in answers] == [1]


@pytest.mark.parametrize("data", [b"", b"\n", line("unknown")])
def test_the_end_of_input_without_work_is_the_end(command: list[str], env: dict[str, str], data: bytes) -> None:
    _, done = piped(command, data, env)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_input_that_is_cut_short_is_told(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(
        command, input=b"Content-Length: 50\r\n\r\n{", capture_output=True, env=env, timeout=TIMEOUT_S
    )

    assert b'"id":null,"error":{"code":-32700' in done.stdout
    assert done.returncode == 0


def test_whatever_prints_reaches_stderr_and_not_the_stream() -> None:
    with wire_server() as server:
        server.result("noise")

    lines = {"printed \N{EM DASH}", "written to descriptor 1", "said by a child"}
    assert set(server.stderr.splitlines()) == lines


def test_a_child_holds_none_of_the_peers_descriptors() -> None:
    with wire_server() as server:
        assert server.process.stdin is not None
        assert server.process.stdout is not None
        ours = {os.fstat(stream.fileno()).st_ino for stream in (server.process.stdin, server.process.stdout)}

        assert not ours & set(server.result("child_files"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_cancels_and_answers_what_is_in_flight(how: signal.Signals) -> None:
    with wire_server() as server:
        waiting = server.request("wait", {"name": "never"})
        server.result("version")
        server.process.send_signal(how)

        assert server.answer(waiting)["error"]["code"] == -31070
        assert server.wait() == 0
    assert server.stderr == ""


def test_a_signal_ends_a_server_without_work(command: list[str], env: dict[str, str]) -> None:
    with RpcClient(command, env=env) as server:
        server.result("version")
        server.process.terminate()

        assert server.wait() == 0
    assert server.stderr == ""


def test_a_reader_that_is_gone_ends_the_server_in_silence(command: list[str], env: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with running(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(line("version", 1))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()

        assert process.wait(TIMEOUT_S) == 0
        assert process.stderr.read() == b""


def test_a_reader_that_is_gone_ends_calls_though_nothing_is_written() -> None:
    pipe = subprocess.PIPE
    with running(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line("wait", 1, name="never") + line("version", 2))
        process.stdin.close()
        process.stdout.readline()
        process.stdout.close()

        assert process.wait(TIMEOUT_S) == 0


def test_a_server_whose_parent_was_killed_ends_though_its_pipes_are_held_open(tmp_path: Path) -> None:
    """The parent starts the server, and another child that inherits the server's pipes and outlives the parent."""
    parent = """
import subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
server.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"version"}\\n')
server.stdin.flush()
server.stdout.readline()
holder = subprocess.Popen(["sleep", "600"], close_fds=False, pass_fds=[server.stdin.fileno(), server.stdout.fileno()])
print(server.pid, holder.pid, flush=True)
holder.wait()
"""
    with running([sys.executable, "-c", parent, *COMMAND], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        server, holder = (psutil.Process(int(pid)) for pid in process.stdout.readline().split())
        process.kill()
        try:
            gone, _ = psutil.wait_procs([server], TIMEOUT_S)
            assert gone == [server]
        finally:
            holder.kill()


@pytest.mark.parametrize("flag", ["--clientProcessId={}", "--client-process-id={}"])
def test_a_server_ends_with_the_process_that_an_editor_named(env: dict[str, str], flag: str) -> None:
    with subprocess.Popen(["sleep", "600"]) as client:
        command = [*WHOLE, "--stdio", flag.format(client.pid)]
        pipe = subprocess.PIPE
        with running(command, stdin=pipe, stdout=pipe, env=env) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(line("version", 1))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == 1
            client.kill()

            assert process.wait(TIMEOUT_S) == 0


def test_a_server_ends_where_the_process_that_an_editor_named_is_not_there(env: dict[str, str]) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()

    with running([*WHOLE, f"--clientProcessId={ended.pid}"], stdin=subprocess.PIPE, env=env) as process:
        assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("text", ["0", "-1", "x", "99999999999", "\N{DEVANAGARI DIGIT ONE}", ""])
def test_what_is_no_process_id_is_refused(env: dict[str, str], text: str) -> None:
    done = subprocess.run([*WHOLE, f"--clientProcessId={text}"], capture_output=True, env=env, timeout=TIMEOUT_S)

    assert done.returncode == 2
    assert b"is no process id" in done.stderr


def _fill_stderr(process: subprocess.Popen[bytes]) -> None:
    """Have the server log far more than a pipe takes."""
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(200):
        process.stdin.write(line("crash", 1, value="x" * 1000))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["error"]["code"] == -32603


@pytest.mark.parametrize("end", ["end of input", "signal", "reader gone"])
def test_an_unread_stderr_blocks_the_server_neither_at_work_nor_at_its_end(end: str) -> None:
    pipe = subprocess.PIPE
    with running(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        _fill_stderr(process)
        if end == "reader gone":
            process.stderr.close()
            _fill_stderr(process)
        if end == "signal":
            process.terminate()
        else:
            process.stdin.close()

        assert process.wait(TIMEOUT_S) == 0


def test_a_method_that_prints_much_ends_though_stderr_is_unread(env: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    body = "    import sys\n    for _ in range(3000):\n        print('x' * 99, flush=True)\n"
    source = python_method(f"{body}        print('y' * 99, file=sys.stderr)\n    return TextContent(text=word)")
    files = source.model_dump(mode="json")["files"]
    call = line("execute", 1, files=files, inputs={"word": "done"})
    with running([*WHOLE, "--allow-python"], stdin=pipe, stdout=pipe, stderr=pipe, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(call)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["output"] == {"text": "done"}
        process.stdin.close()

        assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize(
    "locale",
    [
        {},
        {"LC_ALL": "C"},
        {"LANG": "ja_JP.SJIS", "PYTHONIOENCODING": "cp932"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_text_is_utf_8_whatever_the_locale(tmp_path: Path, locale: dict[str, str]) -> None:
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **locale}
    with wire_server(env=bare, cwd="/") as server:
        assert server.result("echo", {"value": "é — 𝄞"}) == {"value": "é — 𝄞"}
        server.result("noise")

    assert "printed \N{EM DASH}" in server.stderr.splitlines()


def test_the_root_as_working_directory_and_a_bare_environment_are_enough(tmp_path: Path) -> None:
    bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    answers, done = piped(WHOLE, line("version", 1), bare, cwd="/")

    assert answers[0]["result"]["implementation"] == "mthds-rpc"
    assert (done.returncode, done.stderr) == (0, b"")


def test_files_serve_as_input_and_output(command: list[str], env: dict[str, str], tmp_path: Path) -> None:
    questions, answers = tmp_path / "in", tmp_path / "out"
    questions.write_bytes(b"".join(line("version", number) for number in range(3)))

    with questions.open() as source, answers.open("w") as sink:
        done = subprocess.run(command, stdin=source, stdout=sink, stderr=subprocess.PIPE, env=env, timeout=TIMEOUT_S)

    assert [json.loads(text)["id"] for text in answers.read_text().splitlines()] == [0, 1, 2]
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_answers_that_cannot_be_written_are_a_failure_that_is_told() -> None:
    with open("/dev/full", "w") as sink:
        done = subprocess.run(COMMAND, input=line("version", 1), stdout=sink, stderr=subprocess.PIPE, timeout=TIMEOUT_S)

    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["Answers cannot be written: No space left on device."]


@pytest.mark.parametrize("redirection", ["<&-", "</dev/null", "<&- >&-", "<&- >&- 2>&-", "</dev/null >/dev/null"])
def test_a_descriptor_that_is_closed_or_empty_is_the_end(
    command: list[str], env: dict[str, str], redirection: str
) -> None:
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *command]

    done = subprocess.run(shell, capture_output=True, env=env, timeout=TIMEOUT_S)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_socket_serves_as_both_input_and_output(command: list[str], env: dict[str, str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, running(command, stdin=theirs, stdout=theirs, env=env):
        theirs.close()
        ours.settimeout(TIMEOUT_S)
        stream = ours.makefile("rwb")
        stream.write(line("version", 1))
        stream.flush()
        assert json.loads(stream.readline())["id"] == 1
        ours.shutdown(socket.SHUT_WR)

        assert stream.read() == b""


def test_a_terminal_can_be_talked_to(env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with running(COMMAND, stdin=theirs, stdout=theirs, env=env) as process:
        os.close(theirs)
        os.write(ours, line("version", 1))
        assert json.loads(_line_from(ours))["id"] == 1
        process.terminate()
    os.close(ours)


def _line_from(fd: int) -> bytes:
    """One line, or a failure where none comes."""
    text = b""
    while not text.endswith(b"\n"):
        assert select.select([fd], [], [], TIMEOUT_S)[0], f"no answer came: {text!r}"
        piece = os.read(fd, 4096)
        assert piece, "the server ended"
        text += piece
    return text


def _pipes() -> tuple[int, int, list[int]]:
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    return in_read, out_write, [in_write, out_read]


def _sockets() -> tuple[int, int, list[int]]:
    ours, theirs = socket.socketpair()
    fd = theirs.detach()
    return fd, os.dup(fd), [ours.fileno(), os.dup(ours.detach())]


def _terminal() -> tuple[int, int, list[int]]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    return theirs, os.dup(theirs), [ours, os.dup(ours)]


@pytest.mark.parametrize("pair", [_pipes, _sockets, _terminal])
def test_a_description_that_others_share_stays_blocking_even_if_the_server_is_killed(pair: Any) -> None:
    source, sink, (to_server, from_server) = pair()
    try:
        with running(COMMAND, stdin=source, stdout=sink) as process:
            os.write(to_server, line("version", 1))
            assert json.loads(_line_from(from_server))["id"] == 1
            assert (os.get_blocking(source), os.get_blocking(sink)) == (True, True)
            process.kill()

        assert (os.get_blocking(source), os.get_blocking(sink)) == (True, True)
    finally:
        for fd in (source, sink, to_server, from_server):
            os.close(fd)


def test_a_message_over_the_limit_takes_no_memory() -> None:
    with wire_server("max_message_bytes=100000") as server:
        server.result("echo", {"value": "x" * 50_000})
        before = psutil.Process(server.pid).memory_info().rss
        for _ in range(200):
            server.send_bytes(b"x" * 1_000_000)
        server.send_bytes(b"\n")

        refused = server.message(lambda message: message.get("id", 0) is None)
        assert server.result("version") == {"version": "test"}
        grown = psutil.Process(server.pid).memory_info().rss - before

    assert refused["error"]["data"]["code"] == "request.too_large"
    assert grown < 20_000_000


def test_a_client_that_does_not_read_takes_no_memory() -> None:
    """The pipe fills, then the queue, and then no more is read: the client's own writes come to a halt."""
    pipe = subprocess.PIPE
    with running([*COMMAND, "max_queued_bytes=1000000", "stop_grace_s=0"], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line("version", 0))
        process.stdin.flush()
        process.stdout.readline()
        before = psutil.Process(process.pid).memory_info().rss
        os.set_blocking(process.stdin.fileno(), False)
        with selectors.DefaultSelector() as selector, suppress(BlockingIOError):
            selector.register(process.stdin, selectors.EVENT_WRITE)
            # Nobody reads, so one day nothing more can be written.
            while selector.select(1):
                os.write(process.stdin.fileno(), line("big", 1, count=1_000_000) * 10)
        grown = psutil.Process(process.pid).memory_info().rss - before
        process.terminate()

    assert grown < 60_000_000
