"""`rpc_temporal.toml`, checked, and what it comes to together with Temporal's own variables and profiles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli

from orchestrators import temporal
from orchestrators.plugins.contract import PluginContext, SettingFault
from orchestrators.temporal.connection import Connection, connect_options
from orchestrators.temporal.payloads import PayloadStore
from orchestrators.temporal.settings import MOST_INLINE_BYTES, TemporalSettings
from schemas.problem import ProblemError
from tests.unit.test_registries import ORIGIN, context_of

SHIPPED = tomli.loads(Path(temporal.__file__).with_name("rpc_temporal.toml").read_text(encoding="utf-8"))
PROFILES = """
[profile.default]
address = "profile:1"
namespace = "of-profile"
api_key = "key-of-profile"

[profile.other]
address = "other:1"
"""


def values(**changed: Any) -> Mapping[str, Any]:
    return {**SHIPPED, **changed}


def settings(**changed: Any) -> TemporalSettings:
    return TemporalSettings.of(values(**changed))


def tls(**changed: Any) -> dict[str, Any]:
    return {"tls": {**SHIPPED["tls"], **changed}}


@pytest.fixture(autouse=True)
def of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the user's is read."""
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.fixture
def profiles(tmp_path: Path) -> dict[str, str]:
    """Variables that name a file of Temporal's profiles."""
    file = tmp_path / "temporal.toml"
    file.write_text(PROFILES)
    return {"TEMPORAL_CONFIG_FILE": str(file)}


class TestSettings:
    """What `TemporalSettings.of` takes."""

    def test_the_shipped_ones_are_good_and_name_no_server(self) -> None:
        shipped = TemporalSettings.of(SHIPPED)

        assert (shipped.address, shipped.namespace, shipped.api_key, shipped.artifact_store) == ("", "", "", "")
        assert shipped.tls.enabled is False

    @pytest.mark.parametrize(
        ("changed", "key"),
        [
            *(
                ({name: number}, (name,))
                for name, value in SHIPPED.items()
                if isinstance(value, int | float)
                for number in (-1, float("nan"), float("inf"))
            ),
            *(
                ({name: 0}, (name,))
                for name, value in SHIPPED.items()
                if isinstance(value, int | float) and name not in ("drain_s", "inline_bytes")
            ),
            ({"task_queue": ""}, ("task_queue",)),
            ({"task_queue": "two words"}, ("task_queue",)),
            ({"task_queue": "it's"}, ("task_queue",)),
            ({"task_queue": "q" * 201}, ("task_queue",)),
            ({"inline_bytes": MOST_INLINE_BYTES + 1}, ("inline_bytes",)),
            ({"heartbeat_s": 1.1, "heartbeat_timeout_s": 3.0}, ("heartbeat_timeout_s",)),
            (tls(client_cert_file="/cert.pem"), ("tls", "client_cert_file")),
            (tls(client_key_file="/key.pem"), ("tls", "client_cert_file")),
            ({"address": "localhost"}, ("address",)),
            ({"address": "localhost:"}, ("address",)),
            ({"address": ":7233"}, ("address",)),
            ({"address": "localhost:temporal"}, ("address",)),
            ({"address": "http://localhost:7233"}, ("address",)),
            ({"api_key": "sk-secret"}, ("api_key",)),
            ({"api_key": "Bearer ${KEY}"}, ("api_key",)),
            ({"artifact_store": "runs"}, ("artifact_store",)),
            ({"artifact_store": "./runs"}, ("artifact_store",)),
        ],
        ids=str,
    )
    def test_what_cannot_be_used_is_refused_with_its_key(self, changed: dict[str, Any], key: tuple[str, ...]) -> None:
        with pytest.raises(SettingFault) as refused:
            settings(**changed)

        assert refused.value.key == key

    @pytest.mark.parametrize(
        "changed",
        [
            {"drain_s": 0, "inline_bytes": 0},
            {"task_queue": "Team-a_runs.2", "inline_bytes": MOST_INLINE_BYTES},
            {"heartbeat_s": 1.0, "heartbeat_timeout_s": 3.0},
            {"address": "[::1]:7233"},
            {"address": "temporal.internal:7233"},
            tls(client_cert_file="/cert.pem", client_key_file="/key.pem"),
            {"api_key": "${MY_KEY}"},
            {"artifact_store": "/shared/runs"},
            {"artifact_store": "s3://bucket/runs"},
        ],
        ids=str,
    )
    def test_what_can_be_used_is_taken(self, changed: dict[str, Any]) -> None:
        settings(**changed)


