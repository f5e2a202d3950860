"""The index of methods: what is on disk, what engines told of it, and what is announced."""

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from rpc_server.mcp.tools.method_index import IndexedMethod, IndexLimits, MethodIndex
from rpc_server.mcp.tools.method_roots import method_roots
from rpc_server.mcp.tools.signature_cache import SignatureCache
from rpc_server.settings.settings import Settings
from rpc_server.workspace.scan import ScanBounds
from rpc_server.workspace.workspace import Workspace
from schemas.method_source import MethodSource
from schemas.problem import NextStep, Problem, ProblemError
from schemas.results import MethodSignature
from tests.support.settings import Machine

pytestmark = pytest.mark.anyio

BUNDLE = 'domain = "{0}"\ndescription = "About {0}"\nmain_pipe = "go"\n'
BOUNDS = ScanBounds(entries=10_000, depth=8, seconds=60, file_bytes=100_000)
LONG = 30.0


@dataclass
class Teller:
    """Tells signatures in place of engines: one text input for each line `# input: NAME` of a bundle."""

    asked: list[str] = field(default_factory=list)
    may_answer: anyio.Event = field(default_factory=anyio.Event)
    problem: Problem | None = None

    async def __call__(self, source: MethodSource, pipe_code: str | None) -> MethodSignature:
        assert source.name is not None
        self.asked.append(source.name)
        await self.may_answer.wait()
        text = "\n".join(str(entry) for entry in (source.files or {}).values())
        if "# crash" in text:
            raise RuntimeError("an unexpected failure")
        if "# refused" in text:
            raise ProblemError(refusal("method.invalid"))
        if self.problem is not None:
            raise ProblemError(self.problem)
        names = [line.split(": ")[1] for line in text.splitlines() if line.startswith("# input: ")]
        kind = "string" if "# no object" not in text else "object"
        return MethodSignature(
            pipe="d.go",
            inputs={
                "type": "object" if kind == "string" else "array",
                "properties": {n: {"type": kind} for n in names},
            },
            output={"type": "object", "properties": {"text": {"type": "string"}}},
            output_concept="native.Text",
            file_inputs=[],
            envelopes={},
        )


def refusal(code: str) -> Problem:
    return Problem(code=code, title="No", detail="No.", next_step=NextStep(kind="change_method", detail="Change it."))


@dataclass
class Bench:
    """A workspace, and an index over it whose announcements can be waited for."""

    machine: Machine
    teller: Teller
    cache: Path
    announced: anyio.Event = field(default_factory=anyio.Event)
    announcing_fails: bool = False

    def announce(self) -> None:
        if self.announcing_fails:
            raise ZeroDivisionError
        self.announced.set()

    @asynccontextmanager
    async def index(
        self, folders: Sequence[str] = (), reserved: Sequence[str] = (), read_s: float = LONG
    ) -> AsyncIterator[MethodIndex]:
        settings = self._settings(folders)
        async with anyio.create_task_group() as tasks:
            yield MethodIndex(
                method_roots(settings, Workspace.of(settings)),
                self.teller,
                SignatureCache(self.cache, "1"),
                IndexLimits(scan=BOUNDS, read_s=read_s),
                tasks,
                changed=self.announce,
                reserved=reserved,
            )
            tasks.cancel_scope.cancel()

    def write(self, path: str, *lines: str) -> None:
        """A bundle, last changed long ago: its very next change is another time."""
        directory, name = (self.machine.project / path).parent, Path(path).name
        written = self.machine.write(directory, name, BUNDLE.format(Path(path).stem) + "\n".join(lines))
        os.utime(written, (1, 1))

    def _settings(self, folders: Sequence[str]) -> Settings:
        if folders:
            text = f"[mcp]\nmethod_folders = [{', '.join(map(repr, folders))}]\n"
            self.machine.write(self.machine.pipelex_home, "rpc_override.toml", text)
        return self.machine.load()


@pytest.fixture
def bench(machine: Machine, tmp_path: Path) -> Bench:
    teller = Teller()
    teller.may_answer.set()
    return Bench(machine, teller, tmp_path / "cache")


