"""Listing the methods of a workspace."""

import os
from pathlib import Path

import pytest

from rpc_server.settings.settings import Flags
from rpc_server.workspace.scan import Scan, ScanBounds, ScanMemory, scan_methods
from rpc_server.workspace.workspace import Workspace
from schemas.problem import ProblemError
from tests.support.settings import Machine

HEAD = 'domain = "{0}"\ndescription = "About {0}"\nmain_pipe = "go"\n'
BOUNDS_OF_LARGE_FILES = ScanBounds(entries=1000, depth=5, seconds=60, file_bytes=10_000_000)
BOUNDS = ScanBounds(entries=1000, depth=5, seconds=60, file_bytes=10_000)


def scan(machine: Machine, bounds: ScanBounds = BOUNDS) -> Scan:
    return scan_methods(machine.project, bounds)


def paths(machine: Machine, bounds: ScanBounds = BOUNDS) -> list[str]:
    return [entry.path for entry in scan(machine, bounds).methods]


def test_a_bundle_is_listed_with_what_it_says_of_itself(machine: Machine) -> None:
    machine.write(machine.project, "report.mthds", HEAD.format("reports"))

    (entry,) = scan(machine).methods

    assert (entry.path, entry.name, entry.domain) == ("report.mthds", "report", "reports")
    assert (entry.main_pipe, entry.description, entry.problem) == ("go", "About reports", None)


def test_a_folder_with_one_main_pipe_is_one_method(machine: Machine) -> None:
    machine.write(machine.project / "report", "main.mthds", HEAD.format("reports"))
    machine.write(machine.project / "report" / "parts", "helper.mthds", 'domain = "parts"\n')

    assert paths(machine) == ["report"]


def test_a_folder_with_several_main_pipes_is_a_method_a_file(machine: Machine) -> None:
    for name in ("a", "b"):
        machine.write(machine.project / "reports", f"{name}.mthds", HEAD.format(name))

    assert paths(machine) == ["reports/a.mthds", "reports/b.mthds"]


def test_a_package_is_one_method_and_one_inside_it_another(machine: Machine) -> None:
    package = machine.project / "package"
    machine.write(package, "METHODS.toml", '[package]\nname = "all_reports"\ndescription = "All"\nmain_pipe = "b"\n')
    machine.write(package, "a.mthds", HEAD.format("a"))
    machine.write(package / "deep", "b.mthds", 'domain = "deep"\n[pipe.b]\n')
    machine.write(package / "deep" / "nested", "METHODS.toml", "[package]\n")

    outer, nested = scan(machine).methods

    assert (outer.path, outer.name, outer.description) == ("package", "all_reports", "All")
    assert (outer.main_pipe, outer.domain) == ("b", "deep")
    assert (nested.path, nested.name) == ("package/deep/nested", "nested")


@pytest.mark.parametrize("folder", [".hidden", "node_modules", "__pycache__", "venv"])
def test_folders_that_hold_no_methods_are_not_entered(machine: Machine, folder: str) -> None:
    machine.write(machine.project / folder, "x.mthds", HEAD)
    machine.write(machine.project / "venv", "pyvenv.cfg", "")

    assert paths(machine) == []


def test_a_folder_that_is_a_link_is_not_entered(machine: Machine) -> None:
    machine.write(machine.home / "elsewhere", "x.mthds", HEAD)
    (machine.project / "folder").symlink_to(machine.home / "elsewhere")

    assert paths(machine) == []


def odd_file(path: Path, kind: str) -> None:
    """Something by the name of a bundle that is none."""
    match kind:
        case "a folder":
            path.mkdir()
        case "a link":
            path.symlink_to("/etc/passwd")
        case "a dangling link":
            path.symlink_to("nowhere")
        case "a named pipe":
            os.mkfifo(path)
        case "deep arrays":
            path.write_text("a = " + "[" * 2000)
        case "a long key":
            path.write_text(".".join(["a"] * 1001) + " = 1")
        case "many long keys":
            path.write_text(f"[{'.'.join(['a'] * 999)}]\n" + f"{'.'.join(['b'] * 999)} = 1\n" * 300)
        case "a huge number":
            path.write_text("a = " + "9" * 5000)
        case "no text":
            path.write_bytes(b"\0\xff")
        case _:
            path.write_text(HEAD.format("odd"))


@pytest.mark.parametrize(
    ("kind", "name", "told", "why"),
    [
        ("a folder", b"odd.mthds", "odd.mthds", "is a folder"),
        ("a link", b"odd.mthds", "odd.mthds", "is not a regular file"),
        ("a dangling link", b"odd.mthds", "odd.mthds", "is not a regular file"),
        ("a named pipe", b"odd.mthds", "odd.mthds", "is not a regular file"),
        ("deep arrays", b"odd.mthds", "odd.mthds", "nest too deeply"),
        ("a long key", b"odd.mthds", "odd.mthds", "more than 20 parts"),
        ("many long keys", b"odd.mthds", "odd.mthds", "more than 20 parts"),
        ("a huge number", b"odd.mthds", "odd.mthds", "more than 1000 digits"),
        ("no text", b"odd.mthds", "odd.mthds", "not UTF-8 text"),
        ("a bundle", b"line\nbreak.mthds", "line\\nbreak.mthds", "a control character"),
        ("a bundle", b"bad\xff.mthds", "bad\\xff.mthds", "not UTF-8"),
        ("a bundle", b"bad\xff/a.mthds", "bad\\xff", "not UTF-8"),
    ],
)
def test_one_odd_file_is_one_entry_with_a_problem(
    machine: Machine, kind: str, name: bytes, told: str, why: str
) -> None:
    machine.write(machine.project, "good.mthds", HEAD.format("good"))
    odd = machine.project / os.fsdecode(name)
    odd.parent.mkdir(exist_ok=True)
    odd_file(odd, kind)

    for memory in (None, ScanMemory()):
        good, entry = sorted(
            scan_methods(machine.project, BOUNDS_OF_LARGE_FILES, memory).methods,
            key=lambda one: one.problem is not None,
        )
        assert (good.path, good.problem) == ("good.mthds", None)
        assert entry.path == told
        assert entry.problem is not None
        assert entry.problem.code == "method.invalid"
        assert why in entry.problem.detail
        entry.model_dump_json()


