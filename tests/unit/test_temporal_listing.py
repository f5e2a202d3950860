"""The words in which Temporal's lists are asked, and what comes back of them: cursors, times, keywords, memos."""

import time
from typing import Any

import pytest
from temporalio.api.common.v1 import Memo, Payload, Payloads, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.converter import DataConverter

from orchestrators.temporal import listing
from orchestrators.temporal.attributes import method_keyword
from orchestrators.temporal.memo import Asked, members
from orchestrators.temporal.names import ASKED, ENDED, RUN, WAITING
from orchestrators.temporal.reading import events_so_far, record_of, snapshot_of
from schemas.method_source import MethodSource
from schemas.runs import RunPage, RunQuery, RunRecord, RunRequest, RunState

SECOND = 1_000_000
ASKED_FOR = Asked(digest="abc", created_at=12.5)


COMPLETED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
FINAL = (2, 3, 4, 5, 7)
"""The statuses of workflows that have ended; some of the numbers after them are those of a newer Temporal."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


ODD: list[Any] = [
    "nonsense",
    "\ud800",
    "x" * 10_000,
    -1,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    10**400,
    253_402_300_800,
    True,
    [],
    [[]],
    {},
    {"state": "COMPLETED"},
    {"code": "a.b", "title": "t", "detail": "d", "next_step": {"kind": "k", "detail": "d"}, "params": nested(200)},
    nested(300),
]
"""Values that may be written where something else belongs; null stands for nothing."""


def payloads(value: Any) -> Payloads:
    return Payloads(payloads=[DataConverter.default.payload_converter.to_payload(value)])


def recorded(kept: Memo, status: int = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING) -> RunRecord:
    """The record of a run with this memo; it can be sent."""
    snapshot = snapshot_of(execution(kept, status), None)
    assert snapshot is not None
    record = record_of(snapshot, snapshot.ended.problem)
    assert RunPage(runs=[record]).model_dump(mode="json")
    return record


def memo(**values: Any) -> Memo:
    converter = DataConverter.default.payload_converter
    return Memo(fields={name: converter.to_payload(value) for name, value in values.items()})


def execution(kept: Memo, status: int = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING) -> Any:
    return WorkflowExecutionInfo(
        execution=WorkflowExecution(workflow_id="run-1", run_id="r"),
        type=WorkflowType(name=RUN),
        status=WorkflowExecutionStatus.ValueType(status),
        memo=kept,
    )


class TestCursor:
    """Where a page begins."""

    @pytest.mark.parametrize("run_id", ["run-1", "~", "a:b"])
    def test_one_that_a_page_gave_leads_back_to_its_place(self, run_id: str) -> None:
        place = listing._Place(1_700_000_000_000_001, run_id)

        assert listing._Place.of(str(place)) == place

    @pytest.mark.parametrize(
        "cursor",
        [
            None,
            "",
            ":",
            "nonsense",
            "1:",
            ":run-1",
            "-1:run-1",
            "1.5:run-1",
            "1e9:run-1",
            "nan:run-1",
            " 1:run-1",
            "0x1:run-1",
            "\N{SUPERSCRIPT TWO}:run-1",
            "9" * 19 + ":run-1",
            "9" * 10_000 + ":run-1",
            "1\x00:run-1",
        ],
        ids=repr,
    )
    def test_one_that_no_page_gave_begins_at_the_newest_run(self, cursor: str | None) -> None:
        assert listing._Place.of(cursor) is None

    def test_every_place_can_be_asked_for(self) -> None:
        for taken_at in (0, 1, 10**17 - 1):
            place = listing._Place.of(f"{taken_at}:run-1")
            assert place is not None
            assert listing._text(place.taken_at + 1)


class TestTimes:
    """The text of a time in Temporal's query language."""

    @pytest.mark.parametrize(
        ("at", "text"),
        [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
            (1_700_000_000 * SECOND + 999_999, "2023-11-14T22:13:20.999999Z"),
        ],
    )
    def test_it_has_all_its_microseconds(self, at: int, text: str) -> None:
        assert listing._text(at) == text

    def test_a_window_holds_its_lower_end_and_not_its_upper_one(self) -> None:
        asked = listing._within("A = 'b'", 0, SECOND)

        assert asked == (
            "A = 'b' AND StartTime >= '1970-01-01T00:00:00.000000Z' AND StartTime < '1970-01-01T00:00:01.000000Z'"
        )

    @pytest.mark.parametrize("since", [None, -1e300, -1.0, 0.0, 1e-300])
    def test_a_list_without_a_beginning_begins_with_the_epoch(self, since: float | None) -> None:
        assert listing._floor(RunQuery(since=since)) == 0

    def test_a_list_begins_a_little_early_for_clocks_that_differ(self) -> None:
        now = time.time()

        assert now - 3600 < listing._floor(RunQuery(since=now)) / SECOND < now


