"""The path policy: nothing outside the workspace is ever read, and every refusal says why."""

import contextlib
import math
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpc_server.workspace.held_folder import OutOfTime, TooLarge, Unreadable
from rpc_server.workspace.paths import FileReader, Root
from schemas.problem import ProblemError

LATER = math.inf


def read(root: Root, *parts: str, limit: int = 100, deadline: float = LATER) -> bytes:
    """The bytes of a file by its parts, as the workspace reads it once a path is resolved."""
    with root.held(deadline) as held:
        return held.read(parts, limit)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A workspace with a file in it, next to a secret that is none of it."""
    directory = (tmp_path / "workspace").resolve()
    (directory / "inner").mkdir(parents=True)
    (directory / "inner" / "notes.txt").write_text("inside")
    (tmp_path / "secret.txt").write_text("outside")
    return Root(directory)


@pytest.mark.parametrize(
    "path",
    ["inner/notes.txt", "./inner/../inner/notes.txt", "{root}/inner/notes.txt", "file://{root}/inner/notes%2Etxt"],
)
def test_a_path_inside_is_found_however_it_is_spelled(root: Root, path: str) -> None:
    assert root.directory is not None

    resolved = root.resolve(path.format(root=root.directory))

    assert resolved == root.directory / "inner" / "notes.txt"


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("../secret.txt", "outside_root"),
        ("inner/../../secret.txt", "outside_root"),
        ("/etc/hostname", "absolute"),
        ("file:///etc/hostname", "absolute"),
        ("file://[", "outside_root"),
        ("link", "outside_root"),
        ("folder/secret.txt", "outside_root"),
        ("", "empty"),
        ("a\0b", "empty"),
        ("\ud800", "outside_root"),
    ],
)
def test_a_path_that_leads_out_is_refused(root: Root, path: str, rule: str) -> None:
    assert root.directory is not None
    (root.directory / "link").symlink_to("../secret.txt")
    (root.directory / "folder").symlink_to(root.directory.parent)

    with pytest.raises(ProblemError) as caught:
        root.resolve(path)

    assert caught.value.problem.code == "security.input_path_refused"
    assert caught.value.problem.params == {"rule": rule}
    assert str(root.directory) not in caught.value.problem.detail


def test_a_link_that_stays_inside_is_followed(root: Root) -> None:
    assert root.directory is not None
    (root.directory / "link").symlink_to("inner/notes.txt")

    assert root.resolve("link") == root.directory / "inner" / "notes.txt"


@pytest.mark.parametrize("path", ["loop", "loop/x"])
def test_a_link_to_itself_is_refused(root: Root, path: str) -> None:
    assert root.directory is not None
    (root.directory / "loop").symlink_to("loop")

    with pytest.raises(ProblemError):
        FileReader(root, 10, 10, LATER).read(path, "contract")


def test_without_a_workspace_every_path_is_refused_with_the_reason() -> None:
    nowhere = Root(None, "the server was started in /, which is no project")

    with pytest.raises(ProblemError) as caught:
        nowhere.resolve("notes.txt")

    assert caught.value.problem.code == "security.input_path_refused"
    assert "started in /" in caught.value.problem.detail
    assert "--workspace" in caught.value.problem.next_step.detail


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text() | st.lists(st.sampled_from(["..", "inner", "/", "~", "file:", "a\n", "."])).map("/".join))
def test_whatever_the_path_it_ends_inside_or_is_refused(root: Root, path: str) -> None:
    assert root.directory is not None

    with contextlib.suppress(ProblemError):
        assert root.resolve(path).is_relative_to(root.directory)


@pytest.mark.parametrize("name", ["pipe", "socket", "inner", "link", "device"])
def test_only_regular_files_are_read_and_nothing_is_waited_for(root: Root, name: str) -> None:
    assert root.directory is not None
    os.mkfifo(root.directory / "pipe")
    (root.directory / "link").symlink_to("inner/notes.txt")
    (root.directory / "device").symlink_to("/dev/zero")
    with contextlib.chdir(root.directory), socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")

    with pytest.raises(Unreadable, match="is not a regular file"):
        read(root, name)


@pytest.mark.parametrize("name", ["mem", "environ"])
@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc")
def test_a_file_of_the_kernel_is_read_or_refused_like_any_other(name: str) -> None:
    with contextlib.suppress(Unreadable, TooLarge):
        assert len(read(Root(Path("/proc/self").resolve()), name, limit=10)) <= 10


@pytest.mark.parametrize(
    "parts", [("link", "notes.txt"), ("inner", "..", "..", "secret.txt"), ("../secret.txt",), ("\0",)]
)
def test_no_step_leads_elsewhere_than_one_level_down(root: Root, parts: tuple[str, ...]) -> None:
    assert root.directory is not None
    (root.directory / "link").symlink_to("inner")

    with pytest.raises(Unreadable):
        read(root, *parts)


def test_a_workspace_that_became_a_link_is_not_read(root: Root, tmp_path: Path) -> None:
    assert root.directory is not None
    root.directory.rename(tmp_path / "moved")
    root.directory.symlink_to(tmp_path)

    with pytest.raises(Unreadable):
        read(root, "secret.txt")


def test_a_file_above_the_limit_is_not_read(root: Root) -> None:
    with pytest.raises(TooLarge) as caught:
        read(root, "inner", "notes.txt", limit=5)

    assert (caught.value.size, caught.value.limit) == (6, 5)


def test_after_its_time_nothing_more_is_read(root: Root) -> None:
    with pytest.raises(OutOfTime):
        read(root, "inner", "notes.txt", deadline=0)


def test_no_descriptor_is_left_open(root: Root) -> None:
    def count() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208

    before = count()
    for parts in (("inner", "notes.txt"), ("inner", "absent", "x"), ("inner",), ("absent",)):
        with contextlib.suppress(Unreadable):
            read(root, *parts)
    with root.held(LATER) as held:
        held.entries(("inner",))
        held.kind(("inner", "absent", "x"))
        held.states(("inner",), ["notes.txt", "absent"])

    assert count() == before


def test_one_call_reads_no_more_than_its_total(root: Root) -> None:
    files = FileReader(root, max_file_bytes=10, max_total_bytes=10, deadline=LATER)
    files.read("inner/notes.txt", "first")

    with pytest.raises(ProblemError) as caught:
        files.read("inner/notes.txt", "second")

    assert caught.value.problem.code == "input.too_large"
    assert caught.value.problem.params == {"input": "second", "limit": 10, "size": 12}


def test_a_missing_file_is_named_as_the_caller_named_it(root: Root) -> None:
    with pytest.raises(ProblemError) as caught:
        FileReader(root, 10, 10, LATER).read("inner/absent.txt", "contract")

    assert caught.value.problem.code == "input.file_unreadable"
    assert caught.value.problem.detail == "The file 'inner/absent.txt', given for 'contract', does not exist."
