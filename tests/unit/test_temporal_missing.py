"""A machine without the extra: whatever imports temporalio finds nothing, as where it is not installed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.cli import run_cli
from tests.support.client import RpcClient
from tests.support.mthds_server import serve

HINT = "pip install --upgrade 'mthds-rpc[temporal]'"
# Python runs a module of this name before any other.
HIDING = """
import sys


class WithoutTemporalio:
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == "temporalio" else self._finder.find_spec(name, path, target)


sys.meta_path[:] = [WithoutTemporalio(finder) for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which a process has no temporalio."""
    folder = tmp_path_factory.mktemp("hiding")
    (folder / "sitecustomize.py").write_text(HIDING)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def server(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("home"), "--allow-override", env=env) as client:
        yield client


@pytest.mark.parametrize("method", ["execute", "start", "validate", "runs/list"])
def test_a_request_for_the_mode_is_refused_with_how_to_install_it(server: RpcClient, method: str) -> None:
    params: dict[str, Any] = {} if method == "runs/list" else {"mthds_contents": [GREETING]}

    error = server.error(method, {**params, "orchestration_mode": "temporal"})

    assert (error["code"], error["data"]["code"]) == (-31082, "runtime.unsupported")
    assert error["data"]["params"]["available"] == ["dbos", "direct"]
    assert HINT in error["data"]["next_step"]["detail"]


def test_other_modes_work_as_ever(server: RpcClient) -> None:
    result = server.result("execute", {"mthds_contents": [GREETING], "inputs": {"name": "Ann"}})

    assert result["output"] == {"text": "Hello Ann"}


def test_a_server_that_is_set_to_the_mode_starts_and_says_at_each_call_what_is_missing(
    env: dict[str, str], tmp_path: Path
) -> None:
    with serve(tmp_path, "--orchestration-mode", "temporal", env=env) as client:
        client.result("version")
        error = client.error("execute", {"mthds_contents": [GREETING]})

    assert (error["code"], error["data"]["code"]) == (-31082, "pipelex.plugin.not_found")
    assert HINT in error["data"]["next_step"]["detail"]


def test_its_settings_are_checked_all_the_same(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pipelex").mkdir()
    (tmp_path / "pipelex" / "rpc_temporal_override.toml").write_text('task_queue = "two words"\n')

    done = run_cli(tmp_path, "runs", "list", env=env)

    assert done.returncode == 78
    assert "rpc_temporal_override.toml:1: task_queue: must be a name" in done.stderr


def test_plugins_names_it_as_not_installed_with_how_to_install_it(env: dict[str, str], tmp_path: Path) -> None:
    table = run_cli(tmp_path, "plugins", env=env)
    document = json.loads(run_cli(tmp_path, "plugins", "--json", env=env).stdout)

    (row,) = [plugin for plugin in document["plugins"] if plugin["name"] == "temporal"]
    assert table.returncode == 0
    assert f"not installed: temporal; {HINT}" in table.stdout.splitlines()
    assert document["not_installed"] == {"temporal": HINT}
    assert (row["state"], row["orchestrators"], row["validators"]) == ("enabled", {}, [])


@pytest.mark.parametrize("command", [["worker"], ["runs", "list"]], ids=" ".join)
def test_a_command_in_the_mode_ends_with_how_to_install_it(
    env: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    done = run_cli(tmp_path, *command, "--orchestration-mode", "temporal", env=env)

    assert done.returncode == 1
    assert HINT in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
