"""Variables from files, and the workspace that follows from where a server is started."""

from pathlib import Path

import pytest

from rpc_server.settings.layers import ConfigurationFault
from rpc_server.settings.settings import Flags, workspace_of
from tests.support.settings import Machine


def test_an_env_file_brings_variables_in_and_real_ones_win(machine: Machine) -> None:
    file = machine.write(machine.home, "keys.env", 'A_KEY="from the file"\nexport B_KEY=from-the-file # a note\n')

    settings = machine.load(Flags(env_files=(file,)), environ={"A_KEY": "real"})

    assert settings.environment == {"B_KEY": "from-the-file"}


def test_the_last_env_file_wins_and_all_win_over_the_one_of_the_home(machine: Machine) -> None:
    machine.write(machine.pipelex_home, ".env", "A=home\nB=home\nC=home\n")
    first = machine.write(machine.home, "1.env", "A=first\nB=first\n")
    second = machine.write(machine.home, "2.env", "A=second\n")

    settings = machine.load(Flags(env_files=(first, second)))

    assert settings.environment == {"A": "second", "B": "first", "C": "home"}


def test_the_env_of_the_home_cannot_move_the_home(machine: Machine) -> None:
    machine.write(machine.pipelex_home, ".env", "PIPELEX_HOME=/elsewhere\nPIPELEX_ENV=prod\n")

    settings = machine.load()

    assert settings.home_dir == machine.pipelex_home
    assert settings.layers.environment == "prod"


def test_a_broken_line_of_an_env_file_is_a_fault_with_its_line(machine: Machine) -> None:
    file = machine.write(machine.home, "keys.env", "A=1\nthis is no assignment\n")

    with pytest.raises(ConfigurationFault) as caught:
        machine.load(Flags(env_files=(file,)))

    assert (caught.value.file, caught.value.line) == (str(file), 2)
    assert "this is no assignment" not in str(caught.value)


def test_a_broken_line_in_the_env_of_the_home_is_passed_over_as_pipelex_does(machine: Machine) -> None:
    machine.write(machine.pipelex_home, ".env", "this is no assignment\nA=1\n")

    assert machine.load().environment == {"A": "1"}


def test_a_missing_env_file_is_a_fault(machine: Machine) -> None:
    with pytest.raises(ConfigurationFault, match="there is no such file"):
        machine.load(Flags(env_files=(machine.home / "absent.env",)))


def test_the_workspace_is_the_working_directory(machine: Machine) -> None:
    assert workspace_of(None, machine.project) == (machine.project, None)


def test_the_workspace_that_is_asked_for_is_resolved(machine: Machine, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(machine.project)

    assert workspace_of(link, Path("/")) == (machine.project, None)


@pytest.mark.parametrize("place", ["/", "~"])
def test_the_root_and_the_home_are_no_workspace(machine: Machine, place: str) -> None:
    workspace, reason = workspace_of(None, Path(place).expanduser())

    assert workspace is None
    assert reason is not None
    assert "is no project" in reason


def test_the_home_is_a_workspace_where_it_is_asked_for(machine: Machine) -> None:
    assert workspace_of(machine.home, Path("/")) == (machine.home, None)


def test_a_workspace_that_is_no_folder_is_a_fault(machine: Machine) -> None:
    with pytest.raises(ConfigurationFault, match="--workspace: .* is not a folder"):
        workspace_of(machine.project / "absent")


def test_a_working_directory_that_is_gone_is_no_workspace(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    workspace, reason = workspace_of(None)

    assert workspace is None
    assert reason == "the working directory of the server no longer exists"
