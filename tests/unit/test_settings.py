"""Settings in layers: which file wins, what is refused and where it says so."""

from pathlib import Path

import pytest

from rpc_server.settings.layers import ConfigurationFault
from rpc_server.settings.settings import Flags, load_plugin_settings
from rpc_server.settings.trust import trust
from tests.support.settings import Machine


def test_the_shipped_defaults_alone_are_complete(machine: Machine) -> None:
    settings = machine.load()

    assert settings.orchestration_mode == "direct"
    assert settings.allow_request_orchestration_mode_override is False
    assert settings.limits.max_message_bytes == 32 * 1024 * 1024
    assert settings.engine.allow_python is False


def test_each_layer_wins_over_those_before_it(machine: Machine) -> None:
    trust(machine.project)
    config = machine.write(machine.home, "given.toml", "[rpc.limits]\nmax_batch = 5\n")
    machine.write(machine.pipelex_home, "rpc_dev.toml", layer(1, 1, 1, 1, 1))
    machine.write(machine.pipelex_home, "rpc_override.toml", layer(2, 2, 2, 2))
    machine.write(machine.project_config, "rpc_dev.toml", layer(3, 3, 3))
    machine.write(machine.project_config, "rpc_override.toml", layer(4, 4))

    limits = machine.load(Flags(config=config)).limits

    assert (limits.max_batch, limits.max_in_flight, limits.max_json_depth) == (5, 4, 3)
    assert (limits.max_queued_bytes, limits.max_message_bytes) == (2, 1)


def layer(*values: int) -> str:
    """A layer that sets the first limits of a list."""
    names = ["max_batch", "max_in_flight", "max_json_depth", "max_queued_bytes", "max_message_bytes"]
    settings = zip(names, values, strict=False)
    return "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in settings)


def test_flags_win_over_every_file(machine: Machine) -> None:
    machine.write(machine.pipelex_home, "api_override.toml", 'orchestration_mode = "dbos"\n')
    machine.write(machine.pipelex_home, "rpc_override.toml", "[engine]\nallow_python = true\n")
    flags = Flags(orchestration_mode="temporal", allow_override=True, allow_python=False)

    settings = machine.load(flags)

    assert settings.orchestration_mode == "temporal"
    assert settings.allow_request_orchestration_mode_override is True
    assert settings.engine.allow_python is False


def test_tables_are_merged_and_not_replaced(machine: Machine) -> None:
    machine.write(machine.pipelex_home, "rpc_override.toml", "[limits]\nmax_batch = 7\n")

    limits = machine.load().limits

    assert limits.max_batch == 7
    assert limits.max_in_flight == 1024


def test_pipelex_env_picks_the_files(machine: Machine) -> None:
    machine.write(machine.pipelex_home, "api_prod.toml", 'orchestration_mode = "temporal"\n')

    assert machine.load().orchestration_mode == "direct"
    assert machine.load(environ={"PIPELEX_ENV": "prod"}).orchestration_mode == "temporal"


def test_an_unknown_pipelex_env_is_refused(machine: Machine) -> None:
    with pytest.raises(ConfigurationFault, match=r"PIPELEX_ENV: 'production' is none of local, dev, staging, prod"):
        machine.load(environ={"PIPELEX_ENV": "production"})


def test_pipelex_home_moves_the_user_s_files(machine: Machine, tmp_path: Path) -> None:
    machine.write(tmp_path / "elsewhere", "api_override.toml", 'orchestration_mode = "temporal"\n')

    settings = machine.load(environ={"PIPELEX_HOME": str(tmp_path / "elsewhere")})

    assert settings.orchestration_mode == "temporal"
    assert settings.home_dir == tmp_path / "elsewhere"


def test_every_value_knows_where_it_came_from(machine: Machine) -> None:
    path = machine.write(machine.pipelex_home, "rpc_override.toml", "[limits]\n\nmax_batch = 7\n")

    origins = machine.load(Flags(allow_python=True)).documents["rpc"].origins

    assert origins[("limits", "max_batch")].origin == str(path)
    assert origins[("limits", "max_batch")].line_of(("limits", "max_batch")) == 3
    assert origins[("engine", "allow_python")].origin == "--allow-python"
    assert origins[("limits", "max_in_flight")].origin.endswith("rpc_server/rpc.toml")


