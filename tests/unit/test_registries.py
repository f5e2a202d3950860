"""Building what serves a token, mapping errors, tearing down: with plain objects in place of real orchestrators."""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from orchestrators.plugins import registries
from orchestrators.plugins.contract import FoundToken, PluginContext
from orchestrators.plugins.registrar import PluginOrigin, Registrar, Registrations
from orchestrators.plugins.registries import Plugins
from schemas.problem import NextStep, Problem, ProblemError, problem_error

pytestmark = pytest.mark.anyio

ORIGIN = PluginOrigin("sample", "sample-dist", "1.0")
OTHER = PluginOrigin("other", "other-dist", "2.0")


class Sample(Exception):
    """What the sample plugin raises."""


class SpecialSample(Sample):
    """One of its own."""


def context_of(origin: PluginOrigin, mode: str) -> PluginContext:
    return PluginContext(
        settings={"of": origin.name},
        state_dir=Path("/nowhere"),
        engines=cast("Any", None),
        logger=logging.getLogger(origin.name),
        mode=mode,
    )


def plugins(*registrars: Registrar) -> Plugins:
    registrations = Registrations()
    for registrar in registrars:
        registrations.merge(registrar)
    return Plugins(registrations, [registrar.origin for registrar in registrars], context_of)


def with_orchestrator(factory: Callable[[PluginContext], Any], *, fire_and_forget: bool = False) -> Registrar:
    registrar = Registrar(ORIGIN)
    registrar.add_orchestrator("mode", factory, supports_fire_and_forget=fire_and_forget)
    return registrar


def problem(code: str) -> Callable[[BaseException], Problem]:
    return lambda error: Problem(
        code=code, title="t", detail=str(error), next_step=NextStep(kind="retry", detail="again")
    )


async def test_what_one_plugin_offers_is_built_one_after_the_other() -> None:
    """Two threads that import an SDK at once may both find it half imported."""
    both, met = threading.Barrier(2), []

    def factory(context: PluginContext) -> Any:
        try:
            met.append(both.wait(timeout=0.2))
        except threading.BrokenBarrierError:
            both.reset()

    registrar = with_orchestrator(factory)
    registrar.add_bundle_validator("mode", factory)
    offered = plugins(registrar)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(offered.orchestrators.get, "mode")
        tasks.start_soon(offered.validators.get, "mode")

    assert met == []


async def test_the_views_tell_what_is_registered() -> None:
    registrar = with_orchestrator(lambda context: None, fire_and_forget=True)
    registrar.add_orchestrator("blocking", lambda context: None, supports_fire_and_forget=False)

    orchestrators = plugins(registrar).orchestrators

    assert orchestrators.modes() == ["blocking", "mode"]
    assert orchestrators.has("mode")
    assert not orchestrators.has("Mode")
    assert orchestrators.supports_fire_and_forget("mode")
    assert not orchestrators.supports_fire_and_forget("blocking")
    assert not orchestrators.supports_fire_and_forget("unknown")


async def test_nothing_is_built_before_its_first_use_and_then_with_its_plugins_context() -> None:
    built: list[PluginContext] = []
    registry = plugins(with_orchestrator(built.append)).orchestrators
    assert built == []

    await registry.get("mode")

    assert [(context.mode, context.settings["of"]) for context in built] == [("mode", "sample")]


async def test_first_uses_at_once_build_once_and_get_the_same() -> None:
    gate = threading.Event()
    built: list[object] = []

    def factory(context: PluginContext) -> Any:
        gate.wait(10)
        built.append(object())
        return built[-1]

    registry = plugins(with_orchestrator(factory)).orchestrators
    got: list[object] = []

    async def use() -> None:
        got.append(await registry.get("mode"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        gate.set()

    assert len(built) == 1
    assert got == built * 5


async def test_the_loop_goes_on_while_a_factory_takes_its_time() -> None:
    gate = threading.Event()
    registry = plugins(with_orchestrator(lambda context: gate.wait(10))).orchestrators

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.get, "mode")
        await anyio.wait_all_tasks_blocked()
        gate.set()


async def test_a_build_that_failed_is_tried_again_at_the_next_use() -> None:
    outcomes: list[Any] = ["built", RuntimeError("no luck")]

    def factory(context: PluginContext) -> Any:
        outcome = outcomes.pop()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    registry = plugins(with_orchestrator(factory)).orchestrators
    with pytest.raises(ProblemError) as raised:
        await registry.get("mode")

    assert raised.value.problem.code == "pipelex.plugin.broken"
    assert "'sample' (sample-dist 1.0)" in raised.value.problem.detail
    assert "no luck" not in json.dumps(raised.value.problem.to_wire())
    assert await registry.get("mode") == "built"


async def test_a_factory_whose_first_caller_was_cancelled_serves_the_next() -> None:
    gate, entered = threading.Event(), threading.Event()

    def factory(context: PluginContext) -> Any:
        entered.set()
        gate.wait(10)
        return "built"

    registry = plugins(with_orchestrator(factory)).orchestrators
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.get, "mode")
        await anyio.to_thread.run_sync(entered.wait)
        tasks.cancel_scope.cancel()
        gate.set()

    assert await registry.get("mode") == "built"


