"""What every orchestrator does alike, as tests that pytest collects from a subclass."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

import anyio
import pytest

from orchestrators.plugins.testing.methods import INVALID
from orchestrators.plugins.testing.subject import PATIENCE_S, Subject, ids_of, new_id, open_mode, until
from schemas.problem import ProblemError
from schemas.runs import RunEvent, RunQuery, RunRequest, RunState

Ability = Literal["details", "failures", "unfinished", "filters", "pages", "events", "cancellation", "idempotency"]
"""What an orchestrator may lack. `docs/plugins.md` says what each means."""

Test = TypeVar("Test", bound=Callable[..., Any])

BAD_ENDS: dict[str, tuple[Callable[[Subject], RunRequest], RunState, str]] = {
    "fails": (lambda subject: subject.obedient(subject.order("fail")), RunState.FAILED, "pipe.function_raised"),
    "is invalid": (lambda subject: subject.greeting(bundle=INVALID), RunState.FAILED, "method.invalid"),
    "times out": (
        lambda subject: subject.obedient(subject.order("wait"), deadline=time.time() + 0.5),
        RunState.TIMED_OUT,
        "run.timed_out",
    ),
}
NO_CURSORS = ["nonsense", "nan:x", "inf:x", "1e999:x", ":", "1:\ud800", "1:\x00", "x" * 10_000]


def needs(*abilities: Ability) -> Callable[[Test], Test]:
    """Skip the test for an orchestrator that lacks one of the abilities."""

    def mark(test: Test) -> Test:
        test.__dict__["needs"] = abilities
        return test

    return mark


async def code_of(awaitable: Awaitable[object]) -> str:
    with pytest.raises(ProblemError) as raised:
        await awaitable
    return raised.value.problem.code


@pytest.mark.anyio
class LedgerContract:
    """Subclass it, set `mode`, and say in `lacks` what the orchestrator cannot do and why."""

    mode: ClassVar[str]
    lacks: ClassVar[Mapping[Ability, str]] = {}

    @classmethod
    def opened(cls, folder: Path) -> AbstractAsyncContextManager[Subject]:
        """The orchestrator for all tests of the class. Override it where `mode` alone does not say how to open it."""
        return open_mode(cls.mode, folder)

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls) -> str:
        return "asyncio"

    @pytest.fixture(scope="class")
    @classmethod
    async def subject(cls, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Subject]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIPELEX_HOME", str(tmp_path_factory.getbasetemp() / "pipelex-home"))
            async with cls.opened(tmp_path_factory.mktemp("subject")) as subject:
                yield subject

    @pytest.fixture(autouse=True)
    def _skip_what_it_lacks(self, request: pytest.FixtureRequest) -> None:
        assert set(self.lacks) <= set(get_args(Ability)), self.lacks
        for ability in getattr(request.function, "needs", ()):
            if ability in self.lacks:
                pytest.skip(f"{ability}: {self.lacks[ability]}")

    @needs("details")
    async def test_a_run_that_completes_is_kept_with_its_times_and_its_result(self, subject: Subject) -> None:
        run = await subject.begin(subject.greeting(method="hello.mthds"))

        result = await subject.ledger.result(run.run_id, PATIENCE_S)

        record = await subject.ledger.get(run.run_id)
        assert (result.output, result.pipeline_run_id) == ({"text": "Hello Ann"}, run.run_id)
        assert result.orchestration_mode == record.orchestration_mode == subject.mode
        assert (record.state, record.method, record.attempt) == (RunState.COMPLETED, "hello.mthds", 1)
        assert record.problem is None
        assert record.started_at is not None
        assert record.finished_at is not None
        assert record.created_at <= record.started_at <= record.finished_at

    async def test_an_unknown_run_is_not_found_by_any_call(self, subject: Subject) -> None:
        ledger = subject.ledger
        calls = [ledger.get("unknown"), ledger.cancel("unknown"), subject.events("unknown")]
        results = [ledger.result("unknown", 0), ledger.result("unknown", 30)]

        assert [await code_of(call) for call in [*calls, *results]] == ["run.not_found"] * 5

    @pytest.mark.parametrize("text", ["\ud800", "a\x00b", "\N{GRINNING FACE}"])
    async def test_any_text_goes_in_and_comes_out_unchanged(self, subject: Subject, text: str) -> None:
        run = await subject.begin(subject.greeting(text))

        result = await subject.ledger.result(run.run_id, PATIENCE_S)

        assert result.output == {"text": f"Hello {text}"}

    async def test_a_run_that_has_completed_is_not_cancelled_any_more(self, subject: Subject) -> None:
        run = await subject.begin(subject.greeting())
        record = await subject.ended(run.run_id)

        assert await subject.ledger.cancel(run.run_id) == record
        assert (await subject.ledger.result(run.run_id, 0)).output == {"text": "Hello Ann"}

    @needs("failures", "filters", "events")
    @pytest.mark.parametrize(("asked_for", "state", "code"), BAD_ENDS.values(), ids=BAD_ENDS)
    async def test_a_run_that_ends_badly_says_why_in_every_answer(
        self, subject: Subject, asked_for: Callable[[Subject], RunRequest], state: RunState, code: str
    ) -> None:
        run = await subject.begin(asked_for(subject))

        assert await code_of(subject.ledger.result(run.run_id, PATIENCE_S)) == code

        record = await subject.ledger.get(run.run_id)
        listed = await subject.ledger.list(RunQuery(state=state, limit=1000))
        last = (await subject.events(run.run_id))[-1]
        cancelled = await subject.ledger.cancel(run.run_id)
        assert record.state is cancelled.state is state
        assert record.problem is not None
        assert (record.problem.code, record.problem.pipeline_run_id) == (code, run.run_id)
        assert run.run_id in ids_of(listed.runs)
        assert (last.kind, last.problem) == ("run_ended", record.problem)
        assert await code_of(subject.ledger.result(run.run_id, 0)) == code

    @needs("unfinished")
    async def test_an_unfinished_run_has_no_result_and_a_call_that_waits_gets_it(self, subject: Subject) -> None:
        order = subject.order("until")
        run = await subject.begin_order(order)

        codes = [await code_of(subject.ledger.result(run.run_id, wait_s)) for wait_s in (0, 0.1)]
        state = (await subject.ledger.get(run.run_id)).state
        result = await order.let_go_during(subject.ledger.result(run.run_id, PATIENCE_S))

        assert codes == ["run.not_finished"] * 2
        assert state is RunState.RUNNING
        assert result.output == {"text": "until"}

    @needs("filters")
    async def test_runs_are_listed_newest_first_by_method_and_by_age(self, subject: Subject) -> None:
        runs = await subject.begin_greetings(4)
        method, ids = runs[0].method.name, [run.run_id for run in reversed(runs)]

        by_method = await subject.ledger.list(RunQuery(method=method))
        by_age = await subject.ledger.list(RunQuery(method=method, since=runs[2].created_at))
        of_another = await subject.ledger.list(RunQuery(method=new_id("another")))

        assert ids_of(by_method.runs) == ids
        assert {record.orchestration_mode for record in by_method.runs} == {subject.mode}
        assert ids_of(by_age.runs) == ids[:2]
        assert (of_another.runs, of_another.next_cursor) == ([], None)

    @needs("filters", "unfinished", "cancellation")
    async def test_runs_are_listed_by_the_state_that_they_are_in(self, subject: Subject) -> None:
        method = new_id("method")
        waiting = await subject.begin_order(subject.order("wait"), method=method)
        done = await subject.begin(subject.greeting(method=method))
        await subject.ended(done.run_id)

        running = await subject.ledger.list(RunQuery(method=method, state=RunState.RUNNING))
        completed = await subject.ledger.list(RunQuery(method=method, state=RunState.COMPLETED))
        await subject.ledger.cancel(waiting.run_id)
        cancelled = await subject.ledger.list(RunQuery(method=method, state=RunState.CANCELLED))

        assert ids_of(running.runs) == ids_of(cancelled.runs) == [waiting.run_id]
        assert ids_of(completed.runs) == [done.run_id]

    @needs("filters", "pages")
    async def test_pages_hold_every_run_once_even_if_many_began_in_the_same_moment(self, subject: Subject) -> None:
        runs = await subject.begin_greetings(40, in_one_second=7)
        query = RunQuery(method=runs[0].method.name)

        listed = [await subject.listed(query.model_copy(update={"limit": limit})) for limit in (1, 3, 20, 40)]

        created = {run.run_id: run.created_at for run in runs}
        assert sorted(listed[0]) == sorted(created)
        assert [created[run_id] for run_id in listed[0]] == sorted(created.values(), reverse=True)
        assert listed == [listed[0]] * 4

    @needs("filters", "pages")
    async def test_a_run_that_begins_between_two_pages_shifts_nothing(self, subject: Subject) -> None:
        runs = await subject.begin_greetings(4)
        query = RunQuery(method=runs[0].method.name, limit=2)

        first = await subject.ledger.list(query)
        await subject.begin(subject.greeting(method=query.method, created_at=runs[-1].created_at + 5))
        second = await subject.ledger.list(query.model_copy(update={"cursor": first.next_cursor}))

        assert ids_of([*first.runs, *second.runs]) == [run.run_id for run in reversed(runs)]

    @needs("filters", "pages")
    @pytest.mark.parametrize("cursor", NO_CURSORS)
    async def test_a_cursor_of_no_page_lists_runs_of_the_query_or_none(self, subject: Subject, cursor: str) -> None:
        (run,) = await subject.begin_greetings(1)

        page = await subject.ledger.list(RunQuery(method=run.method.name, cursor=cursor))

        assert ids_of(page.runs) in ([], [run.run_id])
        assert page.next_cursor is None

    @needs("filters", "pages")
    async def test_a_cursor_that_cannot_be_read_begins_at_the_newest_run(self, subject: Subject) -> None:
        (run,) = await subject.begin_greetings(1)

        page = await subject.ledger.list(RunQuery(method=run.method.name, cursor="nonsense"))

        assert ids_of(page.runs) == [run.run_id]

    @needs("details", "filters")
    @pytest.mark.parametrize("method", ["\ud800", "a\x00b", "'; drop table mthds_runs; --", "é" * 5000])
    async def test_a_method_of_any_name_is_kept_and_its_runs_are_listed(self, subject: Subject, method: str) -> None:
        run = await subject.begin(subject.greeting(method=method))

        record = await subject.ended(run.run_id)

        listed = await subject.ledger.list(RunQuery(method=record.method))
        assert record.state is RunState.COMPLETED
        assert run.run_id in ids_of(listed.runs)
        assert isinstance((await subject.ledger.list(RunQuery(method=method))).runs, list)

    @needs("events")
    async def test_a_watcher_gets_every_event_from_the_first_or_after_a_number(self, subject: Subject) -> None:
        run = await subject.begin(subject.greeting(pipe_code="greet_thrice"))

        every = await subject.events(run.run_id)
        some = await subject.events(run.run_id, after=4)
        none = [await subject.events(run.run_id, after=len(every) + more) for more in (0, 100)]

        kinds = [event.kind for event in every]
        assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
        assert kinds.count("pipe_started") == kinds.count("pipe_completed") == 4
        assert [event.seq for event in every] == list(range(1, 11))
        assert {(event.run_id, event.attempt) for event in every} == {(run.run_id, 1)}
        assert (every[-1].started, every[-1].ended) == (4, 4)
        assert (some, none) == (every[4:], [[], []])
        assert (await subject.ledger.get(run.run_id)).event_count == 10

    @needs("events", "unfinished")
    async def test_watchers_of_a_running_run_get_its_events_until_it_ends(self, subject: Subject) -> None:
        order = subject.order("until")
        run = await subject.begin_order(order)
        seen: list[list[RunEvent]] = [[], []]

        async def watch(events: list[RunEvent]) -> None:
            async for event in subject.ledger.watch(run.run_id, 0):
                events.append(event)

        async with anyio.create_task_group() as tasks:
            for events in seen:
                tasks.start_soon(watch, events)
            await until(lambda: all(len(events) >= 2 for events in seen))
            kinds_before = [event.kind for event in seen[0]]
            order.let_go()

        assert kinds_before == ["run_started", "pipe_started"]
        assert [event.kind for event in seen[0]] == ["run_started", "pipe_started", "pipe_completed", "run_ended"]
        assert [event.seq for event in seen[0]] == [1, 2, 3, 4]
        assert seen[0] == seen[1]

    @needs("events")
    async def test_the_events_of_an_execute_are_those_that_are_kept(self, subject: Subject) -> None:
        events: list[RunEvent] = []
        run = subject.greeting(pipe_code="greet_thrice")

        await subject.orchestrator.execute(run, events.append)

        assert events == await subject.events(run.run_id)
        assert [event.seq for event in events] == list(range(1, 11))

    @needs("cancellation", "unfinished", "events")
    @pytest.mark.parametrize("word", ["wait", "spin"], ids=["that waits", "stuck in synchronous Python"])
    async def test_a_running_run_that_is_cancelled_ends_as_cancelled(self, subject: Subject, word: str) -> None:
        order = subject.order(word)
        run = await subject.begin_order(order)

        with anyio.fail_after(15):
            record = await subject.ledger.cancel(run.run_id)

        last = (await subject.events(run.run_id))[-1]
        assert record.state is RunState.CANCELLED
        assert record.problem is not None
        assert record.problem.code == await code_of(subject.ledger.result(run.run_id, 0)) == "run.cancelled"
        assert (last.kind, last.problem) == ("run_ended", record.problem)
        assert await subject.ledger.cancel(run.run_id) == record
        assert order.times_begun == 1

    @needs("idempotency")
    async def test_the_same_request_again_is_the_same_run_and_another_is_refused(self, subject: Subject) -> None:
        run = subject.greeting()
        first = await subject.orchestrator.execute(run, None)

        again = await subject.orchestrator.execute(run.model_copy(update={"created_at": time.time()}), None)
        code = await code_of(subject.orchestrator.execute(subject.greeting("Bob", run_id=run.run_id), None))

        assert again == first
        assert code == "request.idempotency_conflict"
        assert (await subject.ledger.result(run.run_id, 0)).output == {"text": "Hello Ann"}

    @needs("idempotency", "unfinished")
    async def test_the_same_request_during_its_run_waits_for_that_run(self, subject: Subject) -> None:
        order = subject.order("until")
        run = await subject.begin_order(order)

        again = run.model_copy(update={"created_at": time.time()})
        result = await order.let_go_during(subject.orchestrator.execute(again, None))

        assert result.output == {"text": "until"}
        assert order.times_begun == 1

    @needs("idempotency", "failures")
    async def test_a_failed_run_that_is_asked_for_again_is_not_run_again(self, subject: Subject) -> None:
        order = subject.order("fail")
        run = subject.obedient(order)

        codes = [await code_of(subject.orchestrator.execute(run, None)) for _ in range(2)]

        assert codes == ["pipe.function_raised"] * 2
        assert order.times_begun == 1
