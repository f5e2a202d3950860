"""Systems the command does not run on."""

import sys

import pytest

from rpc_server.cli import main


def test_on_windows_the_command_names_wsl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["mthds-rpc", "serve"])

    status = main()

    assert status == 69
    assert "WSL" in capsys.readouterr().err
