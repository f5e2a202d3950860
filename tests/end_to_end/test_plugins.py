"""Plugins through the real server: two packages that pip has installed, one for mthds-rpc and one for Pipelex."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.bundles import GREETING, SEQUENCE
from tests.support.client import RpcClient
from tests.support.mthds_server import isolated_env, serve
from tests.support.packages import PACKAGES, install, write_project

ECHO = PACKAGES / "mthds_rpc_echo"
PIPELEX_ECHO = PACKAGES / "pipelex_echo"
PLUGIN = """
class Plugin:
    name = "{name}"
    targets_api = {api}

    def register(self, registrar):
        {body}


plugin = Plugin()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both packages are installed."""
    return install([ECHO, PIPELEX_ECHO], tmp_path_factory.mktemp("installed") / "site")


@pytest.fixture(scope="module")
def server(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    """A server that has both and lets the caller choose."""
    with serve(tmp_path_factory.mktemp("home"), "--allow-override", env={"PYTHONPATH": str(site)}) as client:
        yield client


def setting(home: Path, document: str, text: str) -> Path:
    """A home with a settings file in it."""
    (home / "pipelex").mkdir(exist_ok=True)
    (home / "pipelex" / f"{document}_override.toml").write_text(text)
    return home


def greeting(mode: str, name: str = "Ann", **more: Any) -> dict[str, Any]:
    return {"mthds_contents": [GREETING], "inputs": {"name": name}, "orchestration_mode": mode, **more}


def write_plugin(directory: Path, name: str, body: str, *, api: int = 1) -> Path:
    """A project, called dist-`name`, of one plugin."""
    module = f"dist_{name}"
    points = {"mthds_rpc.plugins": {name: f"{module}:plugin"}}
    return write_project(directory / module, f"dist-{name}", points, PLUGIN.format(name=name, api=api, body=body))


def failed_boot(home: Path, site: Path) -> str:
    """What a server that cannot boot says on stderr, its exit status being 78 and no process being left."""
    with serve(home, env={"PYTHONPATH": str(site)}) as client:
        assert client.wait() == 78
    assert living_in(home) == []
    assert client.messages == []
    return client.stderr


def living_in(home: Path) -> list[int]:
    """The processes whose HOME it is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


class TestOurPlugins:
    """The package for `mthds_rpc.plugins`."""

    def test_execute_runs_in_the_plugins_orchestrator(self, server: RpcClient) -> None:
        result = server.result("execute", greeting("echo"))

        assert result["output"] == {"greeting": "echo", "name": "Ann"}
        assert result["orchestration_mode"] == "echo"

    def test_its_events_arrive_as_progress(self, server: RpcClient) -> None:
        params = greeting("echo", run_id="with-progress", _meta={"progressToken": "echo-token"})

        server.result("execute", params)

        (event,) = [
            message["params"]["data"]
            for message in server.notifications
            if message["params"]["progressToken"] == "echo-token"
        ]
        assert (event["run_id"], event["kind"]) == ("with-progress", "run_started")

    def test_start_is_acknowledged_and_its_ledger_answers(self, server: RpcClient) -> None:
        run = {"run_id": "started", "orchestration_mode": "echo"}

        ack = server.result("start", greeting("echo", run_id="started"))

        assert (ack["pipeline_run_id"], ack["orchestration_mode"]) == ("started", "echo")
        assert server.result("runs/get", run)["state"] == "COMPLETED"
        assert server.result("runs/result", run)["output"] == {"greeting": "echo", "name": "Ann"}

    def test_start_of_a_method_that_does_not_load_is_refused_whatever_the_orchestrator(self, server: RpcClient) -> None:
        error = server.error("start", {**greeting("echo"), "mthds_contents": ["not a bundle"]})

        assert error["data"]["code"] == "method.invalid"

    def test_validate_asks_the_plugins_validator(self, server: RpcClient) -> None:
        verdict = server.result("validate", {"mthds_contents": ["not a bundle"], "orchestration_mode": "echo"})

        assert verdict["is_valid"]
        assert verdict["message"] == "echo"

    def test_its_error_is_mapped_and_carries_its_own_code(self, server: RpcClient) -> None:
        params = {**greeting("echo"), "inputs": {"place": "void"}}

        error = server.error("execute", params)

        assert error["code"] == -31901
        assert error["message"] == "Nothing came back from the void."
        assert error["data"]["code"] == "echo.unreachable"

    def test_its_settings_are_layered_and_its_teardown_ends_what_it_began(self, site: Path, tmp_path: Path) -> None:
        marker = tmp_path / "marker"
        setting(tmp_path, "rpc_echo", f'greeting = "hoho"\nmarker = "{marker}"\n')
        with serve(tmp_path, "--orchestration-mode", "echo", env={"PYTHONPATH": str(site)}) as client:
            output = client.result("execute", greeting("echo"))["output"]
            assert not marker.exists()

        assert output["greeting"] == "hoho"
        assert client.wait() == 0
        assert marker.read_text() == "ended"


