"""Files among the inputs: where `{path}` means a file, and what becomes of it."""

import base64
from pathlib import Path
from typing import Any

import pytest

from rpc_server.settings.settings import Flags
from rpc_server.workspace.workspace import Workspace
from schemas.problem import ProblemError
from tests.support.settings import Machine

PDF = b"%PDF-1.7 not much of one"
DOCUMENT = {
    "url": "data:application/pdf;base64," + base64.b64encode(PDF).decode(),
    "filename": "contract.pdf",
    "mime_type": "application/pdf",
}


@pytest.fixture
def workspace(machine: Machine) -> Workspace:
    """A workspace that holds contract.pdf."""
    (machine.project / "contract.pdf").write_bytes(PDF)
    return Workspace.of(machine.load(Flags(workspace=machine.project)))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"path": "contract.pdf"}, DOCUMENT),
        ([{"path": "contract.pdf"}], [DOCUMENT]),
        ({"title": "Berth", "scan": {"path": "contract.pdf"}}, {"title": "Berth", "scan": DOCUMENT}),
        (
            {"concept": "native.Document", "content": {"path": "contract.pdf"}},
            {"concept": "native.Document", "content": DOCUMENT},
        ),
        ({"path": "contract.pdf", "filename": "x.bin", "mime_type": "image/png"}, None),
    ],
)
async def test_a_named_file_travels_with_the_request(workspace: Workspace, value: Any, expected: Any) -> None:
    inputs = await workspace.inputs({"value": value, "note": "kept"})

    assert inputs is not None
    if expected is None:
        expected = {"url": DOCUMENT["url"].replace("application/pdf", "image/png"), "filename": "x.bin"}
        expected["mime_type"] = "image/png"
    assert inputs == {"value": expected, "note": "kept"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "value",
    [
        {"concept": "trips.Route", "content": {"path": "contract.pdf"}},
        {"path": "contract.pdf", "length": "3 km"},
        {"path": 3},
        "contract.pdf",
    ],
)
async def test_a_path_that_is_a_value_is_left_alone(workspace: Workspace, value: Any) -> None:
    assert await workspace.inputs({"value": value}) == {"value": value}


@pytest.mark.anyio
async def test_no_inputs_stay_no_inputs(workspace: Workspace) -> None:
    assert await workspace.inputs(None) is None


@pytest.mark.anyio
async def test_a_file_outside_is_refused(workspace: Workspace, machine: Machine) -> None:
    (machine.home / "diary.txt").write_text("secret")

    with pytest.raises(ProblemError) as caught:
        await workspace.inputs({"value": [{"path": str(machine.home / "diary.txt")}]})

    assert caught.value.problem.code == "security.input_path_refused"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "mime_type"),
    [
        ("a.PNG", "image/png"),
        ("a.webp", "image/webp"),
        ("a.md", "text/markdown"),
        ("a.zzz", "application/octet-stream"),
    ],
)
async def test_the_type_is_told_from_the_name(
    workspace: Workspace, machine: Machine, name: str, mime_type: str
) -> None:
    Path(machine.project / name).write_bytes(b"x")

    inputs = await workspace.inputs({"value": {"path": name}})

    assert inputs is not None
    assert inputs["value"]["mime_type"] == mime_type
