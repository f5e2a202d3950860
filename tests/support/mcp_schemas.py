"""The oracle of the MCP side: what is wrong with a message, by the JSON Schema of the revision it was sent under.

The schemas are the specification's own, in `tests/schemas/mcp`. They allow unknown members nearly everywhere, so a
result is also held to the members that its definition names.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator

FOLDER = Path(__file__).resolve().parents[1] / "schemas" / "mcp"
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST_LEGACY = LEGACY[-1]
MODERN = "2026-07-28"
REVISIONS = (*LEGACY, MODERN)
TASKS = "tasks"
"""The file of the modern era's extension for tasks."""

_BOTH_ERAS = {
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "completion/complete": "CompleteResult",
}
_LEGACY_RESULTS = {
    **_BOTH_ERAS,
    "initialize": "InitializeResult",
    "ping": "EmptyResult",
    "logging/setLevel": "EmptyResult",
    "resources/subscribe": "EmptyResult",
    "resources/unsubscribe": "EmptyResult",
}
_LEGACY_TASK_RESULTS = {
    "tasks/get": "GetTaskResult",
    "tasks/result": "CallToolResult",
    "tasks/cancel": "CancelTaskResult",
    "tasks/list": "ListTasksResult",
}
_MODERN_RESULTS = {
    **_BOTH_ERAS,
    "server/discover": "DiscoverResult",
    "subscriptions/listen": "SubscriptionsListenResult",
}
_MODERN_TASK_RESULTS = {
    "tasks/get": "GetTaskResult",
    "tasks/update": "UpdateTaskResult",
    "tasks/cancel": "CancelTaskResult",
}
_ASKING_BACK = {"tools/call", "prompts/get", "resources/read"}
"""What may be answered with a request for more input (2026-07-28)."""

METHODS = frozenset({*_LEGACY_RESULTS, *_LEGACY_TASK_RESULTS, *_MODERN_RESULTS, *_MODERN_TASK_RESULTS})
"""Every request of MCP that a client may send to a server."""

_NOTIFICATIONS = {
    "notifications/progress": "ProgressNotification",
    "notifications/message": "LoggingMessageNotification",
    "notifications/resources/updated": "ResourceUpdatedNotification",
    "notifications/resources/list_changed": "ResourceListChangedNotification",
    "notifications/tools/list_changed": "ToolListChangedNotification",
    "notifications/prompts/list_changed": "PromptListChangedNotification",
    "notifications/cancelled": "CancelledNotification",
}

_MODERN_ERRORS = {-32021: "MissingRequiredClientCapabilityError", -32022: "UnsupportedProtocolVersionError"}
RELATED_TASK = "io.modelcontextprotocol/related-task"
_RESERVED = range(-32099, -32019)
"""Codes that the specification keeps to itself (2026-07-28, "Error Codes")."""
_DISCOURAGED = range(-32019, -31999)
_NOT_FOUND_LEGACY = -32002

_formats = FormatChecker(formats=())


@_formats.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme)


@_formats.checks("uri-template")
def _is_uri_template(value: object) -> bool:
    return not isinstance(value, str) or (bool(urlsplit(value).scheme) and value.count("{") == value.count("}"))


@_formats.checks("byte", raises=binascii.Error)
def _is_base64(value: object) -> bool:
    return not isinstance(value, str) or base64.b64decode(value, validate=True) is not None


def is_mcp(method: Any) -> bool:
    """Whether `method` is a request of MCP, in any revision."""
    return isinstance(method, str) and method in METHODS


def faults_of(
    message: Mapping[str, Any], *, revision: str, method_of_request: str | None = None, as_task: bool = False
) -> list[str]:
    """What is wrong with one message of the server; empty where nothing is.

    `revision` is what was in force for it; `method_of_request` what it answers, None for a notification. `as_task`
    says that a `tools/call` asked for a task (2025-11-25).
    """
    if "method" in message:
        return _faults_of_notification(message, revision)
    if method_of_request is None:
        return ["an answer to nothing"]
    if "error" in message:
        return _faults_of_error(message, revision)
    return _faults_of_answer(message, revision, method_of_request, as_task)