class TestPolicy:
    """Which token counts."""

    def test_another_token_than_the_configured_one_is_refused_and_the_configured_one_may_be_named(
        self, site: Path, tmp_path: Path
    ) -> None:
        with serve(tmp_path, "--orchestration-mode", "echo", env={"PYTHONPATH": str(site)}) as client:
            other = {"mthds_contents": [GREETING], "orchestration_mode": "direct"}
            refused = [client.error(method, other) for method in ("execute", "start", "validate")]
            named = client.result("execute", greeting("echo"))
            implied = client.result("execute", {"mthds_contents": [GREETING]})

        assert {error["code"] for error in refused} == {-31081}
        assert refused[0]["data"]["params"] == {"requested_mode": "direct"}
        assert (named["orchestration_mode"], implied["orchestration_mode"]) == ("echo", "echo")

    def test_the_policy_speaks_before_the_registry_and_before_the_method(self, tmp_path: Path) -> None:
        with serve(tmp_path) as client:
            error = client.error("start", {"method": "no/such/file.mthds", "orchestration_mode": "nowhere"})

        assert error["code"] == -31081

    def test_a_token_nobody_serves_is_refused_with_what_is_installed(self, server: RpcClient) -> None:
        error = server.error("execute", {"method": "no/such/file.mthds", "orchestration_mode": "nowhere"})

        assert (error["code"], error["data"]["code"]) == (-31082, "runtime.unsupported")
        assert "Installed: dbos, direct, echo, pipelex-echo, temporal." in error["message"]

    def test_a_configured_token_nobody_serves_is_the_deployments_fault(self, tmp_path: Path) -> None:
        with serve(tmp_path, "--orchestration-mode", "nowhere") as client:
            error = client.error("execute", {"mthds_contents": [GREETING]})

        assert (error["code"], error["data"]["code"]) == (-31082, "pipelex.plugin.not_found")

    def test_start_on_direct_is_refused_before_the_method_is_read(self, server: RpcClient) -> None:
        error = server.error("start", {"method": "no/such/file.mthds", "orchestration_mode": "direct"})

        assert (error["code"], error["data"]["code"]) == (-31083, "runtime.unsupported")
        assert "echo" in error["data"]["next_step"]["detail"]


