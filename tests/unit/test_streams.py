import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest

from rpc_server.transport.streams import (
    InputStream,
    OutputStream,
    _Descriptor,
    _File,
    _NonBlocking,
    _open_anew,
    _Socket,
)

pytestmark = pytest.mark.anyio

Pair = Callable[[], tuple[_Descriptor, _Descriptor]]


def shared_pipe() -> tuple[_Descriptor, _Descriptor]:
    source, sink = os.pipe()
    return _Descriptor(source), _Descriptor(sink)


def own_pipe() -> tuple[_Descriptor, _Descriptor]:
    source, sink = os.pipe()
    os.set_blocking(source, False)
    os.set_blocking(sink, False)
    return _NonBlocking(source), _NonBlocking(sink)


def sockets() -> tuple[_Descriptor, _Descriptor]:
    source, sink = socket.socketpair()
    return _Socket(source.detach()), _Socket(sink.detach())


@pytest.fixture(params=[shared_pipe, own_pipe, sockets])
def pair(request: pytest.FixtureRequest) -> Pair:
    made: Pair = request.param
    return made


@asynccontextmanager
async def pumped(descriptor: _Descriptor, max_queued_bytes: int = 1000) -> AsyncIterator[OutputStream]:
    output = OutputStream(descriptor, max_queued_bytes)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output.pump)
        with anyio.fail_after(30):
            yield output
        tasks.cancel_scope.cancel()


async def receive(source: InputStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await source.receive()
        assert piece
        data += piece
    return data


@pytest.mark.parametrize("size", [1, 5000, 1_000_000])
async def test_what_is_written_arrives(pair: Pair, size: int) -> None:
    source, sink = pair()
    data = os.urandom(size)
    with closing(source), closing(sink):
        async with pumped(sink) as output:
            output.write(data)
            with output.together():
                output.write(b"and")
                output.write(b" more")

            assert await receive(InputStream(source), size + 8) == data + b"and more"


async def test_the_end_of_a_stream_is_empty_bytes(pair: Pair) -> None:
    source, sink = pair()
    with closing(source):
        sink.close()

        assert await InputStream(source).receive() == b""


async def test_a_writer_waits_for_room_and_no_longer(pair: Pair) -> None:
    source, sink = pair()
    with closing(source), closing(sink):
        async with pumped(sink, max_queued_bytes=1000) as output:
            output.write(b"x" * 5_000_000)
            assert output.is_full

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive, InputStream(source), 5_000_000)
                await output.wait_for_room()
            assert not output.is_full
            await output.flush()


async def test_a_reader_that_is_gone_is_noticed_without_a_write(pair: Pair) -> None:
    source, sink = pair()
    with closing(sink):
        output = OutputStream(sink, 1000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(output.watch_reader)
            await anyio.wait_all_tasks_blocked()
            assert not output.gone.is_set()
            source.close()
            with anyio.fail_after(30):
                await output.gone.wait()


async def test_a_write_to_a_reader_that_is_gone_ends_in_silence(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    source, sink = pair()
    with closing(sink):
        source.close()
        async with pumped(sink) as output:
            output.write(b"x")
            await output.gone.wait()
            output.write(b"y")

            await output.flush()
            await output.wait_for_room()
    assert caplog.text == ""


async def test_a_peer_that_stops_sending_but_reads_on_is_not_gone() -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(_Socket(theirs.detach())) as sink:
        ours.shutdown(socket.SHUT_WR)

        assert not await sink.reader_is_gone()


async def test_files_are_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with closing(_File(os.open(path, os.O_WRONLY | os.O_CREAT))) as sink:
        async with pumped(sink) as output:
            with output.together():
                output.write(b"x" * 300_000)
                output.write(b"y")
            await output.flush()

    with closing(_File(os.open(path, os.O_RDONLY))) as source:
        assert await receive(InputStream(source), 300_001) == b"x" * 300_000 + b"y"
        assert await InputStream(source).receive() == b""


async def test_a_file_that_cannot_be_written_is_told_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    path.touch()
    with closing(_File(os.open(path, os.O_RDONLY))) as sink:
        async with pumped(sink) as output:
            output.write(b"x")
            await output.gone.wait()

    assert "Answers cannot be written" in caplog.text


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    source, sink = os.pipe()
    yield source, sink
    os.close(source)
    os.close(sink)


def test_a_pipe_opened_anew_leaves_the_shared_description_as_it_was(pipe: tuple[int, int]) -> None:
    own = _open_anew(pipe[1], os.O_WRONLY)

    assert os.get_blocking(pipe[1])
    if own is not None:
        assert not os.get_blocking(own)
        assert not os.get_inheritable(own)
        os.close(own)
