"""Our walk of a method's files against `mthds`'s own: the same files, or the same refusal."""

import math
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mthds.method_tree.exceptions import MethodTreeRefusedError, TreeLimitError, TreeSourceError
from mthds.method_tree.lister import list_method_tree
from mthds.method_tree.models import TreeLimits

from rpc_server.workspace.held_folder import HeldFolder, Unreadable
from rpc_server.workspace.method_folders import TreeBounds
from rpc_server.workspace.tree import BadManifest, PastLimit, Refused, tree_of_file, tree_of_folder

LIMITS = TreeLimits(max_files=12, max_file_bytes=200, max_total_bytes=1500)
BOUNDS = TreeBounds(files=12, file_bytes=200, total_bytes=1500)

NAMES = st.sampled_from(
    [
        *("main.mthds", "a.txt", "A.txt", "a", "b", "inputs.json", "inputs.toml", "pyvenv.cfg", ".hidden", ".git"),
        *(
            "METHODS.toml",
            ".gitignore",
            "node_modules",
            "__pycache__",
            "x\n",
            "c:",
            "d\\e",
            "é.txt",
            "e\u0301.txt",
            "sub",
        ),
    ]
)
IGNORED = ["", "*.txt", "/a", "sub/", "!a.txt", "**/b", "b/*", "[ab]", "main.mthds", "*"]
MANIFESTS = [
    "",
    "[package]\nexclude = ['a.txt', 'sub/']\n",
    "[package]\nexclude = 'a'\n",
    "[package]\nexclude = [1]\n",
    "[package]\nexclude = ['a\\n']\n",
    "package = 1\n",
    "[package",
]
ENTRY = st.tuples(
    st.lists(NAMES, min_size=1, max_size=3),
    st.sampled_from(["file", "file", "file", "link", "pipe", "big", "folder"]),
    st.sampled_from(IGNORED),
    st.sampled_from(MANIFESTS),
)


def write(top: Path, names: list[str], kind: str, ignored: str, manifest: str) -> None:
    """One entry below `top`, where nothing is in its way."""
    path = top.joinpath(*names)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() or path.is_symlink():
            return
        if kind == "link":
            path.symlink_to("main.mthds")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            text = {".gitignore": ignored, "METHODS.toml": manifest}.get(
                path.name, "x" * (300 if kind == "big" else 90)
            )
            path.write_text(text)
    except OSError:
        return


def listed_by_mthds(handed_over: Path) -> object:
    try:
        tree = list_method_tree(handed_over, limits=LIMITS)
    except MethodTreeRefusedError as error:
        return str(error.refusal.code), sorted(error.refusal.names)
    except TreeLimitError as error:
        return "limit", error.limit
    except TreeSourceError:
        return "source"
    assert tree.directory is not None
    files = {path: tree.file_location(path).read_bytes() for path in tree.tree_paths}
    return files, None if tree.is_one_file else tree.entry


def listed_by_us(top: Path, names: list[str], *, is_file: bool) -> object:
    with HeldFolder.open(top, math.inf) as held:
        try:
            tree = (tree_of_file if is_file else tree_of_folder)(held, tuple(names), BOUNDS)
        except Refused as error:
            return str(error.code), sorted(error.names)
        except PastLimit as error:
            return "limit", error.limit
        except (BadManifest, Unreadable):
            return "source"
        return {path: held.read(parts, 1000) for path, parts in tree.files.items()}, tree.entry


@settings(max_examples=100)
@given(
    entries=st.lists(ENTRY, max_size=14),
    below=st.sampled_from([[], [], ["sub"], ["main.mthds"], ["sub", "main.mthds"]]),
)
def test_a_tree_holds_what_the_standard_says_it_holds(
    entries: list[tuple[list[str], str, str, str]], below: list[str]
) -> None:
    with TemporaryDirectory() as directory:
        top = Path(directory).resolve()
        for entry in entries:
            write(top, *entry)
        handed_over = top.joinpath(*below)
        is_file = handed_over.is_file() and handed_over.suffix == ".mthds"
        if handed_over.is_symlink() or not (is_file or handed_over.is_dir()):
            return

        assert listed_by_us(top, below, is_file=is_file) == listed_by_mthds(handed_over)


def test_patterns_that_take_too_long_are_a_fault_of_the_method(tmp_path: Path) -> None:
    (tmp_path / "main.mthds").write_text("")
    (tmp_path / ".gitignore").write_text("a*b\n" * 10_000)

    with HeldFolder.open(tmp_path, math.inf) as held, pytest.raises(Unreadable, match="take too long"):
        tree_of_folder(held, (), replace(BOUNDS, pattern_s=0))


@pytest.mark.parametrize(
    ("name", "code"), [(b"bad\xff.txt", "invalid_tree_path"), (b"line\nbreak.txt", "invalid_tree_path")]
)
def test_a_name_that_no_method_can_hold_is_refused_as_the_standard_does(tmp_path: Path, name: bytes, code: str) -> None:
    (tmp_path / "main.mthds").write_text("")
    (tmp_path / os.fsdecode(name)).write_text("")

    ours = listed_by_us(tmp_path, [], is_file=False)

    assert ours == listed_by_mthds(tmp_path)
    assert ours == (code, [os.fsdecode(name)])