def names(methods: Sequence[IndexedMethod]) -> list[str]:
    return [method.name for method in methods]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LONG):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_every_runnable_method_is_there_by_the_name_of_its_tool(bench: Bench) -> None:
    bench.write("tools/report/main.mthds", "# input: word")
    bench.write("loose.mthds")
    bench.machine.write(bench.machine.project, "library.mthds", 'domain = "library"\n')

    async with bench.index() as index:
        methods = await index.current(LONG)

    assert [(method.name, method.path) for method in methods] == [
        ("loose_mthds", "loose.mthds"),
        ("tools__report", "tools/report"),
    ]
    assert methods[1].inputs["properties"] == {"word": {"type": "string"}}
    assert index.problems == []


async def test_while_nothing_changes_the_list_is_the_same_object_and_nothing_is_asked_again(bench: Bench) -> None:
    bench.write("a.mthds")

    async with bench.index() as index:
        first = await index.current(LONG)
        second = await index.current(LONG)

    assert first is second
    assert bench.teller.asked == ["a.mthds"]


async def test_a_change_on_disk_is_noticed_and_announced(bench: Bench) -> None:
    bench.write("a.mthds", "# input: word")
    async with bench.index() as index:
        await index.current(LONG)

        bench.write("a.mthds", "# input: sentence")
        with anyio.fail_after(LONG):
            await bench.announced.wait()

        [method] = await index.current(LONG)
        assert list(method.inputs["properties"]) == ["sentence"]


async def test_a_change_of_a_file_beside_the_bundle_is_noticed(bench: Bench) -> None:
    bench.write("a/main.mthds")
    parts = bench.machine.project / "a" / "parts"
    bench.machine.write(parts, "helper.mthds", 'domain = "helper"\n# input: word\n')
    async with bench.index() as index:
        await index.current(LONG)

        bench.machine.write(parts, "helper.mthds", 'domain = "helper"\n# input: other\n')

        [method] = await index.current(LONG)
        assert list(method.inputs["properties"]) == ["other"]


async def test_an_unexpected_failure_leaves_one_method_out_and_releases_waiting_callers(bench: Bench) -> None:
    bench.write("a.mthds", "# crash")
    bench.write("b.mthds")

    async with bench.index() as index:
        methods = await index.current(LONG)

        assert index.is_complete
    assert names(methods) == ["b_mthds"]
    assert [(path, problem.code) for path, problem in index.problems] == [("a.mthds", "runtime.unexpected")]


async def test_an_announcement_that_fails_does_not_end_the_watching(bench: Bench) -> None:
    bench.write("a.mthds")

    async with bench.index() as index:
        await index.current(LONG)
        bench.announcing_fails = True
        bench.write("b.mthds")
        await index.current(LONG)
        bench.announcing_fails = False
        bench.write("c.mthds")

        assert names(await index.current(LONG)) == ["a_mthds", "b_mthds", "c_mthds"]


async def test_a_method_that_is_removed_is_gone(bench: Bench) -> None:
    bench.write("a.mthds")
    bench.write("b.mthds")
    async with bench.index() as index:
        await index.current(LONG)

        (bench.machine.project / "a.mthds").unlink()

        assert names(await index.current(LONG)) == ["b_mthds"]
        assert bench.announced.is_set()


async def test_a_file_that_is_only_touched_is_not_announced(bench: Bench) -> None:
    bench.write("a.mthds")
    async with bench.index() as index:
        first = await index.current(LONG)

        os.utime(bench.machine.project / "a.mthds", (2, 2))

        assert await index.current(LONG) is first
        assert not bench.announced.is_set()
        assert bench.teller.asked == ["a.mthds"]


async def test_what_takes_long_is_left_for_later_and_announced(bench: Bench) -> None:
    bench.teller.may_answer = anyio.Event()
    bench.write("a.mthds")
    async with bench.index() as index:
        assert await index.current(0.01) == ()
        await until(lambda: bench.teller.asked == ["a.mthds"])

        bench.teller.may_answer.set()
        with anyio.fail_after(LONG):
            await bench.announced.wait()

        assert names(await index.current(0)) == ["a_mthds"]


