"""`mthds-rpc call`: a server for one call, its answer printed, its outcome the exit status."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.support.bundles import GREETING, SEQUENCE, python_method
from tests.support.cli import COMMAND, processes_with, run_cli
from tests.support.mthds_server import isolated_env

TWO_FILES = """
domain = "files"
main_pipe = "describe"

[pipe.describe]
type = "PipeCompose"
description = "Say what came in"
inputs = { near = "Document", far = "Document", count = "Number" }
output = "Text"
template = "{{ near.filename }} {{ near.mime_type }}, {{ far.filename }} {{ far.mime_type }}, {{ count.number }}"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with two methods, below a home of its own."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "greeting.mthds").write_text(GREETING)
    (directory / "chain.mthds").write_text(SEQUENCE)
    return directory


def test_a_run_s_result_is_one_line_of_json_and_nothing_is_said_on_stderr(tmp_path: Path, project: Path) -> None:
    (project / "inputs.json").write_text('{"name": "Änn"}')

    done = run_cli(tmp_path, "call", "execute", "--method", "greeting.mthds", "--inputs", "inputs.json", cwd=project)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["output"] == {"text": "Hello Änn"}


def test_the_output_alone_can_be_had_and_the_progress_on_stderr(tmp_path: Path, project: Path) -> None:
    arguments = ["--method", "chain.mthds", "--inputs", "-", "--output", "--progress"]

    done = run_cli(tmp_path, "call", "execute", *arguments, cwd=project, stdin='{"word": "go"}')

    assert done.stdout == "go!!!\n"
    lines = done.stderr.splitlines()
    assert lines[0] == "the run started"
    assert "[3/4] chain.three completed" in lines
    assert lines[-1].startswith("[4/4] ")


def test_inputs_come_from_toml_text_json_and_files_near_and_far(tmp_path: Path, project: Path) -> None:
    (project / "files.mthds").write_text(TWO_FILES)
    (project / "inputs.toml").write_text("count = 1\n")
    (project / "near.txt").write_text("near")
    (tmp_path / "far.pdf").write_bytes(b"%PDF-1.7")
    arguments = ["--inputs", "inputs.toml", "--input", "near=@near.txt", "--input", "far=@../far.pdf"]
    arguments += ["--input", "count:=2", "--output"]

    done = run_cli(tmp_path, "call", "execute", "--method", "files.mthds", *arguments, cwd=project)

    assert done.stdout == "near.txt text/plain, far.pdf application/pdf, 2\n"


def test_a_method_elsewhere_runs_in_its_own_project(tmp_path: Path, project: Path) -> None:
    arguments = ["--method", str(project / "greeting.mthds"), "--input", "name=Ann", "--run-mode=dry", "--run-id=r1"]

    done = run_cli(tmp_path, "call", "execute", *arguments, cwd=Path("/"))

    result = json.loads(done.stdout)
    assert (result["pipeline_run_id"], result["run_mode"]) == ("r1", "dry")


def test_a_valid_method_ends_with_0_and_an_invalid_one_with_3_and_its_faults(tmp_path: Path, project: Path) -> None:
    (project / "broken.mthds").write_text("domain = \n")

    valid = run_cli(tmp_path, "call", "validate", "--method", "greeting.mthds", cwd=project)
    invalid = run_cli(tmp_path, "call", "validate", "--method", "broken.mthds", cwd=project)

    assert valid.returncode == 0
    assert invalid.returncode == 3
    assert json.loads(invalid.stdout)["is_valid"] is False
    assert invalid.stderr.startswith("  broken.mthds:1:")


def test_an_error_ends_with_1_as_json_on_stdout_and_in_words_on_stderr(tmp_path: Path, project: Path) -> None:
    done = run_cli(tmp_path, "call", "execute", "--method", "absent.mthds", cwd=project)

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["data"]["code"] == "method.not_found"
    assert done.stderr.splitlines() == [
        "mthds-rpc: There is no .mthds file and no folder at 'absent.mthds' in the workspace. [method.not_found]",
        "  Correct `method`; `methods/list` names the methods of the workspace.",
    ]


