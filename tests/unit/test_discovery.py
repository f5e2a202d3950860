"""Finding installed plugins: each test puts wheels on the path, which is all that installing comes to."""

import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrators.plugins.contract import PluginContext, PluginFault
from orchestrators.plugins.discovery import Discovery, PluginRow, discover, load_plugins
from orchestrators.plugins.registrar import PluginOrigin
from tests.support.packages import PACKAGES, build_wheel, write_project

GROUP = "mthds_rpc.plugins"
PLUGIN = """
class Plugin:
    name = "{name}"
    targets_api = {api}

    def register(self, registrar):
        {body}


plugin = Plugin()
"""
PutOnPath = Callable[..., None]


@pytest.fixture
def put_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PutOnPath:
    """Installs a plugin whose `register` does `body`, as the distribution of its name."""

    def put(name: str, body: str = "pass", *, distribution: str | None = None, api: int = 1, code: str = "") -> None:
        distribution = distribution or f"dist-{name}"
        module = distribution.replace("-", "_")
        source = code or PLUGIN.format(name=name, api=api, body=body)
        points = {GROUP: {name: f"{module}:plugin"}}
        put_project(write_project(tmp_path / distribution, distribution, points, source), module)

    def put_project(project: Path, module: str) -> None:
        monkeypatch.syspath_prepend(build_wheel(project, tmp_path))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return put


def row_of(discovery: Discovery, name: str) -> PluginRow:
    (row,) = [row for row in discovery.rows if row.origin.name == name]
    return row


def no_context(origin: PluginOrigin, mode: str) -> PluginContext:
    raise AssertionError("nothing is used")


def test_ours_are_found_like_anyones_and_come_first(put_on_path: PutOnPath) -> None:
    put_on_path("aaa")

    discovery = discover()

    assert [row.origin.name for row in discovery.rows] == ["dbos", "direct", "pipelex", "temporal", "aaa"]
    assert {row.origin.distribution for row in discovery.rows[:3]} == {"mthds-rpc"}
    assert row_of(discovery, "direct").orchestrators == {"direct": False}
    assert row_of(discovery, "direct").validators == ("direct",)
    assert discovery.faults == []


def test_a_row_tells_what_a_plugin_serves_and_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(build_wheel(PACKAGES / "mthds_rpc_echo", tmp_path))

    row = row_of(discover(), "echo")

    assert (row.origin.distribution, row.origin.version, row.state) == ("mthds-rpc-echo", "1.2.3", "enabled")
    assert row.orchestrators == {"echo": True}
    assert row.validators == ("echo",)


def test_a_disabled_plugin_is_listed_and_never_imported(put_on_path: PutOnPath) -> None:
    put_on_path("sample", code="raise RuntimeError('imported')")

    discovery = discover(["sample"])

    assert row_of(discovery, "sample").state == "disabled"
    assert discovery.faults == []
    assert "dist_sample" not in sys.modules


def test_a_disabled_name_that_is_not_installed_is_told(put_on_path: PutOnPath) -> None:
    assert discover(["nobody", "direct"]).unknown_disabled == ["nobody"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_sdk", "ModuleNotFoundError: No module named 'no_such_sdk'"),
        ("raise ValueError('first line\\nsecond line')", "ValueError: first line second line"),
        ("import sys\nsys.exit('no licence')", "SystemExit: no licence"),
        ("plugged = 1", "AttributeError: module 'dist_sample' has no attribute 'plugin'"),
        ("plugin = object()", "AttributeError: 'object' object has no attribute 'targets_api'"),
        (PLUGIN.format(name="sample", api=1, body="raise KeyError"), "KeyError"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_line_that_names_it(
    put_on_path: PutOnPath, code: str, reason: str
) -> None:
    put_on_path("sample", code=code)

    discovery = discover()

    assert row_of(discovery, "sample").state == "failed"
    assert discovery.faults == [
        f"the plugin 'sample' (dist-sample 1.0) cannot be loaded: {reason}; fix it, or disable it under [plugins] in"
        " rpc_override.toml"
    ]


def test_a_plugin_for_another_version_of_the_api_is_refused(put_on_path: PutOnPath) -> None:
    put_on_path("sample", api=7)

    (fault,) = discover().faults

    assert "'sample' (dist-sample 1.0) is made for version 7 of the plugin API, and this is version 1" in fault


def test_a_plugin_with_another_name_than_its_entry_point_is_refused(put_on_path: PutOnPath) -> None:
    put_on_path("sample", code=PLUGIN.format(name="simple", api=1, body="pass"))

    (fault,) = discover().faults

    assert "'sample' (dist-sample 1.0) calls itself 'simple'" in fault


def test_two_plugins_of_one_name_are_refused_naming_both_distributions(put_on_path: PutOnPath) -> None:
    put_on_path("sample", distribution="dist-one")
    put_on_path("sample", distribution="dist-two")

    (fault,) = discover().faults

    assert "two plugins are named 'sample', one of dist-one 1.0 and one of dist-two 1.0" in fault


def test_a_plugin_that_wants_a_token_of_ours_is_refused_and_ours_stays(put_on_path: PutOnPath) -> None:
    put_on_path("rival", "registrar.add_orchestrator('direct', None, supports_fire_and_forget=True)")

    discovery = discover()

    (fault,) = discovery.faults
    assert "'direct' is registered by two plugins, 'direct' (mthds-rpc" in fault
    assert "'rival' (dist-rival 1.0)" in fault
    assert discovery.registrations.orchestrators["direct"].origin.name == "direct"


def test_a_token_of_ours_is_free_once_our_plugin_is_disabled(put_on_path: PutOnPath) -> None:
    put_on_path("rival", "registrar.add_orchestrator('direct', None, supports_fire_and_forget=True)")

    discovery = discover(["direct"])

    assert discovery.faults == []
    assert discovery.registrations.orchestrators["direct"].origin.name == "rival"


def test_the_settings_a_plugin_ships_are_found_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.unpack_archive(build_wheel(PACKAGES / "mthds_rpc_echo", tmp_path), tmp_path / "site", "zip")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "mthds_rpc_echo", raising=False)

    discovery = discover()

    assert row_of(discovery, "echo").origin.settings_file == tmp_path / "site" / "mthds_rpc_echo" / "rpc_echo.toml"
    assert row_of(discovery, "direct").origin.settings_file is None


@pytest.mark.anyio
async def test_loading_gives_registries_of_what_is_enabled(put_on_path: PutOnPath) -> None:
    put_on_path("sample", "registrar.add_orchestrator('here', None, supports_fire_and_forget=True)")

    plugins = await load_plugins(["pipelex"], no_context)

    assert plugins.orchestrators.modes() == ["dbos", "direct", "here", "temporal"]
    assert [origin.name for origin in plugins.origins] == ["dbos", "direct", "temporal", "sample"]


@pytest.mark.anyio
async def test_loading_with_a_broken_plugin_fails_and_tears_down_what_registered_before_it(
    put_on_path: PutOnPath, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    put_on_path("aaa", f"registrar.add_teardown(lambda: open({str(marker)!r}, 'w').close())")
    put_on_path("zzz", "raise OSError('no disk')")

    with pytest.raises(PluginFault, match=r"'zzz' \(dist-zzz 1.0\) cannot be loaded: OSError: no disk"):
        await load_plugins([], no_context)

    assert marker.exists()


@pytest.mark.anyio
async def test_loading_warns_of_a_disabled_name_that_is_not_installed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await load_plugins(["nobody"], no_context)

    assert "no installed plugin is named nobody, yet it is disabled" in caplog.text
