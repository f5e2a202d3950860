"""The oracle of the MCP tests: it takes what the specification allows and finds what it forbids."""

from typing import Any

import pytest

from tests.support.client import Spy
from tests.support.mcp_client import envelope
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN, REVISIONS, faults_against, faults_of

SERVER = {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}}
LIST: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"}
TOOL: dict[str, Any] = {"name": "t", "inputSchema": {"type": "object"}}
TASK: dict[str, Any] = {
    "taskId": "a",
    "status": "working",
    "createdAt": "2026-01-01T00:00:00Z",
    "lastUpdatedAt": "2026-01-01T00:00:00Z",
}


def answer(result: dict[str, Any], id_: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "result": result}


def modern(result: dict[str, Any], id_: Any = 1) -> dict[str, Any]:
    return answer({"resultType": "complete", "_meta": SERVER, **result}, id_)


def failed(code: int, data: Any = None) -> dict[str, Any]:
    error = {"code": code, "message": "m", **({} if data is None else {"data": data})}
    return {"jsonrpc": "2.0", "id": 1, "error": error}


def notification(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})}


def sent(method: str, id_: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("ping", {}),
        ("tools/list", {"tools": [TOOL], "nextCursor": "x"}),
        ("tools/call", {"content": [{"type": "text", "text": "a"}], "isError": True}),
        ("resources/read", {"contents": [{"uri": "m://a", "blob": "YQ=="}]}),
        ("completion/complete", {"completion": {"values": []}}),
    ],
)
def test_what_every_legacy_revision_has_is_taken(revision: str, method: str, result: dict[str, Any]) -> None:
    assert faults_of(answer(result), revision=revision, method_of_request=method) == []


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("ping", {"pong": True}),
        ("tools/list", {"tools": [{"name": "t"}]}),
        ("tools/list", {"tools": [TOOL, TOOL]}),
        ("tools/list", {"tools": [{**TOOL, "inputSchema": {"type": "object", "properties": {"a": {"type": "x"}}}}]}),
        ("tools/list", {"tools": [TOOL], "nextcursor": "x"}),
        ("tools/call", {"content": "a"}),
        ("resources/read", {"contents": []}),
        ("resources/read", {"contents": [{"uri": "m://a", "blob": "not Base64"}]}),
        ("resources/list", {"resources": [{"uri": "no uri", "name": "a"}]}),
        ("completion/complete", {"completion": {"values": ["a"] * 101}}),
        ("server/discover", {}),
        ("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}}),
    ],
)
def test_what_no_legacy_revision_has_is_found(revision: str, method: str, result: dict[str, Any]) -> None:
    assert faults_of(answer(result), revision=revision, method_of_request=method) != []


def test_what_came_with_a_revision_is_held_against_an_older_one() -> None:
    link = {"content": [{"type": "resource_link", "uri": "m://a", "name": "a"}]}

    found = {one: faults_of(answer(link), revision=one, method_of_request="tools/call") for one in LEGACY}

    assert [one for one, faults in found.items() if faults] == ["2024-11-05", "2025-03-26"]


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("tools/list", {"tools": [TOOL], **LIST}),
        ("tools/call", {"content": [], "structuredContent": [1]}),
        ("tools/call", {"resultType": "task", **TASK, "ttlMs": None}),
        ("tasks/get", {**TASK, "status": "completed", "ttlMs": 1, "result": {"content": []}}),
        ("tasks/update", {}),
        ("subscriptions/listen", {"_meta": {**SERVER, "io.modelcontextprotocol/subscriptionId": 1}}),
    ],
)
def test_what_the_modern_revision_has_is_taken(method: str, result: dict[str, Any]) -> None:
    assert faults_of(modern(result), revision=MODERN, method_of_request=method) == []


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("tools/list", {"tools": [TOOL]}),
        ("tools/call", {"content": [], "resultType": "done"}),
        ("tools/call", {"content": [], "_meta": {}}),
        ("tools/call", {"resultType": "task", "task": {**TASK, "ttl": None}}),
        ("tasks/get", {**TASK, "resultType": "task", "ttlMs": 1}),
        ("tasks/get", {**TASK, "status": "completed", "ttlMs": 1, "result": {"content": "a"}}),
        ("tasks/get", {**TASK, "createdAt": "yesterday", "ttlMs": 1}),
        ("tasks/result", {"content": []}),
        ("ping", {}),
        ("initialize", {"protocolVersion": MODERN, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}),
        ("subscriptions/listen", {}),
    ],
)
def test_what_the_modern_revision_does_not_have_is_found(method: str, result: dict[str, Any]) -> None:
    assert faults_of(modern(result), revision=MODERN, method_of_request=method) != []