class TestPipelexPlugins:
    """The package for `pipelex.plugins.interpreter`, which knows nothing of mthds-rpc."""

    def test_execute_runs_in_the_plugins_orchestrator_in_a_process_booted_for_it(self, server: RpcClient) -> None:
        result = server.result("execute", greeting("pipelex-echo", include=["graph", "usage", "working_memory"]))

        assert result["output"] == {"text": "Hello Ann"}
        assert (result["orchestration_mode"], result["concept"]) == ("pipelex-echo", "native.Text")
        assert result["usage"]["input_tokens"] == 0
        assert result["graph"]["nodes"]
        assert result["pipe_output"]["working_memory"]["root"]

    def test_pipes_that_run_in_an_engine_arrive_as_progress(self, server: RpcClient) -> None:
        params = greeting("pipelex-echo", _meta={"progressToken": "pipelex-token"})

        server.result("execute", params)

        kinds = [
            (message["params"]["data"]["kind"], message["params"]["data"].get("pipe"))
            for message in server.notifications
            if message["params"]["progressToken"] == "pipelex-token"
        ]
        assert ("pipe_started", "greeting.greet") in kinds
        assert ("pipe_completed", "greeting.greet") in kinds

    def test_its_error_is_mapped_where_it_was_raised(self, server: RpcClient) -> None:
        error = server.error("execute", greeting("pipelex-echo", name="void"))

        assert (error["code"], error["data"]["code"]) == (-31070, "runtime.unavailable")
        assert error["data"]["retry"] == "yes"
        assert "nothing there" not in str(error)

    def test_a_run_in_it_is_cancelled_like_any(self, server: RpcClient) -> None:
        server.result("execute", greeting("pipelex-echo"))
        request = server.request("execute", greeting("pipelex-echo", name="wait", run_id="cancelled"))

        server.notify("$/cancelRequest", {"id": request})

        assert server.answer(request)["error"]["code"] == -32800

    def test_a_method_that_does_not_load_is_refused_with_the_place_of_its_faults(self, server: RpcClient) -> None:
        broken = GREETING.replace('output = "Text"', 'output = "Nothing"')

        error = server.error("execute", {**greeting("pipelex-echo"), "mthds_contents": [broken]})

        assert error["data"]["code"] == "method.invalid"
        assert error["data"]["errors"][0]["location"]["line"] == 9

    def test_validate_asks_the_plugins_validator(self, server: RpcClient) -> None:
        valid = server.result("validate", greeting_to_judge(GREETING))
        invalid = server.result("validate", greeting_to_judge(GREETING.replace("somebody", "the void")))

        assert valid["is_valid"]
        assert "greeting.greet" in valid["pipe_io_contracts"]
        assert not invalid["is_valid"]
        assert "the void has no echo" in invalid["errors"][0]["detail"]

    def test_what_the_plugins_validator_finds_has_a_place(self, server: RpcClient) -> None:
        verdict = server.result("validate", greeting_to_judge(SEQUENCE.replace('pipe = "three"', 'pipe = "four"')))

        (fault,) = verdict["errors"]
        assert fault["code"] == "method.pipe_unresolved"
        assert fault["location"]["range"]["start"]["line"] == 12

    def test_a_method_of_files_is_run_and_judged_there_too(self, server: RpcClient) -> None:
        method = {"files": {"main.mthds": GREETING}, "orchestration_mode": "pipelex-echo"}

        result = server.result("execute", {**method, "inputs": {"name": "Ann"}})
        verdict = server.result("validate", {**method, "include": ["graph"]})

        assert result["output"] == {"text": "Hello Ann"}
        assert verdict["default_pipe_ref"] == "greeting.greet"
        assert verdict["graph_spec"]["nodes"]

    def test_start_hands_the_run_over_and_says_what_is_known_of_it(self, server: RpcClient) -> None:
        run = {"run_id": "handed-over", "orchestration_mode": "pipelex-echo"}

        ack = server.result("start", greeting("pipelex-echo", run_id="handed-over"))
        again = server.result("start", greeting("pipelex-echo", run_id="handed-over"))

        assert (ack["state"], ack["workflow_id"]) == ("QUEUED", "echo-handed-over")
        assert again == ack
        assert server.result("runs/get", run)["workflow_id"] == "echo-handed-over"
        assert "handed-over" in ids(server.result("runs/list", {"orchestration_mode": "pipelex-echo"}))
        for method in ("runs/result", "runs/cancel", "runs/watch"):
            assert server.error(method, run)["data"]["code"] == "run.outcome_unknown"

    def test_a_run_id_of_another_request_is_refused(self, server: RpcClient) -> None:
        server.result("start", greeting("pipelex-echo", run_id="taken"))

        errors = [
            server.error(method, greeting("pipelex-echo", name="Bob", run_id="taken"))
            for method in ("start", "execute")
        ]

        assert {error["data"]["code"] for error in errors} == {"request.idempotency_conflict"}

    def test_a_run_that_was_waited_for_is_in_the_ledger(self, server: RpcClient) -> None:
        run = {"run_id": "waited", "orchestration_mode": "pipelex-echo"}

        server.result("execute", greeting("pipelex-echo", run_id="waited"))

        assert server.result("runs/get", run)["state"] == "COMPLETED"
        assert server.result("runs/result", run)["output"] == {"text": "Hello Ann"}
        assert "waited" in ids(server.result("runs/list", {"orchestration_mode": "pipelex-echo"}))

    def test_a_token_that_one_of_ours_serves_goes_to_pipelex_once_ours_is_disabled(
        self, server: RpcClient, site: Path, tmp_path: Path
    ) -> None:
        setting(tmp_path, "rpc", '[plugins]\ndisabled = ["echo"]\n')
        with serve(tmp_path, "--orchestration-mode", "echo", env={"PYTHONPATH": str(site)}) as client:
            pipelexs = client.result("execute", greeting("echo"))
        ours = server.result("execute", greeting("echo"))

        assert pipelexs["output"] == {"text": "Hello Ann"}
        assert ours["output"] == {"greeting": "echo", "name": "Ann"}

    def test_no_pipelex_plugin_is_reached_once_the_bridge_is_disabled(self, site: Path, tmp_path: Path) -> None:
        setting(tmp_path, "rpc", '[plugins]\ndisabled = ["pipelex"]\n')
        with serve(tmp_path, "--allow-override", env={"PYTHONPATH": str(site)}) as client:
            error = client.error("execute", greeting("pipelex-echo"))

        assert "Installed: dbos, direct, echo, temporal." in error["message"]


