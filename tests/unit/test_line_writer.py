import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpc_server.transport.line_writer import LineWriter, text_stream

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    source, sink = os.pipe()
    yield source, sink
    for fd in (source, sink):
        try:
            os.close(fd)
        except OSError:
            continue


def read_to_end(source: int) -> bytes:
    with open(source, "rb") as stream:
        return stream.read()


def test_lines_arrive_in_order(pipe: tuple[int, int]) -> None:
    source, sink = pipe
    writer = LineWriter(sink)

    for number in range(100):
        writer.write(b"%d\n" % number)
    writer.drain()
    os.close(sink)

    assert read_to_end(source).split() == [b"%d" % number for number in range(100)]


def test_an_unread_pipe_blocks_no_writer_and_lost_lines_are_counted(pipe: tuple[int, int]) -> None:
    source, sink = pipe
    writer = LineWriter(sink, most_queued_bytes=200_000)
    for _ in range(20_000):
        writer.write(LINE)
    writer.drain()

    text, accounted = b"", 0
    while accounted < 20_000:
        text += os.read(source, 1 << 20)
        dropped = re.findall(rb"^mthds-rpc: (\d+) lines were dropped here, since they were not read$", text, re.M)
        accounted = text.count(LINE) + sum(map(int, dropped))

    assert accounted == 20_000
    assert text.count(LINE) >= 200_000 // len(LINE)


def test_a_reader_that_is_gone_costs_the_lines_alone(pipe: tuple[int, int]) -> None:
    source, sink = pipe
    os.close(source)
    writer = LineWriter(sink, most_queued_bytes=10_000)

    for _ in range(1000):
        writer.write(LINE)
        writer.drain()

    assert writer._unwritten == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_costs_the_lines_alone() -> None:
    with open("/dev/full", "wb") as full:
        writer = LineWriter(full.fileno())

        writer.write(LINE)
        writer.drain()

        assert writer._unwritten == 0


def test_a_descriptor_that_does_not_wait_is_waited_for(pipe: tuple[int, int]) -> None:
    source, sink = pipe
    os.set_blocking(sink, False)
    writer = LineWriter(sink)
    writer.write(LINE * 2000)

    text = b""
    while len(text) < 2000 * len(LINE):
        text += os.read(source, 1 << 20)

    assert text == LINE * 2000


def test_a_line_longer_than_the_queue_is_dropped_alone(pipe: tuple[int, int]) -> None:
    source, sink = pipe
    writer = LineWriter(sink, most_queued_bytes=1000)

    writer.write(b"y" * 2000 + b"\n")
    writer.write(LINE)
    writer.drain()
    os.close(sink)

    assert read_to_end(source).startswith(LINE)


def test_a_text_stream_takes_any_text_and_writes_whole_lines(pipe: tuple[int, int]) -> None:
    source, sink = pipe
    writer = LineWriter(sink)
    stream = text_stream(writer, 2)

    print("é", "\ud800", "—", file=stream)
    stream.write("not over")
    writer.drain()

    assert os.read(source, 1000).decode() == "é \\ud800 —\n"
    assert stream.fileno() == 2
