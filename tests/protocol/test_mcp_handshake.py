"""Which era a message belongs to, and what each revision of MCP answers before any method is run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.connected import Connected, connected
from tests.support.mcp_client import envelope
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN

META = "io.modelcontextprotocol/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    with connected(tmp_path_factory.mktemp("home")) as client:
        yield client


def initialize_params(version: Any = LATEST_LEGACY) -> dict[str, Any]:
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}


def code_of(answer: dict[str, Any]) -> int:
    return int(answer["error"]["code"])


@pytest.mark.parametrize("version", LEGACY)
def test_a_version_that_is_spoken_is_agreed_on(client: Connected, version: str) -> None:
    assert client.initialize(version)["protocolVersion"] == version


@pytest.mark.parametrize("version", ["1999-01-01", "2099-01-01", MODERN, "draft", ""])
def test_any_other_version_is_answered_with_the_latest_that_shakes_hands(client: Connected, version: str) -> None:
    assert client.initialize(version)["protocolVersion"] == LATEST_LEGACY


@pytest.mark.parametrize("version", [None, 20251125, ["2025-11-25"]])
def test_a_handshake_without_a_version_is_refused(client: Connected, version: Any) -> None:
    assert client.error("initialize", initialize_params(version))["code"] == -32602


def test_a_capability_is_declared_from_the_revision_on_that_has_it(client: Connected) -> None:
    declared = {version: set(client.initialize(version)["capabilities"]) for version in LEGACY}

    assert [version for version in LEGACY if "completions" in declared[version]] == list(LEGACY[1:])
    assert [version for version in LEGACY if "tasks" in declared[version]] == [LATEST_LEGACY]
    assert all({"tools", "resources", "prompts", "logging"} <= found for found in declared.values())


@pytest.mark.parametrize("version", [*LEGACY, MODERN])
def test_changes_of_lists_are_declared_since_hosts_drop_them_otherwise(client: Connected, version: str) -> None:
    if version == MODERN:
        capabilities = client.modern("server/discover")["capabilities"]
    else:
        capabilities = client.initialize(version)["capabilities"]

    assert [capabilities[kind]["listChanged"] for kind in ("tools", "resources", "prompts")] == [True] * 3


def test_discovery_names_the_modern_versions_and_the_tasks_extension(client: Connected) -> None:
    found = client.modern("server/discover")

    assert found["supportedVersions"] == [MODERN]
    assert META + "tasks" in found["capabilities"]["extensions"]
    assert "tasks" not in found["capabilities"]
    assert found["instructions"]


def test_a_client_need_not_say_who_it_is(client: Connected) -> None:
    params = envelope()
    del params["_meta"][META + "clientInfo"]

    assert client.result("server/discover", params)["resultType"] == "complete"


@pytest.mark.parametrize("requested", ["2025-11-25", "2024-11-05", "2027-01-01", "draft"])
def test_an_envelope_of_a_version_without_envelopes_is_told_what_there_is(client: Connected, requested: str) -> None:
    error = client.error("tools/list", envelope(version=requested))

    assert error["code"] == -32022
    assert error["data"] == {"supported": [MODERN], "requested": requested}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("protocolVersion", 20260728),
        ("clientCapabilities", None),
        ("clientCapabilities", []),
        ("logLevel", "loud"),
        ("logLevel", 3),
    ],
)
def test_an_envelope_that_is_not_whole_is_refused(client: Connected, member: str, value: Any) -> None:
    params = envelope()
    params["_meta"][META + member] = value

    assert client.error("tools/list", params)["code"] == -32602


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("server/discover", {}),
        ("server/discover", {"_meta": {}}),
        ("subscriptions/listen", {"notifications": {}}),
    ],
)
def test_what_only_the_modern_era_has_is_refused_without_an_envelope(
    client: Connected, method: str, params: dict[str, Any]
) -> None:
    assert client.error(method, params)["code"] == -32602


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
def test_tasks_are_refused_to_a_modern_client_that_did_not_declare_them(client: Connected, method: str) -> None:
    error = client.mcp_error(method, {"taskId": "x", "inputResponses": {}})

    assert error["code"] == -32021
    assert error["data"] == {"requiredCapabilities": {"extensions": {META + "tasks": {}}}}


def test_before_the_handshake_only_ping_is_answered_without_an_envelope(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        assert client.result("ping") == {}
        assert client.error("tools/list", {})["code"] == -32602
        assert client.error("logging/setLevel", {"level": "info"})["code"] == -32602


def test_a_handshake_with_an_envelope_begins_no_session(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        refused = client.error("initialize", envelope(initialize_params()))
        after = client.error("prompts/list", {})

    assert (refused["code"], after["code"]) == (-32601, -32602)


def test_requests_may_follow_the_handshake_without_waiting_for_it(tmp_path: Path) -> None:
    with connected(tmp_path) as client:
        client.request("initialize", initialize_params("2025-06-18"))
        asked = client.request("prompts/list", {})

        assert "prompts" in client.result_of(asked)


def test_both_eras_and_plain_calls_go_side_by_side_on_one_stream(client: Connected) -> None:
    client.speak("2025-06-18")
    legacy = [client.request("prompts/list", {}) for _ in range(3)]
    modern = [client.request("prompts/list", envelope()) for _ in range(3)]
    plain = [client.request("version") for _ in range(3)]
    mixed = [client.request(*one) for one in (("ping", {}), ("server/discover", envelope()), ("methods/list", {}))]

    assert all("resultType" not in client.result_of(one) for one in legacy)
    assert all(client.result_of(one)["resultType"] == "complete" for one in modern)
    assert all("_meta" not in client.result_of(one) for one in plain)
    assert client.result_of(mixed[0]) == {}
    assert client.result_of(mixed[1])["supportedVersions"] == [MODERN]
    assert client.result_of(mixed[2])["methods"] == []


def test_a_plain_call_with_an_envelope_stays_plain(client: Connected) -> None:
    assert "resultType" not in client.result("methods/list", envelope())


@pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])
@pytest.mark.parametrize("id_", [None, 1.5])
def test_an_id_that_only_plain_json_rpc_allows_is_refused(tmp_path: Path, version: str, id_: Any) -> None:
    with connected(tmp_path) as client:
        client.speak(version)
        client.request("prompts/list", envelope() if version == MODERN else {}, id=id_)
        client.request("version", id="plain")

        assert code_of(client.answer(id_)) == -32600
        assert "result" in client.answer("plain")


@pytest.mark.parametrize("id_", [0, -1, "", "0", 2**53])
def test_every_whole_number_and_text_is_an_id(tmp_path: Path, id_: Any) -> None:
    with connected(tmp_path) as client:
        client.request("server/discover", envelope(), id=id_)

        assert client.answer(id_)["id"] == id_


@pytest.mark.parametrize("version", [LATEST_LEGACY, MODERN])
def test_content_length_frames_carry_mcp_as_well(tmp_path: Path, version: str) -> None:
    with connected(tmp_path, framing="headers") as client:
        client.speak(version)

        assert client.mcp("prompts/list")["prompts"]
