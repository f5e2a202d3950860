"""What an owner and an engine tell each other: frames, marks in files, signs of life, memory."""

import os
import struct
from pathlib import Path

import pytest

from orchestrators.engine.channel import BrokenChannel, FrameReader, decode, encode
from orchestrators.engine.marks import JobMarks, begun_jobs, withdraw
from orchestrators.engines.engine_memory import resident_by_session
from orchestrators.engines.keepalive import PING_S, Keepalive


def test_frames_that_come_in_pieces_are_put_together() -> None:
    stream = encode({"id": 1, "text": "é\ud800"}) + encode({"id": 2})
    reader = FrameReader()

    messages = [message for at in range(len(stream)) for message in reader.feed(stream[at : at + 1])]

    assert messages == [{"id": 1, "text": "é\ud800"}, {"id": 2}]


def test_a_frame_longer_than_the_most_is_refused_before_it_has_come() -> None:
    with pytest.raises(BrokenChannel):
        list(FrameReader(max_bytes=1000).feed(struct.pack(">I", 0xFFFFFFFF)))


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"nonsense", b"[1]", b"[" * 100_000], ids=str)
def test_a_frame_that_holds_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BrokenChannel):
        decode(body)


def test_a_job_that_was_withdrawn_is_not_taken_up(tmp_path: Path) -> None:
    engine = JobMarks(str(tmp_path))

    assert withdraw(str(tmp_path), 2)

    assert engine.take(1)
    assert not engine.take(2)
    assert engine.take(3)


def test_a_job_that_was_taken_up_cannot_be_withdrawn(tmp_path: Path) -> None:
    engine = JobMarks(str(tmp_path))

    assert engine.take(1)

    assert not withdraw(str(tmp_path), 1)


def test_jobs_that_have_begun_are_read_when_their_engine_is_gone(tmp_path: Path) -> None:
    engine = JobMarks(str(tmp_path))
    engine.take(1)
    engine.take(2)
    engine.begin(2)

    assert begun_jobs(str(tmp_path)) == {2}
    assert begun_jobs(str(tmp_path / "never booted")) == set()


def test_a_process_is_quiet_and_then_lost_by_the_pings_that_it_does_not_answer() -> None:
    keepalive = Keepalive()
    states = []
    for _ in range(20):
        keepalive.pinged()
        states.append((keepalive.is_quiet, keepalive.is_silent_for(20 * PING_S)))

    assert states == [(False, False)] * 4 + [(True, False)] * 15 + [(True, True)]


def test_whatever_comes_is_a_sign_of_life() -> None:
    keepalive = Keepalive()
    keepalive.pinged()
    assert keepalive.is_silent_for(0.1)

    keepalive.answered()

    assert not keepalive.is_silent_for(0.1)


def test_memory_is_measured_by_session() -> None:
    resident = resident_by_session()

    assert resident is not None
    assert resident[os.getsid(0)] > 10_000_000


def test_a_system_without_proc_tells_nothing(tmp_path: Path) -> None:
    assert resident_by_session(tmp_path / "proc") is None
