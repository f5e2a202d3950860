"""What has happened in a run, on its way through heartbeats."""

import base64
import json
import os
import zlib

import pytest

from orchestrators.temporal.event_log import EventLog, events_of
from schemas.problem import NextStep, Problem
from schemas.runs import RunEvent

# Temporal takes no larger payload.
MOST_OF_A_PAYLOAD = 2 * 1024 * 1024
PROBLEM = Problem(code="run.lost", title="t", detail="d", next_step=NextStep(kind="retry", detail="again"))


def event(number: int = 1, **more: object) -> RunEvent:
    members = {"kind": "pipe_started", "at": 1.5, "pipe": f"d.p{number}", "started": number, **more}
    return RunEvent.model_validate({"run_id": "run-1", "seq": 0, **members})


def log_of(*events: RunEvent) -> EventLog:
    log = EventLog()
    for each in events:
        log.append(each)
    return log


def packed(text: bytes) -> dict[str, str]:
    return {"events": base64.b64encode(zlib.compress(text)).decode()}


def test_what_was_told_is_read_numbered_from_one_and_under_the_runs_id() -> None:
    events = [
        event(1),
        event(2, message="caf\N{LATIN SMALL LETTER E WITH ACUTE}\n\u2028", attempt=2),
        event(3, problem=PROBLEM),
    ]

    read = events_of(log_of(*events).to_json(), "run-2")

    assert read == [each.model_copy(update={"run_id": "run-2", "seq": number}) for number, each in enumerate(events, 1)]


def test_an_event_log_is_json_with_figures_that_people_can_read() -> None:
    log = log_of(event(1), event(7, ended=3, message="the seventh"))
    log.attempt, log.started_at = 2, 12.5

    snapshot = json.loads(json.dumps(log.to_json()))

    assert snapshot.pop("events")
    assert snapshot == {
        "attempt": 2,
        "started_at": 12.5,
        "event_count": 2,
        "started": 7,
        "ended": 3,
        "message": "the seventh",
    }


def test_what_is_known_already_is_left_out_and_the_rest_keeps_its_numbers() -> None:
    snapshot = log_of(*(event(number) for number in range(1, 6))).to_json()

    assert events_of(snapshot, "run-1", after=3) == events_of(snapshot, "run-1")[3:]
    assert events_of(snapshot, "run-1", after=5) == events_of(snapshot, "run-1", after=99) == []


def test_of_nothing_nothing_is_read() -> None:
    assert events_of(EventLog().to_json(), "run-1") == events_of({}, "run-1") == []


def test_every_snapshot_on_the_way_can_be_read() -> None:
    log = EventLog()

    for number in range(1, 50):
        log.append(event(number))
        assert [each.seq for each in events_of(log.to_json(), "run-1")] == list(range(1, number + 1))


def test_a_later_attempt_goes_on_where_the_earlier_one_was() -> None:
    first = log_of(event(1), event(2, ended=1))
    first.attempt, first.started_at = 1, 12.5

    second = EventLog(first.to_json())

    assert second.to_json() == first.to_json()
    second.append(event(3))
    assert [each.pipe for each in events_of(second.to_json(), "run-1")] == ["d.p1", "d.p2", "d.p3"]
    assert second.event_count == 3


def test_a_story_may_be_continued_many_times() -> None:
    log = EventLog()

    for number in range(1, 30):
        log = EventLog(log.to_json())
        log.append(event(number))

    assert [each.pipe for each in events_of(log.to_json(), "r")] == [f"d.p{number}" for number in range(1, 30)]


def test_what_does_not_fit_is_left_out_with_its_number_and_the_figures_go_on() -> None:
    log = EventLog()
    for number in range(1, 200):
        log.append(event(number, message=os.urandom(16_384).hex()))

    snapshot = log.to_json()

    read = events_of(snapshot, "run-1")
    assert len(json.dumps(snapshot)) < MOST_OF_A_PAYLOAD
    assert 0 < len(read) == snapshot["event_count"] == log.event_count < 199
    assert [each.pipe for each in read] == [f"d.p{number}" for number in range(1, len(read) + 1)]
    assert snapshot["started"] == 199


