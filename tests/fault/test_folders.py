"""A home or a state folder that cannot be used, and a full disk: told as what they are, with what to do."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.mthds_server import serve

READING = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")
CALL = {"mthds_contents": [READING], "inputs": {"name": {"path": "paper.pdf"}}}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "paper.pdf").write_bytes(b"%PDF-1.4\n" + b"x" * 200_000)
    return folder


def refused(home: Path) -> dict[str, Any]:
    """The problem of a run that needs a home and a folder of artifacts; the server outlives it."""
    with serve(home) as client:
        problem: dict[str, Any] = client.error("execute", CALL)["data"]
        client.result("version")
        client.result("methods/list")
    assert str(home) not in problem["detail"]
    return problem


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("place", ["pipelex", "state/mthds-rpc", "state/mthds-rpc/artifacts"])
def test_a_file_where_a_folder_is_needed_is_a_fault_of_the_configuration(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()

    problem = refused(tmp_path)

    assert problem["code"] == "runtime.misconfigured"
    assert "XDG_STATE_HOME" in problem["next_step"]["detail"]


@pytest.fixture(params=["pipelex", "state"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """A folder on a disk without room."""
    folder = tmp_path / request.param
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        with (folder / "full").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.usefixtures("workspace", "full")
def test_a_full_disk_is_reported_as_one(tmp_path: Path) -> None:
    problem = refused(tmp_path)

    assert (problem["code"], problem["retry"]) == ("runtime.unavailable", "yes")
    assert "no room left on the disk" in problem["detail"]