async def test_a_problem_that_a_factory_raises_passes_through() -> None:
    def factory(context: PluginContext) -> Any:
        raise problem_error("x.unreachable", "the store is away", next_step=("retry", "later"))

    with pytest.raises(ProblemError) as raised:
        await plugins(with_orchestrator(factory)).orchestrators.get("mode")

    assert raised.value.problem.code == "x.unreachable"


async def test_a_factorys_own_error_is_mapped_by_its_plugin() -> None:
    def factory(context: PluginContext) -> Any:
        raise Sample("away")

    registrar = with_orchestrator(factory)
    registrar.add_error_mapper(lambda: Sample, problem("sample.away"), rpc_code=-31950)

    with pytest.raises(ProblemError) as raised:
        await plugins(registrar).orchestrators.get("mode")

    assert raised.value.problem.code == "sample.away"
    assert raised.value.rpc_code == -31950


async def test_a_token_that_nobody_serves_is_refused_with_those_that_are() -> None:
    with pytest.raises(ProblemError) as raised:
        await plugins(with_orchestrator(lambda context: None)).orchestrators.get("nope")

    assert raised.value.problem.code == "runtime.unsupported"
    assert (raised.value.problem.params or {})["available"] == ["mode"]


async def test_the_mapper_of_the_most_specific_type_is_used() -> None:
    registrar = with_orchestrator(lambda context: None)
    registrar.add_error_mapper(lambda: Sample, problem("sample.any"))
    registrar.add_error_mapper(lambda: SpecialSample, problem("sample.special"), rpc_code=-31999)
    opened = plugins(registrar)
    await opened.orchestrators.get("mode")

    special = opened.errors.map(SpecialSample("one"))
    plain = opened.errors.map(Sample("two"))

    assert special is not None
    assert (special.problem.code, special.rpc_code) == ("sample.special", -31999)
    assert plain is not None
    assert (plain.problem.code, plain.rpc_code) == ("sample.any", None)
    assert opened.errors.map(ValueError("three")) is None


async def test_no_exception_type_is_asked_for_before_its_plugin_was_used() -> None:
    asked: list[str] = []

    def exception_type() -> type[BaseException]:
        asked.append("asked")
        return Sample

    registrar = with_orchestrator(lambda context: None)
    registrar.add_error_mapper(exception_type, problem("sample.any"))
    opened = plugins(registrar)

    assert opened.errors.map(Sample("early")) is None
    assert asked == []
    await opened.orchestrators.get("mode")
    assert opened.errors.map(Sample("late")) is not None


async def test_a_mapper_that_fails_maps_nothing() -> None:
    def broken(error: BaseException) -> Problem:
        raise KeyError("code")

    registrar = with_orchestrator(lambda context: None)
    registrar.add_error_mapper(lambda: Sample, broken)
    opened = plugins(registrar)
    await opened.orchestrators.get("mode")

    assert opened.errors.map(Sample("x")) is None


async def test_a_type_that_cannot_be_imported_keeps_no_other_from_being_mapped() -> None:
    def missing() -> type[BaseException]:
        raise ModuleNotFoundError("no_such_sdk")

    registrar = with_orchestrator(lambda context: None)
    registrar.add_error_mapper(missing, problem("sample.missing"))
    registrar.add_error_mapper(lambda: Sample, problem("sample.any"))
    opened = plugins(registrar)
    await opened.orchestrators.get("mode")

    mapped = opened.errors.map(Sample("x"))

    assert mapped is not None
    assert mapped.problem.code == "sample.any"