async def test_few_methods_are_asked_about_at_once(bench: Bench) -> None:
    bench.teller.may_answer = anyio.Event()
    for number in range(5):
        bench.write(f"{number}.mthds")
    async with bench.index() as index:
        await index.current(0.01)
        await until(lambda: len(bench.teller.asked) == 2)

        bench.teller.may_answer.set()

        assert len(await index.current(LONG)) == 5


@pytest.mark.parametrize(
    ("line", "code"),
    [("# refused", "method.invalid"), ("broken [", "method.invalid"), ("# no object", "request.unsupported")],
)
async def test_a_method_that_cannot_be_a_tool_is_left_out_alone_with_the_reason(
    bench: Bench, line: str, code: str
) -> None:
    bench.write("bad.mthds", line)
    bench.write("good.mthds")

    async with bench.index() as index:
        assert names(await index.current(LONG)) == ["good_mthds"]

    assert [(path, problem.code) for path, problem in index.problems] == [("bad.mthds", code)]


async def test_a_method_is_back_once_it_is_mended(bench: Bench) -> None:
    bench.write("a.mthds", "# refused")
    async with bench.index() as index:
        assert await index.current(LONG) == ()

        bench.write("a.mthds", "# input: word")

        assert names(await index.current(LONG)) == ["a_mthds"]
        assert index.problems == []


