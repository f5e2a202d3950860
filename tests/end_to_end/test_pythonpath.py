"""If PYTHONPATH leads into another project, none of its modules replaces one of mthds-rpc or of Python."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import python_method
from tests.support.client import TIMEOUT_S
from tests.support.durable import new_id
from tests.support.ledgers import write_settings
from tests.support.mthds_server import isolated_env

COMMAND = [sys.executable, "-c", "from mthds_rpc_start import entry; entry()"]
"""What the installed script does, but for the imports that some installers put before it."""

FOREIGN = "raise ImportError('taken from PYTHONPATH: ' + __name__)\n"
PACKAGES = ["schemas", "orchestrators", "rpc_server"]
MODULES = ["mthds", "types", "logging", "typing", "json", "re", "random", "pipelex", "pydantic", "anyio", "dbos"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of modules that fail when imported, and one that a method's Python can import."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(FOREIGN)
    for name in MODULES:
        (folder / f"{name}.py").write_text(FOREIGN)
    (folder / "house_rules.py").write_text("GREETING = 'Good day'\n")
    return folder


def run(home: Path, project: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    workspace = home / "workspace"
    workspace.mkdir(exist_ok=True)
    env = {**isolated_env(home), "PYTHONPATH": str(project)}
    # Coverage itself would be shadowed.
    env = {name: value for name, value in env.items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=workspace, env=env, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S
    )


@pytest.mark.parametrize("command", ["version", "config", "plugins", "doctor --host claude-code", "serve --help"])
def test_commands_work(tmp_path: Path, project: Path, command: str) -> None:
    done = run(tmp_path, project, *command.split())

    assert done.returncode == 0, done.stderr
    assert "taken from PYTHONPATH" not in done.stdout + done.stderr


def test_a_server_its_engine_and_a_method_s_python_work_and_still_find_what_is_theirs(
    tmp_path: Path, project: Path
) -> None:
    body = (
        "    import house_rules, os, subprocess, sys\n"
        "    code = 'import house_rules; print(house_rules.GREETING)'\n"
        "    said = subprocess.run([sys.executable, '-P', '-S', '-c', code], capture_output=True, text=True).stdout\n"
        "    return TextContent(text=f'{house_rules.GREETING}, {word}; {said.strip()}')"
    )
    files = python_method(body).model_dump(mode="json")["files"]
    request = {"jsonrpc": "2.0", "id": 1, "method": "execute", "params": {"files": files, "inputs": {"word": "Bo"}}}

    done = run(tmp_path, project, "serve", "--allow-python", stdin=json.dumps(request) + "\n")

    assert json.loads(done.stdout)["result"]["output"] == {"text": "Good day, Bo; Good day"}
    assert done.returncode == 0


def test_a_worker_that_a_command_s_server_keeps_works(tmp_path: Path, project: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "say.mthds").write_text(
        'domain = "say"\nmain_pipe = "say"\n\n[pipe.say]\ntype = "PipeCompose"\ndescription = "Say it"\n'
        'inputs = { word = "Text" }\noutput = "Text"\ntemplate = "{{ word }}!"\n'
    )
    settings = write_settings(tmp_path, poll_s=0.05)
    asked = ["--method", "say.mthds", "--input", "word=hey", "--run-id", new_id(), "--output"]

    done = run(tmp_path, project, "call", "execute", *asked, "--orchestration-mode", "dbos", "--config", str(settings))

    assert (done.returncode, done.stdout) == (0, "hey!\n"), done.stderr


def test_a_module_that_the_interpreter_has_taken_for_its_own_is_let_go(tmp_path: Path) -> None:
    """A `sitecustomize` on PYTHONPATH runs before mthds-rpc does and may import anything."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "logging.py").write_text("HARMLESS = True\n")
    (project / "sitecustomize.py").write_text("import logging\n")

    done = run(tmp_path, project, "config", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settings"]


@pytest.mark.parametrize("way", ["user site", "script folder"])
def test_what_the_user_s_site_or_the_script_s_folder_hold_comes_last_too(tmp_path: Path, way: str) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import site; site.USER_SITE = sys.argv[1]; "
    if way == "script folder":
        code = "import sys; sys.path[0] = sys.argv[1]; "
    code += "from mthds_rpc_start import put_pythonpath_last as put; put(); import schemas, sys; print(sys.path[-1])"
    (tmp_path / "schemas.py").write_text(FOREIGN)

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd="/", env={})

    assert done.stdout == f"{tmp_path}\n", done.stderr
