"""What the mode `dbos` alone promises through the real server and its commands; the rest is in `test_kept_runs.py`."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support.bundles import SEQUENCE
from tests.support.cli import COMMAND, run_cli
from tests.support.client import RpcClient
from tests.support.durable import (
    code_of,
    durable,
    greeting,
    new_id,
    output_of,
    start,
    without_workers,
)
from tests.support.ledgers import Order, until, write_settings
from tests.support.mthds_server import isolated_env, serve


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RpcClient]:
    """One durable server for the tests that leave it as it was."""
    with durable(home, "--config", str(write_settings(home, poll_s=0.05))) as client:
        yield client


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order("until", tmp_path / "run")


def test_a_server_of_another_mode_finds_and_lists_durable_runs_after_its_own(home: Path, server: RpcClient) -> None:
    kept = [start(server, greeting()) for _ in range(3)]
    for run_id in kept:
        output_of(server, run_id)

    with without_workers(home) as direct:
        own = [greeting(), greeting()]
        for params in own:
            direct.result("execute", params)
        record = direct.result("runs/get", {"run_id": kept[0]})
        pages: list[list[str]] = []
        cursor: str | None = None
        while cursor is not None or not pages:
            page = direct.result("runs/list", {"limit": 2, **({"cursor": cursor} if cursor else {})})
            pages.append([run["pipeline_run_id"] for run in page["runs"]])
            cursor = page.get("next_cursor")
        output = output_of(direct, kept[0])

    listed = [run_id for page in pages for run_id in page]
    assert (record["orchestration_mode"], record["state"]) == ("dbos", "COMPLETED")
    assert output == {"text": "Hello Ann"}
    assert listed[:5] == [own[1]["run_id"], own[0]["run_id"], *reversed(kept)]
    assert len(listed) == len(set(listed))


def test_python_is_refused_by_start_where_it_is_not_allowed(tmp_path: Path, order: Order) -> None:
    with serve(tmp_path, "--allow-override") as client:
        error = client.error("start", order.params(run_id=new_id(), orchestration_mode="dbos"))
        kept = client.result("runs/list", {"orchestration_mode": "dbos"})["runs"]

    assert code_of(error) == (-31060, "pipelex.deployment.custom_code_requires_sandbox")
    assert kept == []


def test_a_worker_of_a_mode_without_workers_ends_at_once_with_one_line(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "worker", "--orchestration-mode", "direct")

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.count("\n") == 1
    assert "'direct'" in done.stderr
    assert "dbos" in done.stderr


@pytest.mark.parametrize(
    ("command", "setting", "key"),
    [
        ("serve", "workers = 0", "workers"),
        ("serve", "poll_s = -1", "poll_s"),
        ("serve", "lease_s = inf", "lease_s"),
        ("serve", "concurrency = 1.5", "concurrency"),
        ("serve", 'database_url = "mysql://x"', "database_url"),
        ("serve", 'database_url = "sqlite:///near.sqlite3"', "database_url"),
        ("serve", "[rpc_dbos.retention]\nmax_runs = -1", "retention.max_runs"),
        ("serve", "worker = 2", "worker"),
        ("worker", "workers = 0", "workers"),
        ("runs list", 'database_url = "mysql://x"', "database_url"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_with_file_line_and_key(
    tmp_path: Path, command: str, setting: str, key: str
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f"[rpc_dbos]\n{setting}\n")
    line = len(file.read_text().splitlines())
    asked = '{"jsonrpc":"2.0","id":1,"method":"models"}\n'

    done = run_cli(tmp_path, *command.split(), "--config", str(file), stdin=asked)

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.count("\n") == 1
    assert f"own.toml:{line}: " in done.stderr
    assert f"{key}: " in done.stderr


def test_kept_runs_are_listed_shown_followed_and_read_as_text_from_the_command_line(
    home: Path, server: RpcClient
) -> None:
    run_id = start(server, {"mthds_contents": [SEQUENCE], "inputs": {"word": "hey"}})
    output_of(server, run_id)

    said = {action: run_cli(home, "runs", action, run_id) for action in ("show", "watch", "result", "cancel")}
    listed = run_cli(home, "runs", "list", "--since", "1h")

    assert {done.returncode for done in [*said.values(), listed]} == {0}
    assert "COMPLETED" in said["show"].stdout
    assert said["watch"].stdout == f"{run_id} COMPLETED\n"
    assert json.loads(said["result"].stdout)["output"] == {"text": "hey!!!"}
    assert "COMPLETED" in said["cancel"].stdout
    assert listed.stdout.startswith("RUN")
    assert run_id in listed.stdout


def test_a_reader_that_leaves_in_the_middle_of_a_watch_ends_it_quietly(home: Path, server: RpcClient) -> None:
    run_id = start(server, {"mthds_contents": [SEQUENCE], "inputs": {"word": "hey"}})
    output_of(server, run_id)
    watch = [*COMMAND, "runs", "watch", run_id, "--json"]

    with subprocess.Popen(watch, cwd=home, env=isolated_env(home), stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert (process.wait(), said) == (1, b"")


def test_a_run_without_a_result_ends_commands_with_1(home: Path, server: RpcClient, order: Order) -> None:
    run_id = start(server, order.params())
    until(lambda: order.has_begun, "the run to begin")

    unfinished = run_cli(home, "runs", "result", run_id)
    server.result("runs/cancel", {"run_id": run_id})
    watched = run_cli(home, "runs", "watch", run_id)
    result = run_cli(home, "runs", "result", run_id)

    assert unfinished.returncode == 1
    assert json.loads(unfinished.stdout)["error"]["data"]["code"] == "run.not_finished"
    assert (watched.returncode, watched.stdout) == (1, f"{run_id} CANCELLED\n")
    assert (result.returncode, json.loads(result.stdout)["error"]["data"]["code"]) == (1, "run.cancelled")


@pytest.mark.parametrize("action", ["show", "watch", "result", "cancel"])
def test_a_stranger_among_runs_ends_with_1_and_says_so(home: Path, server: RpcClient, action: str) -> None:
    done = run_cli(home, "runs", action, "nobody", "--orchestration-mode", "dbos")

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["data"]["code"] == "run.not_found"
    assert "[run.not_found]" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["forget"],
        ["show"],
        ["list", "some-run"],
        ["prune", "some-run"],
        ["prune"],
        ["list", "--since", "yesterday"],
        ["list", "--state", "DONE"],
        ["list", "--limit", "many"],
        ["result", "some-run", "--wait", "nan"],
        ["prune", "--keep", "-1"],
        ["prune", "--older-than", "nand"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_of_runs_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    done = run_cli(tmp_path, "runs", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("run_id", ["not/an/id", "x" * 200])
def test_an_id_that_no_run_can_have_is_refused_in_a_line_or_two(tmp_path: Path, run_id: str) -> None:
    done = run_cli(tmp_path, "runs", "show", run_id)

    assert done.returncode == 2
    assert "no run can have this id" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "\N{GRINNING FACE}"])
def test_any_text_goes_through_a_durable_run(server: RpcClient, text: str) -> None:
    read = text.replace("\ud800", "\N{REPLACEMENT CHARACTER}")
    assert server.result("execute", greeting(text))["output"] == {"text": f"Hello {read}"}


@pytest.mark.parametrize(
    "params",
    [{"cursor": "dbos/1:\ud800"}, {"cursor": "dbos/1:\x00"}, {"method": "\ud800"}, {"cursor": "dbos/nonsense"}],
    ids=["half a character", "a zero byte", "half a character as the method", "nonsense"],
)
def test_a_list_that_is_asked_for_with_odd_text_is_answered(server: RpcClient, params: dict[str, str]) -> None:
    assert isinstance(server.result("runs/list", params)["runs"], list)