def test_a_task_of_2025_11_25_is_an_answer_only_to_who_asked_for_one() -> None:
    created = answer({"task": {**TASK, "ttl": None}})

    assert faults_of(created, revision=LATEST_LEGACY, method_of_request="tools/call", as_task=True) == []
    assert faults_of(created, revision=LATEST_LEGACY, method_of_request="tools/call") != []
    assert faults_of(answer({"content": []}), revision=LATEST_LEGACY, method_of_request="tasks/result") != []


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("code", [-32700, -32600, -32601, -32602, -32603, -31050])
def test_an_error_needs_no_more_than_code_and_message(revision: str, code: int) -> None:
    assert faults_of(failed(code), revision=revision, method_of_request="tools/call") == []


@pytest.mark.parametrize(
    ("revision", "code", "data"),
    [
        (MODERN, -32002, None),
        (MODERN, -32022, {"supported": [MODERN]}),
        (MODERN, -32021, {"requiredCapabilities": ["sampling"]}),
        (MODERN, -32030, None),
        (MODERN, -32001, None),
        (LATEST_LEGACY, -32022, {"supported": [MODERN], "requested": "x"}),
    ],
)
def test_a_code_that_is_not_ours_to_give_is_found(revision: str, code: int, data: Any) -> None:
    assert faults_of(failed(code, data), revision=revision, method_of_request="tools/call") != []


def test_a_notification_is_judged_by_its_revision() -> None:
    progress = notification("notifications/progress", progressToken=1, progress=0.5, message="m")
    status = notification("notifications/tasks/status", **TASK, ttl=None)

    assert [one for one in REVISIONS if faults_of(progress, revision=one)] == []
    assert [one for one in REVISIONS if not faults_of(status, revision=one)] == [LATEST_LEGACY]
    assert faults_of({**progress, "id": 1}, revision=MODERN) != []
    assert faults_of(notification("notifications/news"), revision=MODERN) != []


def test_a_value_is_held_to_the_schema_of_a_tool() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    assert faults_against({"a": 1}, schema) == []
    assert faults_against({"a": "1"}, schema) != []


def test_each_message_is_judged_by_the_revision_in_force_for_it() -> None:
    spy = Spy()
    hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}

    spy.saw_sent(sent("initialize", 1))
    spy.saw_received(answer(hello))
    for id_, params in ((2, {}), (3, envelope())):
        spy.saw_sent(sent("prompts/list", id_, **params))
        spy.saw_received(answer({"prompts": []}, id_))

    assert spy.faults
    assert all(MODERN in fault or "resultType" in fault or "serverInfo" in fault for fault in spy.faults)