def faults_against(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with a value by a tool's schema, `inputSchema` or `outputSchema`."""
    return _told(Draft202012Validator(schema), value)


def _faults_of_answer(message: Mapping[str, Any], revision: str, method: str, as_task: bool) -> list[str]:
    faults = _against(revision, _envelope(revision), message)
    result = message["result"]
    found = _definition(revision, method, result, as_task)
    if found is None:
        return [*faults, f"a result for `{method}`, which does not exist in {revision}"]
    source, name = found
    if not isinstance(result, dict):
        return [*faults, "a result that is no object"]
    faults += _against(source, name, result)
    faults += _undeclared(source, name, result)
    faults += _more_faults(method, result)
    if revision == MODERN:
        faults += _modern_faults(method, result)
    return faults


def _definition(revision: str, method: str, result: Any, as_task: bool) -> tuple[str, str] | None:
    """The file and the definition that a result is judged by; None where the method does not exist."""
    if revision == MODERN:
        return _modern_definition(method, result)
    if method == "tools/call" and as_task and revision == LATEST_LEGACY and "task" in result:
        return revision, "CreateTaskResult"
    known = {**_LEGACY_RESULTS, **(_LEGACY_TASK_RESULTS if revision == LATEST_LEGACY else {})}
    return (revision, known[method]) if method in known else None


def _modern_definition(method: str, result: Any) -> tuple[str, str] | None:
    kind = result.get("resultType") if isinstance(result, dict) else None
    if kind == "input_required" and method in _ASKING_BACK:
        return MODERN, "InputRequiredResult"
    if kind == "task" and method == "tools/call":
        return TASKS, "CreateTaskResult"
    if method in _MODERN_TASK_RESULTS:
        return TASKS, _MODERN_TASK_RESULTS[method]
    return (MODERN, _MODERN_RESULTS[method]) if method in _MODERN_RESULTS else None


def _modern_faults(method: str, result: Mapping[str, Any]) -> Iterator[str]:
    """What the modern era asks of each result in words only."""
    kinds = {"complete"}
    if method in _ASKING_BACK:
        kinds.add("input_required")
    if method == "tools/call":
        kinds.add("task")
    if result.get("resultType") not in kinds:
        yield f"resultType {result.get('resultType')!r} of `{method}`"
    if "io.modelcontextprotocol/serverInfo" not in result.get("_meta", {}):
        yield "a result that does not say whose it is: no serverInfo in `_meta`"
    if RELATED_TASK in result.get("_meta", {}):
        yield "a `related-task`, which the modern era does not have"
    if method == "tasks/get":
        yield from _faults_of_outcome(result)


def _faults_of_outcome(task: Mapping[str, Any]) -> Iterator[str]:
    """A task that has completed holds the result of its call, which its own schema leaves open."""
    if task.get("status") == "completed":
        inner = {"resultType": "complete", **task.get("result", {})}
        yield from _against(MODERN, "CallToolResult", inner)
        yield from _undeclared(MODERN, "CallToolResult", inner)


def _more_faults(method: str, result: Mapping[str, Any]) -> Iterator[str]:
    """What the specification asks in words only, in every revision."""
    if method == "tools/list":
        yield from _faults_of_tools(result.get("tools", []))
    for name in ("resources", "resourceTemplates", "prompts"):
        key = "uri" if name == "resources" else "uriTemplate" if name == "resourceTemplates" else "name"
        listed = [item.get(key) for item in result.get(name, []) if method.endswith("/list")]
        if len(set(listed)) < len(listed):
            yield f"{name} that are listed twice"
    if method == "resources/read" and not result.get("contents"):
        yield "a resource without contents"
    if method == "completion/complete" and len(result.get("completion", {}).get("values", [])) > 100:
        yield "more than 100 completions"
    if method == "tasks/result" and "taskId" not in result.get("_meta", {}).get(RELATED_TASK, {}):
        yield "a task's result that does not say whose it is: no related-task in `_meta`"
    yield from _faults_of_times(result.get("task", result))


def _faults_of_tools(tools: list[Mapping[str, Any]]) -> Iterator[str]:
    names = [tool.get("name") for tool in tools]
    if len(set(names)) < len(names):
        yield "a tool that is listed twice"
    for tool in tools:
        for member in ("inputSchema", "outputSchema"):
            try:
                Draft202012Validator.check_schema(tool.get(member, {}))
            except SchemaError as error:
                yield f"the {member} of {tool.get('name')!r} is no JSON Schema: {error.message}"


def _faults_of_times(task: Any) -> Iterator[str]:
    if isinstance(task, dict) and "taskId" in task:
        for member in ("createdAt", "lastUpdatedAt"):
            try:
                at = datetime.fromisoformat(str(task.get(member)))
            except ValueError:
                at = datetime.min
            if at.tzinfo is None:
                yield f"{member} is no ISO 8601 time with a zone: {task.get(member)!r}"


def _faults_of_error(message: Mapping[str, Any], revision: str) -> list[str]:
    name = "JSONRPCErrorResponse" if revision >= LATEST_LEGACY else "JSONRPCError"
    faults = _against(revision, name, message)
    code = message["error"].get("code") if isinstance(message["error"], dict) else None
    if not isinstance(code, int):
        return [*faults, f"not an error: {message['error']!r}"]
    if revision == MODERN and code in _MODERN_ERRORS:
        return [*faults, *_against(revision, _MODERN_ERRORS[code], message)]
    if code in _RESERVED:
        faults.append(f"the code {code}, which only MCP itself may give out")
    if code in _DISCOURAGED and (revision == MODERN or code != _NOT_FOUND_LEGACY):
        faults.append(f"the code {code}, which newcomers must stay out of")
    return faults


def _faults_of_notification(message: Mapping[str, Any], revision: str) -> list[str]:
    method = message["method"]
    if "id" in message:
        return [f"a request of the server, which offers none: {method}"]
    names = dict(_NOTIFICATIONS)
    source = revision
    if revision == LATEST_LEGACY:
        names["notifications/tasks/status"] = "TaskStatusNotification"
    if revision == MODERN:
        names["notifications/subscriptions/acknowledged"] = "SubscriptionsAcknowledgedNotification"
        if method == "notifications/tasks":
            names[method], source = "TaskStatusNotification", TASKS
    if method not in names:
        return [f"`{method}`, which a server does not send in {revision}"]
    undeclared = sorted(set(message) - {"jsonrpc", "method", "params"})
    faults = [f"undeclared members {undeclared}"] if undeclared else []
    faults += _against(source, names[method], message)
    if method == "notifications/tasks":
        faults += _faults_of_outcome(message.get("params", {}))
    return [*faults, *_faults_of_times(message.get("params"))]


def _envelope(revision: str) -> str:
    return "JSONRPCResultResponse" if revision >= LATEST_LEGACY else "JSONRPCResponse"


def _against(source: str, name: str, value: Any) -> list[str]:
    return [f"{source} {name}: {fault}" for fault in _told(_validator(source, name), value)]


def _told(validator: Validator, value: Any) -> list[str]:
    error = best_match(validator.iter_errors(value))
    return [] if error is None else [f"{error.json_path}: {error.message[:400]}"]


def _undeclared(source: str, name: str, value: Mapping[str, Any]) -> list[str]:
    """The members that no revision of the same era declares: legal, but most likely misspelt."""
    sources = [source] if source in (MODERN, TASKS) else [source, LATEST_LEGACY]
    declared = {"_meta", "resultType"}.union(*(_members(one, name) for one in sources))
    unknown = sorted(set(value) - declared)
    return [f"undeclared members {unknown} of {name}"] if unknown else []


@cache
def _members(source: str, name: str) -> frozenset[str]:
    return frozenset(_members_of(_definitions(source)[name], _definitions(source)))


def _members_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    yield from schema.get("properties", {})
    parts = [*schema.get("allOf", []), *schema.get("anyOf", [])]
    if "$ref" in schema:
        parts.append(definitions[schema["$ref"].rpartition("/")[2]])
    for part in parts:
        yield from _members_of(part, definitions)


@cache
def _validator(source: str, name: str) -> Validator:
    schema = _schema(source)
    key = "$defs" if "$defs" in schema else "definitions"
    kind = Draft202012Validator if key == "$defs" else Draft7Validator
    return kind({"$ref": f"#/{key}/{name}", key: schema[key]}, format_checker=_formats)


def _definitions(source: str) -> Mapping[str, Any]:
    schema = _schema(source)
    definitions: Mapping[str, Any] = schema.get("$defs") or schema["definitions"]
    return definitions


@cache
def _schema(source: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FOLDER / f"{source}.json").read_text())
    return schema