def test_a_request_above_the_server_s_limit_ends_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("[rpc.limits]\nmax_message_bytes = 1000\n")

    done = run_cli(tmp_path, "call", "models", "--config", "small.toml", "--param", f"type={'x' * 1000}")

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["data"]["code"] == "request.too_large"


def test_any_param_may_be_given_as_json_or_as_text(tmp_path: Path, project: Path) -> None:
    done = run_cli(tmp_path, "call", "methods/list", "--param", "limit=1", "--param", "cursor=chain.mthds", cwd=project)

    assert [entry["path"] for entry in json.loads(done.stdout)["methods"]] == ["greeting.mthds"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "METHOD"),
        (["execute", "--input", "name"], "--input takes NAME=VALUE, found 'name'"),
        (["execute", "--input", "name:={"], "--input name:=… is not JSON"),
        (["execute", "--input", "name=@/absent/scan.pdf"], "/absent/scan.pdf cannot be read: No such file"),
        (["execute", "--inputs", "absent.json"], "absent.json cannot be read: No such file"),
        (["execute", "--inputs", "list.json"], "list.json must hold one object"),
        (["execute", "--inputs", "broken.toml"], "broken.toml cannot be understood"),
        (["execute", "--param", "=1"], "--param takes NAME=VALUE"),
        (["execute", "--work", "x"], "unrecognized arguments: --work"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.toml").write_text("a = ")

    done = run_cli(tmp_path, "call", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A call whose run has begun and would go on for an hour; it was started with TEST_MARK=<its home>."""
    project = tmp_path / "endless"
    project.mkdir()
    method = python_method("    import asyncio\n    await asyncio.sleep(3600)", is_async=True)
    for path, text in (method.files or {}).items():
        (project / path).write_text(str(text))
    arguments = ["call", "execute", "--method", ".", "--input", "word=x", "--allow-python", "--progress"]
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=project,
        env={**isolated_env(tmp_path), "TEST_MARK": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background may have been started with Ctrl-C ignored, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        assert process.stderr is not None
        assert any("own_python.work started" in line for line in iter(process.stderr.readline, ""))
        yield process


def test_ctrl_c_cancels_the_run_and_leaves_nothing_behind(tmp_path: Path, endless: subprocess.Popen[str]) -> None:
    endless.send_signal(signal.SIGINT)
    stdout, stderr = endless.communicate(timeout=60)

    assert (endless.returncode, stdout) == (130, "")
    assert "cancelling the run" in stderr
    assert processes_with("TEST_MARK", str(tmp_path)) == []


def test_a_call_that_is_killed_takes_its_server_and_engine_along(
    tmp_path: Path, endless: subprocess.Popen[str]
) -> None:
    others = [process for process in processes_with("TEST_MARK", str(tmp_path)) if process.pid != endless.pid]

    endless.kill()

    _, alive = psutil.wait_procs(others, timeout=60)
    assert len(others) >= 2
    assert alive == []


def test_on_a_terminal_progress_is_a_bar_and_the_result_is_indented(tmp_path: Path, project: Path) -> None:
    ours, theirs = pty.openpty()
    env = {**isolated_env(tmp_path), "TERM": "xterm", "COLUMNS": "120"}
    arguments = ["call", "execute", "--method", "chain.mthds", "--input", "word=go"]

    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=project, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = read_terminal(ours)
    os.close(ours)

    assert process.returncode == 0
    assert "waiting for the engine" in shown
    assert "━" in shown
    assert '\r\n  "output": {\r\n    "text": "go!!!"\r\n  }' in shown


def read_terminal(descriptor: int) -> str:
    """Everything written to a terminal until its other side is closed."""
    shown = b""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            return shown.decode()
        shown += chunk