class TestConnectOptions:
    """What `connect_options` makes of settings, variables and profiles."""

    def test_without_anything_it_is_the_server_of_this_machine(self) -> None:
        assert connect_options(settings(), {}) == {"target_host": "localhost:7233", "namespace": "default"}

    def test_ours_are_taken(self) -> None:
        ours = settings(address="ours:1", namespace="ours", api_key="${MY_KEY}")

        options = connect_options(ours, {"MY_KEY": "a/b c"})

        assert (options["target_host"], options["namespace"], options["api_key"]) == ("ours:1", "ours", "a/b c")

    def test_a_variable_goes_before_ours_and_ours_before_the_profile(self, profiles: dict[str, str]) -> None:
        ours = settings(address="ours:1", namespace="ours")
        variables = {**profiles, "TEMPORAL_ADDRESS": "variable:1"}

        options = connect_options(ours, variables)

        assert (options["target_host"], options["namespace"], options["api_key"]) == (
            "variable:1",
            "ours",
            "key-of-profile",
        )

    def test_an_empty_variable_is_none(self, profiles: dict[str, str]) -> None:
        empty = dict.fromkeys(["TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_PROFILE"], "")

        assert connect_options(settings(address="ours:1"), empty) == connect_options(settings(address="ours:1"), {})
        assert connect_options(settings(), {**profiles, **empty}) == connect_options(settings(), profiles)

    def test_a_profile_is_the_one_that_a_variable_names_else_ours_else_the_default(
        self, profiles: dict[str, str]
    ) -> None:
        named = {**profiles, "TEMPORAL_PROFILE": "default"}

        addresses = [
            connect_options(settings(profile=profile), variables)["target_host"]
            for profile, variables in [("", profiles), ("other", profiles), ("other", named)]
        ]

        assert addresses == ["profile:1", "other:1", "profile:1"]

    def test_variables_of_the_process_count_only_where_they_are_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TEMPORAL_ADDRESS", "process:1")

        assert connect_options(settings(), {})["target_host"] == "localhost:7233"

    def test_an_api_key_turns_tls_on_unless_a_variable_turns_it_off(self) -> None:
        ours, key = settings(api_key="${MY_KEY}"), {"MY_KEY": "key"}

        assert connect_options(ours, key)["tls"]
        assert connect_options(ours, {**key, "TEMPORAL_TLS": "false"})["tls"] is False

    def test_temporals_own_variable_for_the_api_key_goes_before_ours(self) -> None:
        variables = {"MY_KEY": "ours", "TEMPORAL_API_KEY": "theirs"}

        assert connect_options(settings(api_key="${MY_KEY}"), variables)["api_key"] == "theirs"

    def test_tls_is_on_where_it_is_set_and_off_where_nothing_is(self) -> None:
        assert connect_options(settings(**tls(enabled=True)), {})["tls"]
        assert "tls" not in connect_options(settings(**tls(enabled=False)), {})

    def test_the_files_of_tls_are_read(self, tmp_path: Path) -> None:
        files = {name: tmp_path / name for name in ("server_ca_file", "client_cert_file", "client_key_file")}
        for name, file in files.items():
            file.write_text(name)
        paths = {name: str(file) for name, file in files.items()}

        found = connect_options(settings(**tls(server_name="temporal.internal", **paths)), {})["tls"]

        assert found.server_root_ca_cert == b"server_ca_file"
        assert (found.client_cert, found.client_private_key) == (b"client_cert_file", b"client_key_file")
        assert found.domain == "temporal.internal"


