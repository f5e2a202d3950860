"""The pages say what the program does: compared with its tables, its parsers, its files and its answers."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli
from mthds.protocol.problem.models import RetryVerdict, StepKind
from pipelex.errors.error_codes import error_code_spec, parse_error_code

from orchestrators.plugins.testing import Ability
from orchestrators.temporal.settings import MOST_INLINE_BYTES
from rpc_server import versions
from rpc_server.calls import errors as call_errors
from rpc_server.calls.call_spec import CallSpec
from rpc_server.calls.errors import COMMON_ERRORS, code_of
from rpc_server.calls.services import Services
from rpc_server.calls.table import wire_methods
from rpc_server.cli import COMMANDS
from rpc_server.commands.hosts import HOSTS
from rpc_server.exit_statuses import EXIT_STATUSES
from rpc_server.mcp.prompts import PROMPTS
from rpc_server.mcp.protocol import revisions
from rpc_server.mcp.protocol.endpoint import McpEndpoint
from rpc_server.mcp.resources import TEMPLATES
from rpc_server.mcp.tools.run_results import PAGE_URI
from rpc_server.mcp.tools.tool_specs import TOOLS
from rpc_server.redaction import Redactor
from rpc_server.wire import errors as wire_errors
from rpc_server.wire.peer import Peer
from schemas import problem, results, runs
from tests.support.cli import run_cli
from tests.support.client import ROOT
from tests.support.docs import (
    PAGES,
    anchors,
    blocks,
    codes,
    converse,
    exchanges,
    links,
    page,
    prose,
    rows,
    section,
    write_files,
)
from tests.support.ledgers import worker_process
from tests.support.mthds_server import isolated_env, serve
from tests.support.packages import install
from tests.support.temporal import temporal_server

SOURCES = [path for package in ("rpc_server", "orchestrators") for path in sorted((ROOT / package).rglob("*.py"))]
COMMAND = "/absolute/path/to/mthds-rpc"
PROJECT = "/absolute/path/of/your/project"


async def no_services() -> Services:
    raise AssertionError("a description calls no handler")


class NeverReady:
    """Stands in for what is opened late: a description waits for nothing."""

    async def ready(self) -> Services:
        return await no_services()

    def map_error(self, error: BaseException) -> None:
        raise AssertionError("a description maps no error")


METHODS = dict(wire_methods(no_services, "direct"))


def integers_of(cell: str) -> set[int]:
    return {int(text) for text in re.findall(r"-\d{5}", cell)}


class TestMethods:
    """docs/methods.md"""

    @pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name)
    def test_every_param_is_there_in_the_order_it_has_by_position(self, spec: CallSpec) -> None:
        model = spec.params_model
        names = [] if model is None else [name for name in model.model_fields if name != "meta"]

        text = section(page("docs/methods.md"), f"`{spec.name}`")

        by_position = re.search(r"^By position: (.*?)\.(?:\n| They)", text, re.MULTILINE | re.DOTALL)
        assert (codes(by_position[1]) if by_position else []) == names
        assert by_position or "It takes no params." in text

    @pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name)
    def test_every_param_is_explained(self, spec: CallSpec) -> None:
        model = spec.params_model
        names = set() if model is None else set(model.model_fields) - {"meta"}
        text = page("docs/methods.md")

        explained = explained_params(text, "`execute`" if spec.name == "start" else f"`{spec.name}`")

        assert explained - {"wait_s"} == names - {"wait_s"}
        assert spec.name == "start" or explained == names

    @pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name)
    def test_every_error_is_named(self, spec: CallSpec) -> None:
        text = page("docs/methods.md")
        groups = {row[0].strip("*"): set(codes(row[1])) for row in rows(section(text, "Errors by group"))}

        line = section(text, f"`{spec.name}`").rpartition("\nErrors: ")[2]

        named = set(codes(line)).union(*(groups[name] for name in re.findall(r"\*(\w+)\*", line)))
        assert named == {*COMMON_ERRORS, *spec.errors}

    def test_no_method_is_there_that_the_program_lacks(self) -> None:
        headings = set(re.findall(r"^## `([^`]+)`$", page("docs/methods.md"), re.MULTILINE))

        assert headings == set(METHODS)

    @pytest.mark.parametrize(
        ("heading", "model"),
        [
            ("`execute`", runs.RunResult),
            ("`start`", runs.StartAck),
            ("`models`", results.ModelDeck),
            ("`version`", results.VersionInfo),
            ("`methods/list`", results.MethodsPage),
            ("`methods/list`", results.MethodEntry),
            ("`methods/inputs`", results.InputsTemplate),
            ("`runs/get`", runs.RunRecord),
            ("`runs/list`", runs.RunPage),
            ("`runs/watch`", results.WatchEnd),
            ("Progress", runs.RunEvent),
            ("Files and positions", problem.Location),
        ],
    )
    def test_every_member_of_a_result_is_there(self, heading: str, model: Any) -> None:
        text = section(page("docs/methods.md"), heading)
        told = {name: field for name, field in model.model_fields.items() if not field.exclude}
        members = {field.alias or name for name, field in told.items()} - {"item"}

        assert {name for name in members if f"`{name}`" not in text and f'"{name}"' not in text} <= {"attempt"}

    def test_the_states_and_kinds_of_events_are_there(self) -> None:
        text = page("docs/methods.md")

        assert set(runs.RunState) <= set(codes(section(text, "`runs/get`")))
        assert set(get_args(runs.EventKind)) <= set(codes(section(text, "Progress")))


def explained_params(text: str, heading: str) -> set[str]:
    """The params in the tables of a section, those of a shared section it points to included."""
    found = set()
    for row in rows(section(text, heading)):
        if len(row) == 4 and row[0] == "[the method](#the-method)":
            found |= {codes(shared[0])[0] for shared in rows(section(text, "The method"))}
        elif len(row) == 4:
            found |= {codes(row[0])[0]}
    return found


class TestMcp:
    """docs/mcp.md"""

    def test_every_method_of_the_protocol_is_there_and_no_other(self) -> None:
        table = rows(section(page("docs/mcp.md"), "Methods of the protocol"))

        listed = {name for row in table for name in codes(row[0])}

        assert listed == set(McpEndpoint(Peer(), Redactor({}), NeverReady()).methods())

    @pytest.mark.parametrize(
        ("heading", "names"),
        [
            ("Tools", [tool.name for tool in TOOLS]),
            ("Resources", [*(uri for uri, *_ in TEMPLATES), PAGE_URI, "mthds://schemas/…"]),
            ("Prompts", PROMPTS),
        ],
    )
    def test_everything_that_is_offered_is_there_and_nothing_else(self, heading: str, names: Iterable[str]) -> None:
        table = rows(section(page("docs/mcp.md"), heading))

        assert {codes(row[0])[0] for row in table} == set(names)

    def test_the_arguments_of_every_prompt_are_there(self) -> None:
        table = rows(section(page("docs/mcp.md"), "Prompts"))

        listed = {codes(row[0])[0]: codes(row[1]) for row in table}

        assert listed == {
            name: [argument["name"] for argument in prompt["arguments"]] for name, prompt in PROMPTS.items()
        }

    def test_every_integer_of_its_own_is_there_and_no_other(self) -> None:
        table = rows(section(page("docs/mcp.md"), "Errors"))
        ours = {value for name, value in vars(revisions).items() if name[0].isupper() and type(value) is int}

        assert set().union(*(integers_of(row[0]) for row in table)) == ours

    def test_every_revision_is_there(self) -> None:
        table = section(page("docs/mcp.md"), "Revisions")

        assert set(re.findall(r"\d{4}-\d\d-\d\d", table)) == {*revisions.LEGACY, *revisions.MODERN}


class TestErrors:
    """docs/errors.md"""

    def test_every_integer_is_there_and_no_other(self) -> None:
        table = section(page("docs/errors.md"), "Integers")
        named = vars(wire_errors) | vars(call_errors)
        ours = {value for name, value in named.items() if name[0].isupper() and type(value) is int}

        ranged = {-31999, -31900}
        assert set().union(*(integers_of(row[0]) for row in rows(table))) == ours | ranged

    def test_every_code_that_the_program_names_is_there(self) -> None:
        located = [path for path in SOURCES if path.parent.name == "validation"]

        assert codes_in(set(SOURCES).difference(located)) <= set(codes(page("docs/errors.md")))

    def test_every_code_stands_beside_the_integer_it_goes_out_under(self) -> None:
        text = page("docs/errors.md")
        listed = [*rows(section(text, "Codes of this server")), *rows(section(text, "Codes of Pipelex"))]

        wrong = [
            code
            for row in listed
            for code in codes(row[0])
            if code_of(code, None, domain_of(code)) not in integers_of(row[1])
        ]

        assert not wrong

    def test_every_error_of_temporals_stands_beside_the_one_code_and_integer_that_it_becomes(self) -> None:
        table = rows(section(page("docs/errors.md"), "Temporal's errors"))

        listed = [(codes(code), integers_of(integer)) for _, _, code, integer in table]

        away = {"dependency": "orchestrator"}
        assert listed == [([code], {code_of(code, away, domain_of(code))}) for (code, *_), _ in listed]

    def test_every_code_that_the_temporal_plugin_names_is_in_its_table(self) -> None:
        table = rows(section(page("docs/errors.md"), "Temporal's errors"))
        named = codes_in([ROOT / "orchestrators/temporal/problems.py"])

        assert named <= {codes(code)[0] for _, _, code, _ in table}

    def test_every_verdict_and_step_of_the_registry_is_there(self) -> None:
        text = page("docs/errors.md")

        assert {row[0].strip("`") for row in rows(section(text, "Retry"))} == set(RetryVerdict)
        assert {row[0].strip("`") for row in rows(section(text, "Next step"))} == set(StepKind)

    def test_the_program_names_no_step_that_the_registry_lacks(self) -> None:
        assert steps_in_the_source() <= set(StepKind)


def literals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def codes_in(files: Iterable[Path]) -> set[str]:
    """Each problem code that is written out in some files."""
    texts = {text for path in files for text in literals(ast.parse(path.read_text()))}
    return {text for text in texts if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", text) and parse_error_code(text) is not None}


def steps_in_the_source() -> set[str]:
    """Each kind of a next step that is written out in the program."""
    found = set()
    for call in (
        node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ):
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        step = named.get("next_step")
        if isinstance(step, ast.Tuple) and isinstance(step.elts[0], ast.Constant):
            found.add(step.elts[0].value)
        if isinstance(call.func, ast.Name) and call.func.id == "NextStep" and isinstance(named["kind"], ast.Constant):
            found.add(named["kind"].value)
    return found


def domain_of(code: str) -> str:
    known = parse_error_code(code)
    return "" if known is None else error_code_spec(known).domain


class TestSettings:
    """docs/settings.md"""

    @pytest.mark.parametrize(
        ("heading", "file"),
        [
            ("api.toml", "api.toml"),
            ("rpc.toml", "rpc_server/rpc.toml"),
            ("rpc_dbos.toml", "orchestrators/dbos/rpc_dbos.toml"),
            ("rpc_temporal.toml", "orchestrators/temporal/rpc_temporal.toml"),
        ],
    )
    def test_every_key_is_there_with_its_default(self, heading: str, file: str) -> None:
        shipped = flat(tomli.loads((ROOT / file).read_text(encoding="utf-8")))

        described = {codes(row[0])[0]: codes(row[1])[0] for row in rows(section(page("docs/settings.md"), heading))}

        assert {key: tomli.loads(f"value = {default}")["value"] for key, default in described.items()} == shipped

    @pytest.mark.parametrize("name", ["docs/settings.md", "docs/temporal.md"])
    def test_what_goes_through_temporal_at_the_most_is_there(self, name: str) -> None:
        assert f" {MOST_INLINE_BYTES:,}" in page(name)

    def test_the_limits_of_the_methods_page_are_the_shipped_ones(self) -> None:
        shipped = flat(tomli.loads((ROOT / "rpc_server/rpc.toml").read_text(encoding="utf-8")))

        table = "\n".join(row[0] for row in rows(section(page("docs/methods.md"), "Limits")))

        for limit in ("max_json_depth", "max_batch", "max_in_flight"):
            assert f" {shipped[f'limits.{limit}']}" in table
        assert f"a message: {shipped['limits.max_message_bytes'] >> 20} MiB" in table
        assert f"to be read: {shipped['limits.max_queued_bytes'] >> 20} MiB" in table
        assert f"a run: {shipped['runs.max_timeout_s'] / 3600:g} hours" in table
        assert f"that is read: {shipped['workspace.max_file_bytes'] >> 20} MiB" in table
        assert f"of a call: {shipped['workspace.max_total_bytes'] >> 20} MiB" in table


def flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    found = {}
    for name, value in table.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return found


@cache
def help_of(command: str) -> str:
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "rpc_server.cli", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "COLUMNS": "120"},
        cwd=ROOT,
    )
    # The usage alone: what follows may speak of other commands.
    return shown.stdout.partition("\n\n")[0]


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


class TestCommandLine:
    """docs/cli.md"""

    def test_every_command_is_there(self) -> None:
        listed = {codes(row[0])[0] for row in rows(page("docs/cli.md").partition("## ")[0])}

        assert listed == set(COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_flag_of_a_command_is_there(self, command: str) -> None:
        text = page("docs/cli.md")
        shared = flags_in("".join(row[0] for row in rows(section(text, "Settings flags"))))
        real = flags_in(help_of(command)) - {"--help"}

        described = flags_in("".join(row[0] for row in rows(section(text, f"`{command}`"))))

        assert described == (real - shared if shared <= real else real)

    def test_the_settings_flags_are_those_of_serve(self) -> None:
        described = flags_in("".join(row[0] for row in rows(section(page("docs/cli.md"), "Settings flags"))))

        assert described == flags_in(help_of("serve")) - {"--help"}

    def test_every_host_is_there(self) -> None:
        assert set(codes(section(page("docs/cli.md"), "`doctor`"))) >= set(HOSTS)

    def test_every_exit_status_is_there(self) -> None:
        described = {row[0] for row in rows(section(page("docs/cli.md"), "Exit status"))}

        assert described == set(re.findall(r"^ +(\d+) ", EXIT_STATUSES, re.MULTILINE))

    @pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for path in PAGES])
    def test_every_command_line_shown_could_be_typed(self, name: str) -> None:
        for line in "\n".join(blocks(page(name), "sh")).split("\n"):
            words = shlex.split(line, comments=True)
            if words[:1] == ["mthds-rpc"]:
                assert words[1] in COMMANDS, line
                assert {word for word in words if word.startswith("--")} <= flags_in(help_of(words[1])), line


def workspace(directory: Path, text: str) -> Path:
    """A folder with the shipped examples and the files that a page shows."""
    directory.mkdir()
    shutil.copytree(ROOT / "examples", directory / "examples")
    write_files(page("docs/methods.md"), directory)
    write_files(text, directory)
    return directory


def install_the_plugin_of_the_page(tmp_path: Path) -> Path:
    """Install what docs/plugins.md shows, from `project`; the folder to import it from."""
    project = tmp_path / "project"
    project.mkdir()
    write_files(page("docs/plugins.md"), project)
    return install([project], tmp_path / "installed")


class TestExamples:
    """The JSON of every page."""

    @pytest.mark.parametrize(
        ("name", "mode"),
        [
            ("README.md", "direct"),
            ("docs/editors.md", "direct"),
            ("docs/errors.md", "direct"),
            ("docs/methods.md", "direct"),
            ("docs/validation.md", "direct"),
            ("docs/durable.md", "dbos"),
        ],
    )
    def test_a_server_answers_as_the_page_shows(self, name: str, mode: str, tmp_path: Path) -> None:
        conversation = exchanges(page(name))

        folder = workspace(tmp_path / "workspace", page(name))

        with serve(tmp_path, "--orchestration-mode", mode, workspace=folder) as client:
            for exchange in conversation:
                converse(client, exchange)

        assert conversation

    def test_a_run_on_temporal_goes_as_the_page_shows(self, tmp_path: Path) -> None:
        text = page("docs/temporal.md")
        waiting, taken_up = (exchanges(section(text, heading)) for heading in ("Start a run", "Start a worker"))
        folder = workspace(tmp_path / "workspace", text)

        with temporal_server(tmp_path) as temporal:
            env = {"TEMPORAL_ADDRESS": temporal.address}
            with serve(tmp_path, "--orchestration-mode", "temporal", workspace=folder, env=env) as client:
                for exchange in waiting:
                    converse(client, exchange)
                with worker_process(tmp_path, mode="temporal", env=env) as worker:
                    worker.wait_until_it_works()
                    for exchange in taken_up:
                        converse(client, exchange)

        assert [*waiting, *taken_up] == exchanges(text) != []

    def test_every_method_has_an_example(self) -> None:
        sent = [message for exchange in exchanges(page("docs/methods.md")) for message in exchange.sent]

        assert {message["method"] for message in sent if isinstance(message, dict)} >= set(METHODS)

    def test_the_plugin_of_the_page_works(self, tmp_path: Path) -> None:
        text = page("docs/plugins.md")
        installed = install_the_plugin_of_the_page(tmp_path)
        flags = ["--orchestration-mode", "audited"]
        folder = workspace(tmp_path / "workspace", text)

        with serve(tmp_path, *flags, workspace=folder, env={"PYTHONPATH": str(installed)}) as client:
            for exchange in exchanges(text):
                converse(client, exchange)
            record = client.result("runs/get", {"run_id": "greet-1"})
            unknown = client.error("runs/result", {"run_id": "unknown"})
            verdict = client.result("validate", {"method": "greet.mthds"})

        assert record["state"] == "COMPLETED"
        assert unknown["data"]["code"] == "run.not_found"
        assert verdict["is_valid"]
        lines = (tmp_path / "state/mthds-rpc/audit.log").read_text(encoding="utf-8")
        assert lines.endswith(" greet-1 . COMPLETED\n")

    def test_the_plugin_of_the_page_passes_the_contract_and_says_what_it_lacks(self, tmp_path: Path) -> None:
        installed = install_the_plugin_of_the_page(tmp_path)
        command = [sys.executable, "-m", "pytest", "-rs", "test_audited.py"]
        env = {**isolated_env(tmp_path), "PYTHONPATH": str(installed)}

        done = subprocess.run(command, cwd=tmp_path / "project", env=env, capture_output=True, text=True)

        assert done.returncode == 0, done.stdout
        assert re.search(r"\b5 passed, \d+ skipped in", done.stdout), done.stdout
        assert set(re.findall(r"py:\d+: (\w+): ", done.stdout)) <= set(get_args(Ability))
        assert "events: no events are kept" in done.stdout

    def test_every_ability_of_the_contract_is_there(self) -> None:
        table = rows(section(page("docs/plugins.md"), "Prove an orchestrator"))

        assert [codes(row[0])[0] for row in table] == list(get_args(Ability))

    @pytest.mark.parametrize("host", sorted(HOSTS))
    def test_the_entry_for_a_host_is_the_one_that_doctor_prints(self, host: str, tmp_path: Path) -> None:
        project = tmp_path / "project"
        project.mkdir()

        arguments = ["doctor", "--host", host, "--workspace", str(project)]
        printed = run_cli(tmp_path, *arguments, env={"PIPELEX_HOME": ""}).stdout

        own = Path(sys.executable).with_name("mthds-rpc")
        entry = printed.replace(str(own), COMMAND).replace(str(project), PROJECT)
        assert entry in blocks(page("README.md"), "json", "toml", "python", "js")

    @pytest.mark.parametrize(
        ("name", "printed"),
        [("README.md", ["'path': 'greet.mthds'"]), ("docs/scripts.md", ["0 Hello Ann", "1 Hello Bo"])],
    )
    def test_the_python_of_a_page_runs(self, name: str, printed: list[str], tmp_path: Path) -> None:
        (script,) = blocks(page(name), "python")
        own = Path(sys.executable).with_name("mthds-rpc")
        folder = workspace(tmp_path / "workspace", page(name))
        script = script.replace(COMMAND, str(own)).replace(PROJECT, str(folder))

        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder)

        assert all(text in done.stdout for text in printed)

    def test_the_first_command_of_a_script_author_prints_the_output_alone(self, tmp_path: Path) -> None:
        command = blocks(page("docs/scripts.md"), "sh")[0].split()
        folder = workspace(tmp_path / "workspace", page("docs/scripts.md"))

        done = run_cli(tmp_path, *command[1:], cwd=folder)

        assert (command[0], done.stdout) == ("mthds-rpc", "Hello Ann\n")

    @pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for path in PAGES])
    def test_every_settings_file_shown_is_toml(self, name: str) -> None:
        for text in blocks(page(name), "toml"):
            tomli.loads(text)


def test_every_invariant_is_marked_in_the_modules_that_hold_it() -> None:
    """docs/architecture.md"""
    modules = [name for row in rows(section(page("docs/architecture.md"), "Invariants")) for name in codes(row[1])]

    assert len(modules) > 10
    assert [name for name in modules if "Invariant: " not in (ROOT / name).read_text(encoding="utf-8")] == []


class TestPages:
    """All of them."""

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_links_lead_somewhere(self, path: Path) -> None:
        for link in links(path.read_text(encoding="utf-8")):
            file, _, anchor = link.partition("#")
            if file.startswith("https://"):
                continue
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link

    def test_every_page_can_be_reached_from_the_readme(self) -> None:
        targets = {(ROOT / link.partition("#")[0]).resolve() for link in links(page("README.md"))}

        assert set(PAGES) - {ROOT / "README.md"} <= targets

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_there_is_no_path_of_a_machine_and_nothing_left_to_do(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")

        assert str(ROOT) not in text
        assert str(Path.home()) not in text or str(Path.home()) == "/"
        assert not re.search(r"/(?:home|Users)/(?!ann\b)\w+|/tmp/|\b(?:TODO|FIXME|TBD|XXX)\b|[Ll]orem ipsum", text)

    def test_the_readme_says_what_it_is_then_the_two_commands_then_an_example_before_the_hosts(self) -> None:
        text = page("README.md")

        first = blocks(text, "sh")[0].split("\n")
        headings = re.findall(r"^## (.*)$", prose(text), re.MULTILINE)

        assert [line.split("#")[0].strip() for line in first[:2]] == ["make demo", "make test"]
        assert text.index("JSON-RPC 2.0 on stdin") < text.index("make demo")
        assert headings.index("Three calls") < headings.index("Entries for hosts")

    def test_the_changelog_has_the_version(self) -> None:
        assert f"## {versions.SERVER} " in page("CHANGELOG.md")