async def test_an_engine_that_fails_is_asked_again_later_about_the_same_content(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rpc_server.mcp.tools.method_index._RETRY_S", 0.0)
    bench.teller.problem = refusal("run.lost")
    bench.write("a.mthds")
    async with bench.index() as index:
        assert await index.current(LONG) == ()
        bench.teller.problem = None

        assert names(await index.current(LONG)) == ["a_mthds"]


async def test_an_engine_that_fails_again_and_again_is_asked_less_and_less_often(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("rpc_server.mcp.tools.method_index.time", clock)
    bench.teller.problem = refusal("runtime.unavailable")
    bench.write("a.mthds")
    asked = []
    async with bench.index() as index:
        for _ in range(4):
            await index.current(LONG)
            asked.append(len(bench.teller.asked))
            clock.ahead_s += 31

    assert asked == [1, 2, 2, 3]


class Clock:
    """The time, and how far it was put forward."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


async def test_another_index_knows_from_disk_what_was_told(bench: Bench) -> None:
    bench.write("a.mthds", "# input: word")
    async with bench.index() as index:
        before = await index.current(LONG)

    async with bench.index() as index:
        after = await index.current(LONG)

    assert [method.inputs for method in after] == [method.inputs for method in before]
    assert bench.teller.asked == ["a.mthds"]
    [kept] = bench.cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"version": "1"}', b'{"version": "0", "signature": {}}', b"\xff"]
)
async def test_a_damaged_or_old_file_of_the_cache_is_told_anew(bench: Bench, damage: bytes) -> None:
    bench.write("a.mthds")
    async with bench.index() as index:
        await index.current(LONG)
    [kept] = bench.cache.iterdir()
    kept.write_bytes(damage)

    async with bench.index() as index:
        assert names(await index.current(LONG)) == ["a_mthds"]

    assert bench.teller.asked == ["a.mthds", "a.mthds"]


async def test_a_cache_that_cannot_be_written_is_done_without(bench: Bench) -> None:
    bench.cache.write_text("a file where a folder should be")
    bench.write("a.mthds")

    async with bench.index() as index:
        assert names(await index.current(LONG)) == ["a_mthds"]


def test_the_cache_keeps_the_newest(tmp_path: Path) -> None:
    cache = SignatureCache(tmp_path / "cache", "1", most=2)
    told = MethodSignature(pipe="d.p", inputs={}, output={}, output_concept="native.Text", file_inputs=[], envelopes={})
    for age, key in enumerate("abc"):
        cache.write(key, told)
        for file in cache.directory.iterdir():
            os.utime(file, ns=(age, file.stat().st_mtime_ns - 10**9))

    assert [cache.read(key) is not None for key in "abc"] == [False, True, True]


async def test_names_do_not_change_when_other_methods_come(bench: Bench) -> None:
    alike = ["a/b/main.mthds", "a__b/main.mthds", "a_b/main.mthds", "a/b_/main.mthds", "a b/main.mthds", "é/main.mthds"]
    seen: dict[str, str] = {}
    async with bench.index(reserved=["execute"]) as index:
        for path in [
            *alike,
            "execute/main.mthds",
            "x.mthds",
            "x/main.mthds",
            "x_mthds/main.mthds",
            f"{'y' * 60}.mthds",
        ]:
            bench.write(path)
            methods = await index.current(LONG)
            now = {method.path: method.name for method in methods}
            assert now.items() >= seen.items()
            seen = now

    assert len(set(seen.values())) == len(seen) == 11
    assert all(len(name) <= 48 for name in seen.values())
    assert (seen["a/b"], seen["x"], seen["x.mthds"]) == ("a__b", "x", "x_mthds")
    assert "execute" not in seen.values()


async def test_configured_folders_are_searched_and_told_apart(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "shared"
    bench.write("tools/report/main.mthds")
    bench.write("elsewhere.mthds")
    bench.write(str(outside / "report" / "main.mthds"))

    async with bench.index(["tools", str(outside)]) as index:
        methods = await index.current(LONG)

    assert [(method.name, method.path) for method in methods] == [
        ("shared__report", str(outside / "report")),
        ("tools__report", "tools/report"),
    ]
    reader = index.workspace_of(str(outside / "report"))
    assert reader is not None
    assert reader.root.directory == outside


async def test_one_configured_folder_leaves_no_mark_on_the_names(bench: Bench) -> None:
    bench.write("tools/report/main.mthds")

    async with bench.index(["tools"]) as index:
        assert names(await index.current(LONG)) == ["report"]


async def test_two_hundred_methods_are_all_there(bench: Bench) -> None:
    for number in range(200):
        bench.write(f"methods/m{number}/main.mthds")

    async with bench.index() as index:
        assert len(await index.current(LONG)) == 200


async def test_a_method_that_takes_too_long_to_read_is_left_out_and_the_others_are_there(bench: Bench) -> None:
    bench.write("slow/main.mthds")
    (bench.machine.project / "slow" / ".gitignore").write_text("a*b\n" * 200_000)
    bench.write("good.mthds")

    async with bench.index(read_s=0.1) as index:
        methods = await index.current(LONG)

    assert names(methods) == ["good_mthds"]
    [(path, problem)] = index.problems
    assert path == "slow"
    assert (problem.code, problem.retry) == ("runtime.unavailable", "yes")
    assert "took longer than 0.1 seconds" in problem.detail


async def test_a_method_that_could_not_be_read_in_time_is_not_tried_again_at_every_look(bench: Bench) -> None:
    bench.write("slow/main.mthds")
    (bench.machine.project / "slow" / ".gitignore").write_text("a*b\n" * 200_000)
    async with bench.index(read_s=0.1) as index:
        await index.current(LONG)
        (bench.machine.project / "slow" / ".gitignore").unlink()

        await index.current(LONG)
        assert [path for path, _ in index.problems] == ["slow"]

        index._known["slow"].retry_at = 0.0
        assert names(await index.current(LONG)) == ["slow"]


@pytest.mark.parametrize("fails", [ValueError("a surprise"), RecursionError()])
async def test_an_engine_that_fails_in_an_unknown_way_costs_one_method(bench: Bench, fails: Exception) -> None:
    bench.write("good.mthds")
    bench.write("odd.mthds")
    tell = bench.teller.__call__

    async def ask(source: MethodSource, pipe_code: str | None) -> MethodSignature:
        if source.name == "odd.mthds":
            raise fails
        return await tell(source, pipe_code)

    async with bench.index() as index:
        index._ask = ask
        methods = await index.current(LONG)

    assert names(methods) == ["good_mthds"]
    assert [(path, problem.code) for path, problem in index.problems] == [("odd.mthds", "runtime.unexpected")]


async def test_a_look_that_fails_is_followed_by_the_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("good.mthds")
    with monkeypatch.context() as patched:
        patched.setattr("rpc_server.workspace.workspace.scan_methods", lambda *_, **__: 1 // 0)
        async with bench.index() as index:
            assert await index.current(LONG) == ()
            patched.undo()

            assert names(await index.current(LONG)) == ["good_mthds"]
