"""Node.js as tests use it."""

import subprocess
from pathlib import Path

from tests.support.node import node, node_command


def test_the_node_of_the_environment_runs_not_the_machine_s() -> None:
    version = subprocess.run([node(), "--version"], check=True, capture_output=True, text=True).stdout

    assert int(version.removeprefix("v").split(".")[0]) >= 22


def test_a_script_of_any_folder_imports_the_packages_by_name(tmp_path: Path) -> None:
    script = tmp_path / "script.mjs"
    script.write_text(
        'import { createMessageConnection } from "vscode-jsonrpc/node";\n'
        'import { Client } from "@modelcontextprotocol/client";\n'
        "console.log(typeof createMessageConnection, typeof Client, process.argv[2]);\n"
    )

    output = subprocess.run(node_command(script, "an-argument"), check=True, capture_output=True, text=True).stdout

    assert output == "function function an-argument\n"


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    script = tmp_path / "script.mjs"
    script.write_text('import "no-such-package";\n')

    run = subprocess.run(node_command(script), capture_output=True, text=True)

    assert run.returncode == 1
    assert "Cannot find package 'no-such-package'" in run.stderr