def greeting_to_judge(text: str) -> dict[str, Any]:
    return {"mthds_contents": [text], "orchestration_mode": "pipelex-echo"}


def ids(page: dict[str, Any]) -> list[str]:
    return [record["pipeline_run_id"] for record in page["runs"]]


class TestListing:
    """`mthds-rpc plugins`."""

    def test_it_says_which_modes_pipelex_plugins_serve_and_which_stay_with_ours(
        self, site: Path, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-P", "-m", "rpc_server.cli", "plugins"]
        env = isolated_env(tmp_path, PYTHONPATH=str(site))

        listed = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)

        lines = [" ".join(line.split()) for line in listed.stdout.splitlines()]
        assert "echo mthds-rpc-echo 1.2.3 enabled echo* echo" in lines
        assert "pipelex-echo* the Pipelex plugin 'pipelex_echo'" in lines
        assert (
            "echo* the Pipelex plugin 'pipelex_echo' goes to 'echo' (mthds-rpc-echo 1.2.3) until that is disabled"
            in lines
        )


class TestBoot:
    """What stops a boot, and what does not."""

    def test_two_plugins_that_want_one_token_stop_the_boot_and_are_both_named(self, tmp_path: Path) -> None:
        rival = write_plugin(
            tmp_path, "rival", "registrar.add_orchestrator('echo', None, supports_fire_and_forget=True)"
        )
        site = install([ECHO, rival], tmp_path / "site")

        (line,) = failed_boot(tmp_path / "home", site).splitlines()

        assert "'echo' is registered by two plugins" in line
        assert "'echo' (mthds-rpc-echo 1.2.3)" in line
        assert "'rival' (dist-rival 1.0)" in line

    def test_a_plugin_that_cannot_register_stops_the_boot_until_it_is_disabled(self, tmp_path: Path) -> None:
        site = install([write_plugin(tmp_path, "sick", "raise OSError('no disk')")], tmp_path / "site")

        (line,) = failed_boot(tmp_path / "home", site).splitlines()
        setting(tmp_path / "home", "rpc", '[plugins]\ndisabled = ["sick"]\n')
        with serve(tmp_path / "home", env={"PYTHONPATH": str(site)}) as client:
            runs = client.result("runs/list")

        assert "the plugin 'sick' (dist-sick 1.0) cannot be loaded: OSError: no disk" in line
        assert runs == {"runs": []}

    def test_a_plugin_for_another_version_of_the_api_stops_the_boot(self, tmp_path: Path) -> None:
        site = install([write_plugin(tmp_path, "future", "pass", api=2)], tmp_path / "site")

        (line,) = failed_boot(tmp_path / "home", site).splitlines()

        assert "'future' (dist-future 1.0) is made for version 2 of the plugin API, and this is version 1" in line

    def test_an_unknown_setting_of_a_plugin_stops_the_boot_with_its_line(self, site: Path, tmp_path: Path) -> None:
        home = tmp_path / "home"
        home.mkdir()
        setting(home, "rpc_echo", 'marker = ""\ngreting = "typo"\n')

        (line,) = failed_boot(home, site).splitlines()

        assert "rpc_echo_override.toml:2: greting: unknown key; did you mean `greeting`?" in line

    def test_a_disabled_plugin_that_is_not_installed_is_a_warning(self, tmp_path: Path) -> None:
        setting(tmp_path, "rpc", '[plugins]\ndisabled = ["ghost"]\n')
        with serve(tmp_path) as client:
            client.result("runs/list")

        assert client.wait() == 0
        assert "no installed plugin is named ghost, yet it is disabled" in client.stderr

    def test_the_server_imports_no_engine_and_no_orchestrator_sdk_whatever_it_serves(
        self, site: Path, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-P", "-X", "importtime", "-m", "rpc_server.cli", "serve", "--allow-override"]
        env = isolated_env(tmp_path, PYTHONPATH=str(site))
        with RpcClient(command, env=env, cwd=tmp_path) as client:
            client.result("version")
            client.result("execute", greeting("direct"))
            client.result("execute", greeting("pipelex-echo"))

        imported = {
            line.rpartition("|")[2].strip() for line in client.stderr.splitlines() if line.startswith("import time:")
        }
        assert "rpc_server.server" in imported
        engines = {"pipelex", "pipelex_echo", "dbos", "temporalio", "mthds"}
        assert not engines & {module.split(".")[0] for module in imported}
