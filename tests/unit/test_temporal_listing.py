"""The words in which Temporal's lists are asked, and what comes back of them: cursors, times, keywords, memos."""

import time
from typing import Any

import pytest
from temporalio.api.common.v1 import Memo, Payload, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.converter import DataConverter

from orchestrators.temporal import listing
from orchestrators.temporal.attributes import method_keyword
from orchestrators.temporal.memo import Asked, members
from orchestrators.temporal.names import ASKED, ENDED, RUN
from orchestrators.temporal.reading import look_of
from schemas.method_source import MethodSource
from schemas.runs import RunQuery, RunRequest, RunState

SECOND = 1_000_000
ASKED_FOR = Asked(digest="abc", created_at=12.5)


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

        look = look_of(execution(memo(**{ASKED: Asked.of(run).model_dump(exclude_none=True)})), None)

        assert look is not None
        assert look.asked == Asked.of(run)
        assert (look.asked.method, look.asked.pipe, look.asked.created_at, look.asked.deadline) == (
            "d.mthds",
            "d.p",
            12.5,
            99.5,
        )

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
        [
            memo(),
            memo(note="by hand"),
            memo(**{ASKED: "nonsense"}),
            memo(**{ASKED: {"digest": 1}}),
            memo(**{ASKED: None}),
        ],
        ids=["empty", "of another", "a text", "of another shape", "null"],
    )
    def test_a_workflow_of_our_name_with_another_memo_is_no_run(self, kept: Memo) -> None:
        assert look_of(execution(kept), None) is None

    @pytest.mark.parametrize("ended", ["nonsense", {"state": "BROKEN"}, None], ids=repr)
    def test_an_end_of_another_shape_leaves_what_temporal_says(self, ended: object) -> None:
        kept = memo(**{ASKED: ASKED_FOR.model_dump(exclude_none=True), ENDED: ended})

        look = look_of(execution(kept, WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED), None)

        assert look is not None
        assert (look.state, look.ended.started_at, look.ended.problem) == (RunState.COMPLETED, None, None)