def test_a_request_belongs_to_the_last_handshake_that_was_sent_before_it() -> None:
    spy = Spy()
    server = {"capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}

    for id_, version in ((1, "2024-11-05"), (3, LATEST_LEGACY)):
        spy.saw_sent(sent("initialize", id_))
        spy.saw_sent(sent("tasks/list", id_ + 1))
        spy.saw_received(answer({"protocolVersion": version, **server}, id_))
    spy.saw_received(answer({"tasks": []}, 4))

    assert spy.faults == []
    spy.saw_received(answer({"tasks": []}, 2))
    assert spy.faults == ["tasks/list: a result for `tasks/list`, which does not exist in 2024-11-05"]


@pytest.mark.parametrize(
    ("notifications", "is_well"),
    [
        ([0.5, 1], True),
        ([0.5, 0.5], False),
        ([1, 0.5], False),
        ([3], False),
    ],
)
def test_progress_has_to_increase_up_to_its_total(notifications: list[float], is_well: bool) -> None:
    spy = Spy()

    spy.saw_sent(sent("tools/call", 1, **envelope({"name": "t"}, progress_token="p")))
    for progress in notifications:
        spy.saw_received(notification("notifications/progress", progressToken="p", progress=progress, total=2))

    assert (spy.faults == []) is is_well


def test_progress_after_the_answer_is_found() -> None:
    spy = Spy()

    spy.saw_sent(sent("tools/call", 1, **envelope({"name": "t"}, progress_token="p")))
    spy.saw_received(modern({"content": []}))
    spy.saw_received(notification("notifications/progress", progressToken="p", progress=1))

    assert spy.faults == ["notifications/progress: progress after the answer"]


def test_a_cancelled_request_needs_no_answer_and_must_not_be_told_that_it_is_cancelled() -> None:
    spy = Spy()

    spy.saw_sent(sent("tools/call", 1, **envelope({"name": "t"})))
    late = spy.unanswered()
    spy.saw_sent(notification("notifications/cancelled", requestId=1))

    assert late
    assert spy.unanswered() == []
    spy.saw_received(failed(-32800))
    assert spy.faults


def test_structured_content_is_held_to_what_the_tool_declares() -> None:
    spy = Spy()
    declared = {**TOOL, "outputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}}}

    spy.saw_sent(sent("tools/list", 1, **envelope()))
    spy.saw_received(modern({"tools": [declared], **LIST}))
    for id_, structured in ((2, {"a": 1}), (3, {"a": "1"}), (4, None)):
        spy.saw_sent(sent("tools/call", id_, **envelope({"name": "t"})))
        found = {} if structured is None else {"structuredContent": structured}
        spy.saw_received(modern({"content": [], **found}, id_))

    assert len(spy.faults) == 2
    assert "structured content other than declared" in spy.faults[0]
    assert "without the structured content" in spy.faults[1]


@pytest.mark.parametrize(
    ("honoured", "then", "is_well"),
    [
        ({"toolsListChanged": True}, "notifications/tools/list_changed", True),
        ({}, "notifications/tools/list_changed", False),
        ({"toolsListChanged": True}, "notifications/prompts/list_changed", False),
        ({"promptsListChanged": True}, "notifications/prompts/list_changed", False),
        (None, "notifications/tools/list_changed", False),
    ],
)
def test_only_what_was_asked_for_and_promised_may_be_told(
    honoured: dict[str, Any] | None, then: str, is_well: bool
) -> None:
    spy = Spy()
    tagged = {"_meta": {"io.modelcontextprotocol/subscriptionId": "l"}}

    spy.saw_sent(sent("subscriptions/listen", "l", **envelope({"notifications": {"toolsListChanged": True}})))
    if honoured is not None:
        promise = "notifications/subscriptions/acknowledged"
        spy.saw_received(notification(promise, **tagged, notifications=honoured))
    spy.saw_received(notification(then, **tagged))

    assert (spy.faults == []) is is_well


@pytest.mark.parametrize(
    "message",
    [
        notification("notifications/tools/list_changed"),
        notification("notifications/message", level="info", data="x"),
        notification("notifications/resources/updated", uri="m://a"),
        notification("notifications/progress", progressToken="unknown", progress=1),
    ],
)
def test_what_nobody_asked_for_is_found(message: dict[str, Any]) -> None:
    spy = Spy()

    spy.saw_received(message)

    assert spy.faults