async def test_a_type_mapped_by_two_plugins_is_a_conflict_that_names_both() -> None:
    first = with_orchestrator(lambda context: None)
    second = Registrar(OTHER)
    second.add_orchestrator("other-mode", lambda context: cast("Any", None), supports_fire_and_forget=False)
    for registrar in (first, second):
        registrar.add_error_mapper(lambda: Sample, problem("sample.any"))
    opened = plugins(first, second)
    for mode in ("mode", "other-mode"):
        await opened.orchestrators.get(mode)

    mapped = opened.errors.map(Sample("x"))

    assert mapped is not None
    assert mapped.problem.code == "pipelex.plugin.conflict"
    assert "'sample' (sample-dist 1.0)" in mapped.problem.detail
    assert "'other' (other-dist 2.0)" in mapped.problem.detail


async def test_teardown_goes_backwards_past_failures_and_happens_once() -> None:
    order: list[str] = []

    async def slow() -> None:
        await anyio.lowlevel.checkpoint()
        order.append("async")

    def failing() -> None:
        order.append("failing")
        raise OSError("already gone")

    registrar = with_orchestrator(lambda context: None)
    registrar.add_teardown(lambda: order.append("first"))
    registrar.add_teardown(slow)
    registrar.add_teardown(failing)
    opened = plugins(registrar)

    await opened.aclose()
    await opened.aclose()

    assert order == ["failing", "async", "first"]


async def test_a_teardown_that_hangs_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registries, "TEARDOWN_S", 0.05)
    order: list[str] = []
    registrar = with_orchestrator(lambda context: None)
    registrar.add_teardown(lambda: order.append("first"))
    registrar.add_teardown(anyio.sleep_forever)

    await plugins(registrar).aclose()

    assert order == ["first"]
    assert "the teardown of the plugin 'sample' (sample-dist 1.0) took more than 0.05 s" in caplog.text


async def test_teardown_happens_though_its_task_is_cancelled() -> None:
    order: list[str] = []

    async def slow() -> None:
        await anyio.lowlevel.checkpoint()
        order.append("ended")

    registrar = with_orchestrator(lambda context: None)
    registrar.add_teardown(slow)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await plugins(registrar).aclose()

    assert order == ["ended"]


class Source:
    """Finds the tokens it is given."""

    def __init__(self, *, fails: int = 0) -> None:
        self.asked = 0
        self._fails = fails

    async def tokens(self) -> list[FoundToken]:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        if self.asked <= self._fails:
            raise problem_error("runtime.unavailable", "no engine", next_step=("retry", "later"))
        return [FoundToken(mode, "somebody", supports_fire_and_forget=True) for mode in ("found", "mode")]

    def orchestrator(self, context: PluginContext) -> Any:
        return f"orchestrator of {context.mode}"

    def validator(self, context: PluginContext) -> Any:
        return f"validator of {context.mode}"


def with_source(source: Source) -> Plugins:
    registrar = with_orchestrator(lambda context: "ours")
    registrar.add_token_source(lambda context: source)
    return plugins(registrar)


async def test_a_registered_token_asks_no_source() -> None:
    source = Source()
    opened = with_source(source)

    await opened.look_up("mode")

    assert source.asked == 0


async def test_a_source_serves_what_nobody_registered_and_is_asked_once() -> None:
    source = Source()
    opened = with_source(source)

    async with anyio.create_task_group() as tasks:
        for mode in ("found", "found", "unknown"):
            tasks.start_soon(opened.look_up, mode)

    assert source.asked == 1
    assert opened.orchestrators.modes() == ["found", "mode"]
    assert opened.orchestrators.supports_fire_and_forget("found")
    assert await opened.orchestrators.get("found") == "orchestrator of found"
    assert await opened.validators.get("found") == "validator of found"


async def test_a_token_that_is_registered_stays_with_its_plugin_whatever_a_source_finds() -> None:
    opened = with_source(Source())

    await opened.look_up("found")

    assert await opened.orchestrators.get("mode") == "ours"
    assert not opened.orchestrators.supports_fire_and_forget("mode")


async def test_what_a_source_found_is_told_with_whom_it_is_shadowed_by() -> None:
    found = await with_source(Source()).found()

    assert [(one.token.mode, one.shadowed_by) for one in found] == [("found", None), ("mode", ORIGIN)]


async def test_a_source_that_could_not_answer_is_asked_again() -> None:
    source = Source(fails=1)
    opened = with_source(source)
    with pytest.raises(ProblemError):
        await opened.look_up("found")

    await opened.look_up("found")

    assert source.asked == 2
    assert opened.orchestrators.has("found")