def test_an_odd_manifest_is_the_problem_of_its_package_alone(machine: Machine) -> None:
    machine.write(machine.project / "good", "main.mthds", HEAD.format("good"))
    machine.write(machine.project / "odd", "main.mthds", HEAD.format("odd"))
    odd_file(machine.project / "odd" / "METHODS.toml", "a long key")

    good, odd = scan(machine).methods

    assert (good.path, good.problem) == ("good", None)
    assert odd.path == "odd"
    assert odd.problem is not None
    assert "odd/METHODS.toml cannot be read" in odd.problem.detail


@pytest.mark.parametrize(("content", "line"), [(b"domain = 1\nbroken [", 2), (b"\xff", None), (b"#" * 20_000, None)])
def test_a_broken_bundle_is_listed_with_its_problem(machine: Machine, content: bytes, line: int | None) -> None:
    (machine.project / "bad.mthds").write_bytes(content)

    (entry,) = scan(machine).methods

    assert entry.problem is not None
    assert entry.problem.code == "method.invalid"
    assert entry.problem.errors is not None
    location = entry.problem.errors[0].location
    assert location is not None
    assert (location.file, location.line) == ("bad.mthds", line)


@pytest.mark.parametrize(
    "bounds",
    [
        ScanBounds(entries=3, depth=5, seconds=60, file_bytes=10_000),
        ScanBounds(entries=1000, depth=1, seconds=60, file_bytes=10_000),
        ScanBounds(entries=1000, depth=5, seconds=0, file_bytes=10_000),
    ],
)
def test_a_scan_that_stops_at_a_bound_says_so(machine: Machine, bounds: ScanBounds) -> None:
    for number in range(5):
        machine.write(machine.project / "a" / str(number), "x.mthds", HEAD)

    assert scan(machine, bounds).truncated


def test_a_file_that_has_not_changed_is_not_read_again(machine: Machine) -> None:
    bundle = machine.write(machine.project, "a.mthds", HEAD.format("first"))
    memory = ScanMemory()
    os.utime(bundle, (1, 1))
    scan_methods(machine.project, BOUNDS, memory)

    bundle.write_text(HEAD.format("other"), encoding="utf-8")
    os.utime(bundle, (1, 1))

    [entry] = scan_methods(machine.project, BOUNDS, memory).methods
    assert entry.domain == "first"


def test_a_file_that_changed_a_moment_ago_is_read_again(machine: Machine) -> None:
    bundle = machine.write(machine.project, "a.mthds", HEAD.format("first"))
    memory = ScanMemory()
    scan_methods(machine.project, BOUNDS, memory)
    changed = bundle.stat().st_mtime_ns

    bundle.write_text(HEAD.format("other"), encoding="utf-8")
    os.utime(bundle, ns=(changed, changed))

    [entry] = scan_methods(machine.project, BOUNDS, memory).methods
    assert entry.domain == "other"


@pytest.mark.parametrize("name", ["main.mthds", "parts/helper.mthds", "code.py", "notes.txt"])
def test_the_stamp_of_a_method_differs_when_any_of_its_files_does(machine: Machine, name: str) -> None:
    for path in ("m/main.mthds", "m/parts/helper.mthds", "m/code.py", "m/notes.txt", "n/main.mthds"):
        text = HEAD.format("m") if path.endswith("main.mthds") else 'x = "y"\n'
        machine.write((machine.project / path).parent, Path(path).name, text)
    memory = ScanMemory()
    before = scan_methods(machine.project, BOUNDS, memory).stamps

    os.utime(machine.project / "m" / name, (1, 1))

    after = scan_methods(machine.project, BOUNDS, memory).stamps
    assert set(after) == {"m", "n"}
    assert after["m"].files != before["m"].files
    assert after["n"].files == before["n"].files


@pytest.mark.anyio
async def test_pages_follow_one_another_without_gaps(machine: Machine) -> None:
    for number in range(5):
        machine.write(machine.project, f"{number}.mthds", HEAD)
    workspace = Workspace.of(machine.load(Flags(workspace=machine.project)))

    first = await workspace.list_methods(None, 2)
    second = await workspace.list_methods(first.next_cursor, 2)
    third = await workspace.list_methods(second.next_cursor, 2)

    found = [entry.path for page in (first, second, third) for entry in page.methods]
    assert found == [f"{number}.mthds" for number in range(5)]
    assert third.next_cursor is None
    assert not third.truncated


@pytest.mark.anyio
async def test_without_a_workspace_there_is_nothing_to_list(machine: Machine) -> None:
    nowhere = Workspace.of(machine.load(cwd=Path("/")))

    with pytest.raises(ProblemError) as caught:
        await nowhere.list_methods(None, 10)

    assert "it has no methods to list: the server was started in /" in caught.value.problem.detail
