"""From the command line to params: whatever is typed, or is in a named file, is params or an `ArgumentError`."""

from pathlib import Path

import pytest

from rpc_server.commands.call_params import ArgumentError, params_of


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deep.json", "[" * 200_000),
        ("deep.toml", "a = " + "[" * 2000),
        ("long.toml", ".".join(["a"] * 1001) + " = 1"),
        ("huge.toml", "a = " + "9" * 5000),
        ("huge.json", "9" * 5000),
        ("broken.json", "{"),
        ("list.json", "[]"),
    ],
)
def test_an_inputs_file_that_cannot_be_understood_is_refused(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(ArgumentError):
        params_of(method=None, inputs_file=str(file), input_items=[], param_items=[], named={}, workspace=None)


@pytest.mark.parametrize("item", ["x=@~no-such-user/file", "x=@absent", "x=@a\0b", "x:=" + "[" * 200_000, "x:={"])
def test_an_input_that_leads_nowhere_is_refused(item: str) -> None:
    with pytest.raises(ArgumentError):
        params_of(method=None, inputs_file=None, input_items=[item], param_items=[], named={}, workspace=None)


def test_an_input_may_come_from_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "inputs.toml"
    file.write_text("day = 2026-01-02\n[scan]\npath = 'a.pdf'\n")

    params = params_of(method="m", inputs_file=str(file), input_items=[], param_items=[], named={}, workspace=None)

    assert params == {"method": "m", "inputs": {"day": "2026-01-02", "scan": {"path": "a.pdf"}}}
