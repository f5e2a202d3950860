"""Who sent a request: the era of a message is its own."""

from typing import Any

import pytest

from orchestrators.plugins.mcp_features import McpFault
from rpc_server.mcp.protocol.caller import Session, is_modern, legacy_caller, modern_caller

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"


def envelope(**more: Any) -> dict[str, Any]:
    return {"_meta": {VERSION: "2026-07-28", CAPABILITIES: {}, **more}}


def test_a_request_is_modern_by_its_envelope_alone() -> None:
    assert is_modern(envelope())
    assert not is_modern({})
    assert not is_modern({"_meta": {"progressToken": 1}})
    assert not is_modern({"_meta": None})


def test_a_modern_request_carries_all_that_is_known_of_its_caller() -> None:
    extensions = {"extensions": {"a/b": {}, "c/d": True}}
    caller = modern_caller(envelope(**{CAPABILITIES: extensions, LOG_LEVEL: "debug", "progressToken": "t"}))
    assert (caller.version, caller.is_modern, caller.log_level, caller.progress_token) == (
        "2026-07-28",
        True,
        "debug",
        "t",
    )
    assert caller.has_extension("a/b")
    assert not caller.has_extension("c/d")
    assert not caller.has_extension("e/f")


@pytest.mark.parametrize("version", ["2025-11-25", "1999-01-01", ""])
def test_a_version_of_no_modern_revision_is_answered_with_those_that_are(version: str) -> None:
    with pytest.raises(McpFault) as refused:
        modern_caller(envelope(**{VERSION: version}))
    assert (refused.value.code, refused.value.data) == (-32022, {"supported": ["2026-07-28"], "requested": version})


@pytest.mark.parametrize("broken", [{VERSION: 7}, {CAPABILITIES: None}, {CAPABILITIES: []}, {LOG_LEVEL: "loud"}])
def test_an_envelope_that_is_not_whole_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(McpFault) as refused:
        modern_caller(envelope(**broken))
    assert refused.value.code == -32602


def test_a_legacy_request_before_the_handshake_is_told_what_to_send() -> None:
    with pytest.raises(McpFault, match="send `initialize` first"):
        legacy_caller({}, Session())


@pytest.mark.parametrize(("token", "taken"), [("t", "t"), (0, 0), (True, None), (1.5, None), (None, None), ([], None)])
def test_a_progress_token_is_a_text_or_a_whole_number(token: Any, taken: Any) -> None:
    session = Session(version="2025-06-18", log_level="error")
    caller = legacy_caller({"_meta": {"progressToken": token}}, session)
    assert (caller.progress_token, caller.log_level, caller.is_modern) == (taken, "error", False)
