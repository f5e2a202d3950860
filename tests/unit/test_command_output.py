"""A terminal is shown nothing that it would obey."""

import json
import sys

import pytest

from rpc_server.commands.output import explain_error, print_json, print_text, table
from rpc_server.commands.progress_display import progress_display

TRICK = "a\x1b]0;owned\x07\x9b31m\u202eb"
FIT = "a]0;owned31mb"


def test_a_table_is_fit_for_a_terminal() -> None:
    assert table([("RUN", "METHOD"), ("r", f"{TRICK}\nx")]) == f"RUN  METHOD\nr    {FIT} x"


def test_an_error_is_fit_for_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    explain_error({"code": 1, "message": TRICK, "data": {"code": "run.failed", "next_step": {"detail": TRICK}}})

    assert capsys.readouterr().err == f"mthds-rpc: {FIT} [run.failed]\n  {FIT}\n"


def test_progress_is_fit_for_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(sys.stderr) as display:
        display({"progress": 0, "message": TRICK})

    assert FIT in capsys.readouterr().err


def test_a_text_is_fit_where_stdout_is_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    print_text(TRICK)

    assert capsys.readouterr().out == f"{FIT}\n"


def test_a_text_is_as_it_is_where_stdout_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(TRICK)

    assert capsys.readouterr().out == f"{TRICK}\n"


def test_json_means_the_same_on_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    print_json({"text": TRICK})

    shown = capfdbinary.readouterr().out.decode()
    assert json.loads(shown) == {"text": TRICK}
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
