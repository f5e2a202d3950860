"""Whether any worker takes up runs."""

import time
from collections.abc import Iterable, Sequence

from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListWorkersRequest
from temporalio.client import Client
from temporalio.service import RPCError

from orchestrators.temporal.connection import Connection
from orchestrators.temporal.history import seconds_of
from orchestrators.temporal.names import RUNS
from orchestrators.temporal.sdk_runtime import WORKER_BEAT_S

_BEATS_MISSED = 4
_FRESH_S = _BEATS_MISSED * WORKER_BEAT_S
# The last question of a worker that stops, and its last beat, come in either order.
_BEHIND_S = 1.0
# A worker asks for work at least once in that time; Temporal remembers for longer that it did.
_ASKED_WITHIN_S = 70.0


async def any_worker(connection: Connection) -> bool:
    """Whether a worker takes up runs of the task queue. Raises `ProblemError`.

    Workers say every `WORKER_BEAT_S` that they live, by their own clock, and for the first time that long after they
    began. Until then it counts that they asked for work. A server too old to keep beats remembers only who asked, so
    that there a dead worker is missed only after a minute.
    """

    async def ask(client: Client) -> bool:
        beats = await _beats(client, connection.settings.task_queue)
        now = time.time()
        if any(_is_working(beat, now) for beat in beats):
            return True
        return _asks_for_work(await _pollers(client, connection.settings.task_queue), beats, now)

    return await connection.call(ask)


def _is_working(beat: WorkerHeartbeat, now: float) -> bool:
    return beat.status == WorkerStatus.WORKER_STATUS_RUNNING and seconds_of(beat.heartbeat_time) >= now - _FRESH_S


def _asks_for_work(pollers: Iterable[PollerInfo], beats: Sequence[WorkerHeartbeat], now: float) -> bool:
    """Whether a worker asked for work lately, and since its last beat: that may be one of an earlier process."""
    since = now - (_FRESH_S if beats else _ASKED_WITHIN_S)
    last: dict[str, float] = {}
    for beat in beats:
        last[beat.worker_identity] = max(last.get(beat.worker_identity, 0.0), seconds_of(beat.heartbeat_time))
    return any(
        seconds_of(one.last_access_time) > max(since, last.get(one.identity, 0.0) + _BEHIND_S) for one in pollers
    )


async def _beats(client: Client, task_queue: str) -> list[WorkerHeartbeat]:
    """What the workers that take up runs have said last; none where the server is too old to keep it."""
    beats: list[WorkerHeartbeat] = []
    request = ListWorkersRequest(namespace=client.namespace, query=f"TaskQueue='{task_queue}'")
    while True:
        try:
            found = await client.workflow_service.list_workers(request)
        except RPCError:
            return []
        beats += (worker.worker_heartbeat for worker in found.workers_info)
        if not found.next_page_token:
            return [beat for beat in beats if beat.worker_identity.endswith(f" {RUNS}")]
        request.next_page_token = found.next_page_token


async def _pollers(client: Client, task_queue: str) -> list[PollerInfo]:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    found = await client.workflow_service.describe_task_queue(request)
    return [poller for poller in found.pollers if poller.identity.endswith(f" {RUNS}")]