def test_ten_thousand_events_of_pipes_fit() -> None:
    log = log_of(*(event(number, path=f"d.all/step_{number}", node_id=f"node-{number}") for number in range(10_000)))

    assert log.event_count == 10_000
    assert len(json.dumps(log.to_json())) < MOST_OF_A_PAYLOAD


def test_one_event_alone_never_makes_a_heartbeat_too_large() -> None:
    log = log_of(event(1, message=os.urandom(3_000_000).hex(), problem=PROBLEM))

    assert len(json.dumps(log.to_json())) < MOST_OF_A_PAYLOAD
    assert [each.pipe for each in events_of(log.to_json(), "run-1")] == ["d.p1"]


def test_a_full_story_stays_full_for_the_next_attempt() -> None:
    full = log_of(*(event(number, message=os.urandom(16_384).hex()) for number in range(1, 200)))
    assert full.event_count < 199

    again = EventLog(full.to_json())

    again.append(event(200))
    assert again.event_count == full.event_count


def test_a_text_that_unpacks_to_more_than_any_story_has_is_not_unpacked() -> None:
    line = json.dumps({"kind": "pipe_started", "at": 1.5, "message": "x" * 3000}).encode() + b"\n"
    bomb = packed(line * 20_000)
    assert len(bomb["events"]) < 200_000

    assert len(events_of(bomb, "run-1")) < 10_000


@pytest.mark.parametrize(
    "events",
    ["", "AAAA", "%%%", base64.b64encode(b"no zlib").decode(), packed(b'{"kind":')["events"]],
    ids=["empty", "no zlib", "no base64", "text", "a line that is cut"],
)
def test_what_is_no_story_has_no_events(events: str) -> None:
    assert events_of({"events": events}, "run-1") == []


def line(**members: object) -> bytes:
    return json.dumps({"kind": "pipe_started", "at": 1.5, **members}).encode() + b"\n"


NEWER = line(kind="pipe_paused", budget={"cents": 3})
BROKEN = {
    "no JSON": b"{\n",
    "no object": b"[1]\n",
    "a text": b'"x"\n',
    "no UTF-8": b"\xff\n",
    "no kind": b'{"at": 1}\n',
    "a kind that is no text": line(kind=3),
    "no time": line(at=None),
    "nested too deeply to be read": b"[" * 100_000 + b"\n",
    "nested too deeply to be sent": b'{"kind": "pipe_started", "at": 1.5, "x": ' + b"[" * 300 + b"]" * 300 + b"}\n",
}


def test_an_event_of_a_kind_that_a_newer_release_knows_is_passed_on_as_it_is() -> None:
    (read,) = events_of(packed(NEWER), "run-1")

    told_as = read.model_dump(mode="json", exclude_none=True)
    assert (told_as["kind"], told_as["budget"], told_as["seq"]) == ("pipe_paused", {"cents": 3}, 1)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_event_that_cannot_be_read_is_left_out_with_its_number(broken: bytes) -> None:
    read = events_of(packed(line() + broken + line(pipe="d.p3")), "run-1")

    assert [(each.seq, each.pipe) for each in read] == [(1, None), (3, "d.p3")]


@pytest.mark.parametrize("before", [NEWER, *BROKEN.values()], ids=["of a newer release", *BROKEN])
def test_a_later_attempt_keeps_what_it_cannot_read(before: bytes) -> None:
    log = EventLog(packed(before))

    log.append(event(2))
    read = events_of(log.to_json(), "run-1")
    assert (read[-1].seq, read[-1].pipe, log.event_count) == (2, "d.p2", 2)


@pytest.mark.parametrize("before", ["nonsense", 3, [1], {"attempt": "x", "events": 5}, {"attempt": -5}], ids=repr)
def test_a_story_begins_anew_where_the_one_before_is_none(before: object) -> None:
    log = EventLog(before)

    log.append(event(1))
    assert (log.attempt, [each.seq for each in events_of(log.to_json(), "r")]) == (0, [1])


def test_more_events_than_any_story_has_are_not_read() -> None:
    assert len(events_of(packed(line() * 200_000), "run-1")) == 30_000


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_of_a_story_with_too_many_odd_events_the_rest_is_left_out(broken: bytes) -> None:
    read = events_of(packed(line() + broken[-2000:] * 1500 + line()), "run-1")

    assert [each.seq for each in read] == [1]