@pytest.mark.parametrize(
    ("name", "text", "place", "message"),
    [
        (
            "rpc_override.toml",
            "[limits]\n# a comment\nmax_bach = 1\n",
            ":3: limits.max_bach",
            "did you mean `max_batch`?",
        ),
        ("rpc_override.toml", "\n[limitz]\nmax_batch = 1\n", ":2: limitz", "did you mean `limits`?"),
        ("rpc_override.toml", "limits = 3\n", ":1: limits", "expected a table, found a whole number"),
        ("rpc_override.toml", '[limits]\nmax_batch = "1"\n', ":2: limits.max_batch", "expected a whole number"),
        ("rpc_override.toml", "[limits]\nmax_batch = true\n", ":2: limits.max_batch", "expected a whole number"),
        ("rpc_override.toml", "[limits]\nmax_batch = 1.5\n", ":2: limits.max_batch", "expected a whole number"),
        ("rpc_override.toml", "[engine]\nallow_python = 1\n", ":2: engine.allow_python", "expected true or false"),
        ("rpc_override.toml", "[limits]\nmax_batch = 0\n", ":2: limits.max_batch", "must be above zero, found 0"),
        ("rpc_override.toml", "[limits]\ndrain_s = inf\n", ":2: limits.drain_s", "must be zero or more, found inf"),
        (
            "rpc_override.toml",
            "[engine]\nmax_memory_mb = 100\n",
            ":2: engine.max_memory_mb",
            "must be 0 or at least 512",
        ),
        ("rpc_override.toml", "[limits]\ndrain_s = 1979-05-27\n", ":2: limits.drain_s", "found a date or time"),
        (
            "rpc_override.toml",
            "[plugins]\ndisabled = [\n  1,\n]\n",
            ":2: plugins.disabled",
            "expected a list of strings",
        ),
        ("rpc_override.toml", "plugins.disabled = 'dbos'\n", ":1: plugins.disabled", "expected a list of strings"),
        ("api_override.toml", "orchestration_mode = ''\n", ":1: orchestration_mode", "names no mode"),
        ("api_override.toml", "a = 1\n", ":1: a", "known here: allow_request_orchestration_mode_override, orch"),
        ("api_override.toml", "\norchestration_mode = \n", ":2", "this is not TOML: Invalid value"),
    ],
)
def test_a_fault_names_its_file_line_and_key(machine: Machine, name: str, text: str, place: str, message: str) -> None:
    path = machine.write(machine.pipelex_home, name, text)

    with pytest.raises(ConfigurationFault) as caught:
        machine.load()

    assert str(caught.value).startswith(f"{path}{place}: ")
    assert message in str(caught.value)


def test_a_whole_number_does_for_a_number_and_some_may_be_zero(machine: Machine) -> None:
    machine.write(machine.pipelex_home, "rpc_override.toml", "[limits]\ndrain_s = 0\n[runs]\nmax_timeout_s = 60\n")

    settings = machine.load()

    assert settings.limits.drain_s == 0
    assert settings.runs.max_timeout_s == 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[api]\norchestration_mode = 3\n", ":2: api.orchestration_mode: expected a string, found a whole number"),
        ("[rpc]\n[rpc.limits]\nmax_bach = 3\n", ":3: rpc.limits.max_bach: unknown key"),
        ("api = 3\n", ":1: api: expected a table"),
        ("[limits]\nmax_batch = 3\n", ":1: limits: unknown table"),
        ("[rpc_nothing]\na = 3\n", ":1: rpc_nothing: unknown table"),
        ("[rpc_direct]\na = 3\n", ":2: rpc_direct.a: unknown key; nothing can be set here"),
    ],
)
def test_a_file_given_with_config_holds_a_table_for_each_document(machine: Machine, text: str, message: str) -> None:
    path = machine.write(machine.home, "given.toml", text)

    with pytest.raises(ConfigurationFault) as caught:
        load_plugin_settings("direct", None, machine.load(Flags(config=path)).layers)

    assert str(caught.value).startswith(f"{path}{message}")


def test_a_missing_config_file_is_a_fault(machine: Machine) -> None:
    with pytest.raises(ConfigurationFault, match="there is no such file"):
        machine.load(Flags(config=machine.home / "absent.toml"))


def test_a_file_that_is_not_text_is_a_fault(machine: Machine) -> None:
    machine.write(machine.pipelex_home, "rpc_override.toml", "").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigurationFault, match="not UTF-8"):
        machine.load()


def test_a_plugin_s_settings_are_layered_over_what_it_ships(machine: Machine) -> None:
    packaged = machine.write(machine.home / "dist", "rpc_echo.toml", "greeting = 'hi'\n[labels]\n[retry]\ntimes = 0\n")
    machine.write(machine.pipelex_home, "rpc_echo_override.toml", "[retry]\ntimes = 3\n[labels]\nteam = 'a'\n")

    document = load_plugin_settings("echo", packaged, machine.load().layers)

    assert document.values == {"greeting": "hi", "labels": {"team": "a"}, "retry": {"times": 3}}


def test_a_plugin_s_unknown_key_is_refused_with_its_place(machine: Machine) -> None:
    packaged = machine.write(machine.home / "dist", "rpc_echo.toml", "greeting = 'hi'\n")
    path = machine.write(machine.pipelex_home, "rpc_echo_override.toml", "greting = 'ho'\n")

    with pytest.raises(ConfigurationFault) as caught:
        load_plugin_settings("echo", packaged, machine.load().layers)

    assert str(caught.value) == f"{path}:1: greting: unknown key; did you mean `greeting`?"
