"""What is wrong with a server's messages on the MCP side, across a conversation.

Each message is judged by the schema of the revision in force for it: the one that its request's envelope names, else
the one agreed on by `initialize`. Then by what went before it: progress must increase and end with the answer,
notifications must have been asked for, a tool's structured content must be what the tool declares.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import mcp_schemas
from tests.support.mcp_schemas import LATEST_LEGACY, LEGACY, MODERN, is_mcp

PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
_CANCELLED = -32800
_LISTS = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
_MODERN_ONLY = {"server/discover", "subscriptions/listen"}

Message = Mapping[str, Any]


@dataclass
class Asked:
    """A request that was sent, and what has become of it."""

    id: str | int
    method: str
    params: Mapping[str, Any]
    is_modern: bool
    session: "Asked | None" = None
    """The `initialize` that was sent before it, with or without success."""
    agreed: str | None = None
    """The version that an `initialize` was answered with."""
    is_cancelled: bool = False
    is_answered: bool = False
    progress: float = float("-inf")
    honoured: Mapping[str, Any] | None = None
    """The notifications that a `subscriptions/listen` was promised; None until it is acknowledged."""

    @property
    def meta(self) -> Mapping[str, Any]:
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def revision(self) -> str:
        """What is in force for it, once every handshake before it has been answered."""
        if self.is_modern:
            return MODERN
        session = self if self.method == "initialize" else self.session
        while session is not None and session.agreed is None:
            session = session.session
        return LATEST_LEGACY if session is None or session.agreed is None else session.agreed

    @property
    def wants_task(self) -> bool:
        return not self.is_modern and self.method == "tools/call" and "task" in self.params


@dataclass
class McpSpy:
    """Judges the MCP part of a conversation; `faults` says what is wrong."""

    faults: list[str] = field(default_factory=list)
    version: str | None = None
    """What `initialize` agreed on."""
    tools: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The tools of the last `tools/list`, by name."""
    _session: Asked | None = None
    _asked: dict[Any, list[Asked]] = field(default_factory=dict)
    _tokens: dict[Any, Asked] = field(default_factory=dict)
    _tools_of_tasks: dict[str, str] = field(default_factory=dict)
    _subscribed: set[str] = field(default_factory=set)
    _logs_are_wanted: bool = False

    def saw_sent(self, message: Message) -> None:
        """Remember what one message of the client, not a batch, asks for."""
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if message.get("method") == "notifications/cancelled":
            for request in self._asked.get(_key(params.get("requestId")), []):
                request.is_cancelled = True
        elif is_mcp(message.get("method")) and _is_id(message.get("id")):
            self._saw_request(message["id"], message["method"], params)

    def answers(self, message: Any) -> bool:
        """Whether a message of the server is an answer on the MCP side."""
        return isinstance(message, dict) and _is_id(message.get("id")) and _key(message["id"]) in self._asked

    def owns(self, notification: Message) -> bool:
        """Whether a notification of the server belongs to the MCP side."""
        params = notification.get("params")
        token = params.get("progressToken") if isinstance(params, dict) else None
        return notification.get("method") != "notifications/progress" or _key(token) in self._tokens

    def silenced(self) -> set[Any]:
        """The ids of the requests that need no answer any more, since their caller cancelled them."""
        return {key for key, asked in self._asked.items() if any(request.is_cancelled for request in asked)}

    def saw_answer(self, message: Message) -> None:
        """Judge an answer that `answers` said is one of the MCP side."""
        request = self._answered_by(message)
        if request.method == "initialize" and "result" in message:
            self.version = request.agreed = _revision_of(message["result"])
        revision = request.revision
        self._add(
            request.method,
            mcp_schemas.faults_of(
                message, revision=revision, method_of_request=request.method, as_task=request.wants_task
            ),
        )
        if "result" in message:
            self._learn(request, message["result"], revision)
        elif request.is_cancelled and message["error"].get("code") == _CANCELLED:
            self._add(request.method, ["an answer to a request that was cancelled, which gets none"])

    def saw_notification(self, message: Message) -> None:
        """Judge a notification that `owns` said is one of the MCP side, or a request, which there must not be."""
        params = message.get("params") or {}
        subscription = params.get("_meta", {}).get(SUBSCRIPTION_ID)
        method = message["method"]
        revision = self._revision_of_notification(method, params, subscription)
        faults = mcp_schemas.faults_of(message, revision=revision)
        if method == "notifications/progress":
            faults += self._faults_of_progress(params)
        elif method == "notifications/message":
            faults += [] if self._logs_are_wanted else ["a log message that nobody asked for"]
        elif subscription is not None:
            faults += self._faults_of_delivery(method, params, subscription)
        else:
            faults += self._faults_of_unsubscribed(method, params)
        self._add(method, faults)

    def _saw_request(self, id_: Any, method: str, params: dict[str, Any]) -> None:
        meta = params.get("_meta")
        meta = meta if isinstance(meta, dict) else {}
        is_modern = PROTOCOL_VERSION in meta or method in _MODERN_ONLY
        request = Asked(id_, method, params, is_modern, self._session)
        if method == "initialize":
            self._session = request
        self._asked.setdefault(_key(id_), []).append(request)
        if _is_id(meta.get("progressToken")):
            self._tokens[_key(meta["progressToken"])] = request
        if LOG_LEVEL in meta or method == "logging/setLevel":
            self._logs_are_wanted = True
        if method == "resources/subscribe":
            self._subscribed.add(str(params.get("uri")))

    def _answered_by(self, message: Message) -> Asked:
        asked = self._asked[_key(message["id"])]
        request = next((one for one in asked if not one.is_answered), asked[-1])
        request.is_answered = True
        return request

    def _learn(self, request: Asked, result: Any, revision: str) -> None:
        """Remember the tools of a list; judge the structured content of a call by what its tool declares."""
        if not isinstance(result, dict):
            return
        if request.method == "tools/list":
            pages = self.tools if "cursor" in request.params else {}
            self.tools = {**pages, **{tool["name"]: tool for tool in result.get("tools", [])}}
        elif request.method == "tools/call":
            name = str(request.params.get("name"))
            task = result.get("task", result).get("taskId")
            if task is not None:
                self._tools_of_tasks[task] = name
            self._judge_structure(name, result, revision)
        elif request.method in ("tasks/get", "tasks/result"):
            name = self._tools_of_tasks.get(str(request.params.get("taskId")), "")
            self._judge_structure(name, result.get("result", result), revision)
        elif request.method == "subscriptions/listen":
            self._judge_end(request, result)

    def _judge_structure(self, name: str, result: Mapping[str, Any], revision: str) -> None:
        schema = self.tools.get(name, {}).get("outputSchema")
        if schema is None or "content" not in result or revision < "2025-06-18":
            return
        if "structuredContent" not in result:
            self._add(name, ["a result without the structured content that its tool declares"])
        else:
            told = mcp_schemas.faults_against(result["structuredContent"], schema)
            self._add(name, [f"structured content other than declared: {fault}" for fault in told])

    def _judge_end(self, request: Asked, result: Mapping[str, Any]) -> None:
        if result.get("_meta", {}).get(SUBSCRIPTION_ID) != request.id:
            self._add(request.method, ["an end that does not name its subscription"])
        if request.honoured is None:
            self._add(request.method, ["an end before the acknowledgement"])

    def _revision_of_notification(self, method: str, params: Message, subscription: Any) -> str:
        if method == "notifications/progress":
            request = self._tokens[_key(params.get("progressToken"))]
            is_modern = request.is_modern
        else:
            is_modern = subscription is not None or self.version is None
        return MODERN if is_modern else self.version or LATEST_LEGACY

    def _faults_of_progress(self, params: Message) -> list[str]:
        request = self._tokens[_key(params.get("progressToken"))]
        faults = []
        progress = params.get("progress")
        if isinstance(progress, int | float):
            if progress <= request.progress:
                faults.append(f"progress {progress} after {request.progress}")
            if isinstance(params.get("total"), int | float) and progress > params["total"]:
                faults.append(f"progress {progress} of {params['total']}")
            request.progress = progress
        if request.is_answered and not request.wants_task:
            faults.append("progress after the answer")
        return faults

    def _faults_of_delivery(self, method: str, params: Message, subscription: Any) -> list[str]:
        request = next((one for one in self._asked.get(_key(subscription), []) if not one.is_answered), None)
        if request is None or request.method != "subscriptions/listen":
            return [f"a notification for {subscription!r}, which is no subscription that is open"]
        if method == "notifications/subscriptions/acknowledged":
            return self._faults_of_promise(request, params)
        if request.honoured is None:
            return ["a notification before the acknowledgement"]
        if not _is_promised(request.honoured, method, params):
            return [f"a notification that was not promised to {subscription!r}"]
        return []

    def _faults_of_promise(self, request: Asked, params: Message) -> list[str]:
        if request.honoured is not None:
            return ["a second acknowledgement"]
        request.honoured = params.get("notifications", {})
        wanted = request.params.get("notifications", {})
        return [
            f"a promise of {name}, which was not asked for"
            for name, value in request.honoured.items()
            if not _is_within(value, wanted.get(name))
        ]

    def _faults_of_unsubscribed(self, method: str, params: Message) -> list[str]:
        if self.version is None:
            return ["a notification that nobody can have asked for"]
        if method == "notifications/resources/updated" and params.get("uri") not in self._subscribed:
            return [f"news of {params.get('uri')}, which nobody subscribed to"]
        return []

    def _add(self, what: str, faults: Iterable[str]) -> None:
        self.faults += [f"{what}: {fault}" for fault in faults]


def _revision_of(result: Any) -> str:
    version = result.get("protocolVersion") if isinstance(result, dict) else None
    return version if version in LEGACY else LATEST_LEGACY


def _is_promised(honoured: Message, method: str, params: Message) -> bool:
    if method in _LISTS:
        return honoured.get(_LISTS[method]) is True
    if method == "notifications/resources/updated":
        return params.get("uri") in honoured.get("resourceSubscriptions", [])
    return method == "notifications/tasks" and params.get("taskId") in honoured.get("taskIds", [])


def _is_within(promised: Any, wanted: Any) -> bool:
    if isinstance(promised, list):
        return isinstance(wanted, list) and set(promised) <= set(wanted)
    return promised is False or promised == wanted


def _is_id(id_: Any) -> bool:
    return isinstance(id_, str | int) and not isinstance(id_, bool)


def _key(id_: Any) -> Any:
    return isinstance(id_, str), id_ if isinstance(id_, str | int | float) else None
