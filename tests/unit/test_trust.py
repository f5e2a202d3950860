"""Trusted projects: stored with the user, by real path, and what follows for a project's settings."""

import stat
from pathlib import Path

import pytest

from rpc_server.settings.layers import ConfigurationFault
from rpc_server.settings.projects import find_project
from rpc_server.settings.settings import Flags
from rpc_server.settings.trust import distrust, is_trusted, trust, trust_file, trusted_projects
from tests.support.settings import Machine


def test_a_folder_is_trusted_by_its_real_path(machine: Machine, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(machine.project)

    trust(link)

    assert trusted_projects() == [machine.project]
    assert is_trusted(machine.project)


def test_what_lies_below_a_trusted_folder_is_not_trusted_by_that(machine: Machine) -> None:
    trust(machine.project)

    assert not is_trusted(machine.project / "vendored")


def test_trust_is_taken_back(machine: Machine) -> None:
    trust(machine.project)

    assert distrust(machine.project) is True
    assert distrust(machine.project) is False
    assert trusted_projects() == []


def test_the_list_is_for_the_user_alone_and_kept_out_of_the_project(machine: Machine) -> None:
    trust(machine.project)

    assert stat.S_IMODE(trust_file().stat().st_mode) == 0o600
    assert trust_file().is_relative_to(machine.home)
    assert list(machine.project.iterdir()) == []
    assert [path.name for path in trust_file().parent.iterdir()] == [trust_file().name]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"trusted": 3}', '{"trusted": [1]}', "\0"])
def test_a_broken_list_trusts_nobody(machine: Machine, content: str) -> None:
    trust(machine.project)
    trust_file().write_text(content)

    with pytest.raises(ConfigurationFault, match="cannot be read"):
        is_trusted(machine.project)


def test_an_untrusted_project_s_settings_are_not_read(machine: Machine) -> None:
    machine.write(machine.project_config, "rpc_override.toml", "this is not even TOML")

    settings = machine.load()

    assert settings.project is not None
    assert not settings.project.trusted
    assert settings.project_config_dir is None
    assert settings.project.notice is not None
    assert f"mthds-rpc trust {machine.project}" in settings.project.notice


def test_a_trusted_project_s_settings_count(machine: Machine) -> None:
    machine.write(machine.project_config, "api_override.toml", "orchestration_mode = 'dbos'\n")
    trust(machine.project)

    settings = machine.load()

    assert settings.orchestration_mode == "dbos"
    assert settings.project_config_dir == machine.project_config
    assert settings.project is not None
    assert settings.project.notice is None


def test_a_project_can_be_trusted_for_one_start(machine: Machine) -> None:
    machine.write(machine.project_config, "api_override.toml", "orchestration_mode = 'dbos'\n")

    settings = machine.load(Flags(trust_project=True))

    assert settings.orchestration_mode == "dbos"
    assert trusted_projects() == []


def test_a_project_without_settings_is_not_worth_a_notice(machine: Machine) -> None:
    machine.write(machine.project_config / "storage", "something.bin", "")

    settings = machine.load()

    assert settings.project is not None
    assert settings.project.notice is None


def test_the_project_is_found_from_a_folder_inside_it(machine: Machine) -> None:
    machine.write(machine.project_config, "rpc_override.toml", "")
    inside = machine.project / "a" / "b"
    inside.mkdir(parents=True)

    project = find_project(inside, machine.pipelex_home)

    assert project is not None
    assert project.directory == machine.project


def test_the_nearest_project_counts_even_without_settings(machine: Machine) -> None:
    machine.write(machine.project_config, "rpc_override.toml", "")
    machine.write(machine.project / "inner", "pyproject.toml", "")

    assert find_project(machine.project / "inner", machine.pipelex_home) is None


def test_the_home_directory_is_never_a_project(machine: Machine) -> None:
    machine.write(machine.pipelex_home, "rpc_override.toml", "")

    assert find_project(machine.home, machine.home / "other") is None
    assert find_project(machine.project.parent, machine.pipelex_home) is None


def test_pipelex_s_home_is_no_project_s_settings(machine: Machine) -> None:
    machine.write(machine.project_config, "rpc_override.toml", "[limits]\nmax_batch = 3\n")

    settings = machine.load(environ={"PIPELEX_HOME": str(machine.project_config)})

    assert settings.project is None
    assert settings.limits.max_batch == 3