class TestMethodKeyword:
    """A method's name as a value of a search attribute."""

    @pytest.mark.parametrize(
        "method", ["", "hello.mthds", "caf\N{LATIN SMALL LETTER E WITH ACUTE} 1/x.mthds", "x" * 200]
    )
    def test_a_plain_name_is_itself(self, method: str) -> None:
        assert method_keyword(method) == method

    @pytest.mark.parametrize(
        "method",
        ["x" * 201, "it's", 'say "so"', "back\\slash", "a\nb", "a\x00b", "\ud800", "' OR MthdsMethod IS NOT NULL --"],
        ids=repr,
    )
    def test_an_odd_name_is_something_that_every_store_can_quote(self, method: str) -> None:
        keyword = method_keyword(method)

        assert keyword == method_keyword(method)
        assert keyword.startswith("sha256:")
        assert len(keyword) <= 200
        assert keyword.replace(":", "").isalnum()

    def test_different_names_have_different_keywords(self) -> None:
        names = ["x" * 201, "x" * 202, "it's", "its", "it'", "\ud800", "\ud801"]

        assert len({method_keyword(name) for name in names}) == len(names)


class TestMemo:
    """What stands beside a workflow, be it ours or not."""

    def test_what_is_asked_for_comes_back_as_it_was(self) -> None:
        run = RunRequest(
            run_id="run-1",
            method=MethodSource(mthds_contents=["domain = 'd'"], name="d.mthds"),
            orchestration_mode="temporal",
            pipe_code="d.p",
            created_at=12.5,
            deadline=99.5,
        )

        snapshot = snapshot_of(execution(memo(**{ASKED: Asked.of(run).model_dump(exclude_none=True)})), None)

        assert snapshot is not None
        assert snapshot.asked == Asked.of(run)
        assert (snapshot.asked.method, snapshot.asked.pipe, snapshot.asked.created_at, snapshot.asked.deadline) == (
            "d.mthds",
            "d.p",
            12.5,
            99.5,
        )

    def test_a_memo_that_cannot_be_read_is_a_run_with_a_problem(self) -> None:
        for odd in ODD:
            record = recorded(memo(**{ASKED: odd}))

            assert (record.state, record.created_at) == (RunState.QUEUED, "1970-01-01T00:00:00+00:00")
            assert record.problem is not None
            assert (record.problem.code, record.problem.title) == ("run.lost", "The run's outcome is lost")

    @pytest.mark.parametrize("status", list(range(10)))
    @pytest.mark.parametrize("name", ["digest", "method", "pipe", "created_at", "deadline"])
    def test_no_odd_member_of_what_was_asked_for_takes_the_others_with_it(self, name: str, status: int) -> None:
        whole = Asked(digest="abc", method="m", pipe="d.p", created_at=12.5, deadline=99.5).model_dump()

        for odd in ODD:
            record = recorded(memo(**{ASKED: whole | {name: odd}}), status)

            assert name in ("method", "digest") or record.method == "m"
            assert name in ("pipe", "digest") or record.pipe == "d.p"

    @pytest.mark.parametrize("status", list(range(10)))
    @pytest.mark.parametrize(
        "name",
        ["state", "finished_at", "started_at", "attempt", "event_count", "started", "ended", "problem", "more"],
    )
    def test_no_odd_member_of_an_end_takes_the_record(self, name: str, status: int) -> None:
        end = {"state": "COMPLETED", "finished_at": 20, "attempt": 2, "event_count": 4}

        for odd in ODD:
            kept = {ASKED: ASKED_FOR.model_dump(exclude_none=True), ENDED: end | {name: odd}, WAITING: {name: odd}}
            record = recorded(memo(**kept), status)

            assert record.state.is_final == (status in FINAL)
            assert status != COMPLETED or record.state is RunState.COMPLETED

    @pytest.mark.parametrize("status", list(range(10)))
    def test_odd_details_of_a_heartbeat_are_no_story(self, status: int) -> None:
        kept = memo(**{ASKED: ASKED_FOR.model_dump(exclude_none=True)})
        names = ("attempt", "started_at", "event_count", "started", "ended", "message", "events")
        for odd in [*ODD, *({name: odd} for name in names for odd in ODD)]:
            activity = PendingActivityInfo(
                state=PendingActivityState.PENDING_ACTIVITY_STATE_STARTED, heartbeat_details=payloads(odd)
            )
            snapshot = snapshot_of(execution(kept, status), activity)

            assert snapshot is not None
            assert record_of(snapshot, None).model_dump_json()
            assert events_so_far(snapshot, 0) == []

    def test_what_is_no_json_at_all_is_no_story(self) -> None:
        kept = memo(**{ASKED: ASKED_FOR.model_dump(exclude_none=True)})
        for data in (b"", b"{", b"\xff", b"[" * 200_000):
            activity = PendingActivityInfo(heartbeat_details=Payloads(payloads=[Payload(data=data)]))

            snapshot = snapshot_of(execution(kept), activity)

            assert snapshot is not None
            assert (snapshot.ended.attempt, events_so_far(snapshot, 0)) == (0, [])

    @pytest.mark.parametrize(
        ("status", "said", "state"),
        [
            (WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED, "TIMED_OUT", RunState.TIMED_OUT),
            (WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED, "COMPLETED", RunState.FAILED),
            (WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED, "FAILED", RunState.COMPLETED),
            (WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED, "COMPLETED", RunState.CANCELLED),
            (WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, "COMPLETED", RunState.TIMED_OUT),
        ],
    )
    def test_a_memo_says_no_other_end_than_temporal_has(self, status: int, said: str, state: RunState) -> None:
        asked, ended = ASKED_FOR.model_dump(exclude_none=True), {"state": said, "finished_at": 20, "attempt": 3}

        record = recorded(memo(**{ASKED: asked, ENDED: ended}), status)

        assert (record.state, record.attempt) == (state, 3)

    def test_members_that_are_no_json_are_nobodys(self) -> None:
        foreign = Memo(
            fields={
                "binary": Payload(metadata={"encoding": b"binary/plain"}, data=b"\xff"),
                "encrypted": Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\xff"),
                "nothing": Payload(metadata={"encoding": b"binary/null"}),
                "bare": Payload(data=b"{}"),
                "broken": Payload(metadata={"encoding": b"json/plain"}, data=b"{"),
                "undecodable": Payload(metadata={"encoding": b"json/plain"}, data=b"\xff"),
                "json": Payload(metadata={"encoding": b"json/plain"}, data=b"[1]"),
            }
        )

        assert members(foreign) == {"json": [1]}

    @pytest.mark.parametrize(
        "kept",
        [memo(), memo(note="by hand")],
        ids=["empty", "of another"],
    )
    def test_a_workflow_of_our_name_without_our_memo_is_no_run(self, kept: Memo) -> None:
        assert snapshot_of(execution(kept), None) is None

    @pytest.mark.parametrize(
        "ended",
        ["nonsense", {"state": "BROKEN"}, {"state": "RUNNING"}, {"state": "FAILED", "finished_at": 5}, None],
        ids=repr,
    )
    def test_an_end_of_another_shape_leaves_what_temporal_says(self, ended: object) -> None:
        kept = memo(**{ASKED: ASKED_FOR.model_dump(exclude_none=True), ENDED: ended})

        snapshot = snapshot_of(execution(kept, WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED), None)

        assert snapshot is not None
        assert (snapshot.state, snapshot.ended.started_at, snapshot.ended.problem) == (RunState.COMPLETED, None, None)
