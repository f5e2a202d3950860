"""Telling a peer what changes: lists, resources, tasks.

A legacy client hears of every list and of the resources it subscribed to; a modern one of what it listens for, each
notification marked with the request that asked (2026-07-28, "Subscriptions").
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import ValidationError

from orchestrators.plugins.mcp_features import Kind, McpFault
from rpc_server.background import Background
from rpc_server.calls import runs
from rpc_server.calls.services import Services
from rpc_server.mcp.protocol import tasks
from rpc_server.mcp.protocol.caller import Caller, Session
from rpc_server.mcp.protocol.handshake import RESULT_META
from rpc_server.mcp.protocol.params import required_object, required_text
from rpc_server.mcp.protocol.revisions import MISSING_CAPABILITY, SUBSCRIPTION_ID, TASKS_EXTENSION
from rpc_server.mcp.run_uris import run_id_of
from rpc_server.wire.dispatch import Call
from rpc_server.wire.errors import INVALID_PARAMS
from rpc_server.wire.peer import Peer
from schemas.json_types import Json
from schemas.params import RunRef
from schemas.problem import ProblemError

logger = logging.getLogger(__name__)

DetailedTask = Callable[[str], Any]

_LISTS: dict[str, Kind] = {
    "toolsListChanged": "tools",
    "resourcesListChanged": "resources",
    "promptsListChanged": "prompts",
}
_MOST = 100
"""Resources, and tasks, that one request may listen for, and a legacy client may be subscribed to."""


@dataclass(eq=False)
class _Listener:
    """One open `subscriptions/listen`."""

    call: Call
    lists: frozenset[Kind]

    def notify(self, method: str, params: Json) -> None:
        self.call.notify(method, {**params, "_meta": {SUBSCRIPTION_ID: self.call.id}})


class Announcements:
    """Tells the clients which lists have changed."""

    def __init__(self, session: Session, peer: Peer) -> None:
        self._session = session
        self._peer = peer
        self.listeners: list[_Listener] = []

    def announce(self, kind: Kind) -> None:
        """Say that a list has changed."""
        method = f"notifications/{kind}/list_changed"
        if self._session.version is not None:
            self._peer.notify(method)
        for listener in list(self.listeners):
            if kind in listener.lists:
                listener.notify(method, {})

    def announce_methods(self) -> None:
        """Say that the methods of the workspace, and so their tools and sources, have changed."""
        self.announce("tools")
        self.announce("resources")


class Subscriptions:
    """Which clients follow which resources, tasks and lists."""

    def __init__(
        self,
        services: Services,
        peer: Peer,
        announcements: Announcements,
        *,
        task_of: Callable[[str], Any],
        watch_methods: Callable[[float], Awaitable[object]],
    ) -> None:
        """`task_of` gives a run's task in full, `DetailedTask` of the extension. `watch_methods` has changes of the
        methods announced from now on, and returns after at most so many seconds.
        """
        self._services = services
        self._peer = peer
        self._announcements = announcements
        self._task_of = task_of
        self._watch_methods = watch_methods
        self._subscribed: dict[str, anyio.CancelScope] = {}

    async def subscribe(self, params: Json) -> Json:
        """`resources/subscribe`: tell the legacy client of a run's every step."""
        uri = required_text(params, "uri")
        if uri not in self._subscribed:
            if len(self._subscribed) >= _MOST:
                raise McpFault(INVALID_PARAMS, f"There are {_MOST} subscriptions already; end one first.")
            self._subscribed[uri] = scope = anyio.CancelScope()
            self._services.left_running.start_soon(self._tell_of, uri, self._peer.notify, scope)
        return {}

    async def unsubscribe(self, params: Json) -> Json:
        """`resources/unsubscribe`."""
        scope = self._subscribed.pop(required_text(params, "uri"), None)
        if scope is not None:
            scope.cancel()
        return {}

    async def listen(self, call: Call, caller: Caller, params: Json) -> Json:
        """`subscriptions/listen`: lasts until the client cancels it or leaves."""
        asked = required_object(params, "notifications")
        uris, task_ids = _texts(asked, "resourceSubscriptions"), _texts(asked, "taskIds")
        if task_ids and not caller.has_extension(TASKS_EXTENSION):
            raise missing_tasks_extension()
        listener = _Listener(call, frozenset(kind for name, kind in _LISTS.items() if asked.get(name) is True))
        call.closing_result = {"resultType": "complete", "_meta": {**RESULT_META, SUBSCRIPTION_ID: call.id}}
        honoured: Json = {name: True for name, kind in _LISTS.items() if kind in listener.lists}
        honoured |= {"resourceSubscriptions": uris} if uris else {}
        honoured |= {"taskIds": task_ids} if task_ids else {}
        if listener.lists:
            await self._watch_methods(0)
        listener.notify("notifications/subscriptions/acknowledged", {"notifications": honoured})
        self._announcements.listeners.append(listener)
        try:
            async with anyio.create_task_group() as tasks_of_call:
                following = Background(tasks_of_call)
                for uri in uris:
                    following.start_soon(self._tell_of, uri, listener.notify, anyio.CancelScope())
                for task_id in task_ids:
                    following.start_soon(self._tell_of_task, task_id, listener)
                await anyio.sleep_forever()
        finally:
            self._announcements.listeners.remove(listener)
        raise AssertionError("unreachable")

    async def _tell_of(self, uri: str, notify: Callable[[str, Json], None], scope: anyio.CancelScope) -> None:
        """Tell of a resource each time it has changed. Only a run's changes by itself."""
        run_id = run_id_of(uri)
        with scope:
            if run_id is not None:
                async for _ in self._steps(run_id):
                    notify("notifications/resources/updated", {"uri": uri})

    async def _tell_of_task(self, task_id: str, listener: _Listener) -> None:
        async for record in self._steps(task_id):
            task = await self._task_of(task_id) if tasks.has_ended(record) else tasks.modern_task(record)
            listener.notify("notifications/tasks", task)

    async def _steps(self, run_id: str) -> AsyncIterator[Mapping[str, Any]]:
        """The run's record, at each further event of it."""
        try:
            ref = RunRef(run_id=run_id)
            ledger, record = await runs.found(self._services, ref)
            after = record.event_count
            if record.state.is_final:
                yield await runs.get(self._services, ref)
                return
            async for event in ledger.watch(run_id, after):
                if event.kind == "run_ended" or event.kind.startswith("pipe"):
                    yield await runs.get(self._services, ref)
        except (ProblemError, ValidationError) as error:
            logger.debug("the run %s cannot be followed: %s", run_id, error)
        except Exception:
            # One run that cannot be followed must not end the others' telling, nor the server.
            logger.exception("the run %s cannot be followed", run_id)


def missing_tasks_extension() -> McpFault:
    """The refusal of a client that did not declare the tasks extension (SEP-2663)."""
    return McpFault(
        MISSING_CAPABILITY,
        "Missing required client capability",
        {"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}},
    )


def _texts(asked: Mapping[str, Any], name: str) -> list[str]:
    value = asked.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or len(value) > _MOST:
        raise McpFault(INVALID_PARAMS, f"`{name}` must be an array of at most {_MOST} strings.")
    return list(dict.fromkeys(value))