class TestWhatCannotBeUsed:
    """What `Connection.of` says of settings that only show to be bad when they are used."""

    @pytest.mark.parametrize(
        ("changed", "variables", "words"),
        [
            ({"api_key": "${MY_KEY}"}, {}, "api_key of rpc_temporal.toml names the variable MY_KEY, which is not set"),
            (
                tls(server_ca_file="/no/such/ca.pem"),
                {},
                "tls.server_ca_file of rpc_temporal.toml names a file that is not there",
            ),
            (
                tls(client_cert_file="/no/such/cert.pem", client_key_file="/no/such/key.pem"),
                {},
                "tls.client_cert_file of rpc_temporal.toml names a file that is not there",
            ),
            ({}, {"TEMPORAL_TLS_CLIENT_KEY_PATH": "/no/such/key.pem"}, "No such file"),
            ({}, {"TEMPORAL_TLS_CLIENT_CERT_DATA": "a certificate"}, "go together"),
            ({}, {"TEMPORAL_ADDRESS": "127.0.0.1:nowhere"}, "'127.0.0.1:nowhere' is no host:port"),
            ({}, {"TEMPORAL_ADDRESS": "https://temporal.internal:7233"}, "is no host:port"),
            ({"profile": "nobody"}, "profiles", "Profile 'nobody' not found"),
            ({}, "broken", "TOML parse error"),
        ],
        ids=[
            "a variable",
            "the CA",
            "the certificate",
            "a file of a variable",
            "a certificate alone",
            "a port",
            "a URL",
            "a profile",
            "the file of profiles",
        ],
    )
    def test_it_is_the_operators_to_correct(
        self,
        changed: dict[str, Any],
        variables: Mapping[str, str] | str,
        words: str,
        profiles: dict[str, str],
        tmp_path: Path,
    ) -> None:
        (tmp_path / "broken.toml").write_text("[profile.default\n")
        broken = {"TEMPORAL_CONFIG_FILE": str(tmp_path / "broken.toml")}
        given = {"profiles": profiles, "broken": broken}[variables] if isinstance(variables, str) else variables

        with pytest.raises(ProblemError) as refused:
            Connection.of(context(values(**changed), given))

        problem = refused.value.problem
        assert (problem.code, problem.domain, problem.next_step.kind) == (
            "runtime.misconfigured",
            "operator",
            "fix_configuration",
        )
        assert words in problem.detail

    @pytest.mark.parametrize(
        ("store", "words"),
        [
            ("nonsense://runs", "Protocol not known: nonsense."),
            # A package that nothing here installs.
            ("s3://bucket/runs", "Install s3fs"),
            (f"{Path(__file__)}/runs", "Not a directory"),
        ],
        ids=["a protocol", "a package", "a place"],
    )
    def test_an_artifact_store_that_cannot_be_had_says_why(self, store: str, words: str) -> None:
        with pytest.raises(ProblemError) as refused:
            PayloadStore.of(settings(artifact_store=store))

        problem = refused.value.problem
        assert problem.code == "runtime.misconfigured"
        assert problem.detail.startswith("The setting artifact_store of rpc_temporal.toml cannot be used: ")
        assert words in problem.detail

    @pytest.mark.parametrize(
        "written",
        ["api_key = sk-secret", 'api_key = "sk-secret', 'api_key = ["sk-secret"]', 'tls = "sk-secret"'],
    )
    def test_a_broken_profile_is_reported_without_its_lines(self, written: str, tmp_path: Path) -> None:
        (tmp_path / "broken.toml").write_text(f'[profile.default]\naddress = "h:1"\n{written}\n')

        with pytest.raises(ProblemError) as refused:
            Connection.of(context(SHIPPED, {"TEMPORAL_CONFIG_FILE": str(tmp_path / "broken.toml")}))

        assert "line 3" in refused.value.problem.detail
        assert "sk-secret" not in refused.value.problem.detail

    def test_a_key_is_in_no_text(self) -> None:
        connection = Connection.of(context(values(api_key="${MY_KEY}"), {"MY_KEY": "sk-secret"}))

        assert "sk-secret" not in f"{connection!r} {connection.address}"


def context(merged: Mapping[str, Any], environment: Mapping[str, str]) -> PluginContext:
    sample = context_of(ORIGIN, "temporal")
    return PluginContext(
        settings=merged,
        state_dir=sample.state_dir,
        engines=sample.engines,
        logger=sample.logger,
        mode="temporal",
        environment=environment,
    )
