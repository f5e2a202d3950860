"""Whether anybody is there who takes runs up."""

import time

from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListWorkersRequest
from temporalio.client import Client
from temporalio.service import RPCError

from orchestrators.temporal.connection import Connection
from orchestrators.temporal.library import WORKER_BEAT_S
from orchestrators.temporal.names import RUNS

_BEATS_MISSED = 4
# A worker asks for work at least once in that time; Temporal remembers for longer that it did.
_ASKED_WITHIN_S = 70.0


async def any_worker(connection: Connection) -> bool:
    """Whether a worker takes up runs of the task queue. Raises `ProblemError`.

    Workers say every `WORKER_BEAT_S` that they live, by their own clock. A server too old to keep that still remembers
    who asked for work, so that there a dead worker is missed only after a minute.
    """

    async def ask(client: Client) -> bool:
        try:
            return await _beats(client, connection.settings.task_queue)
        except RPCError:
            return await _asks_for_work(client, connection.settings.task_queue)

    return await connection.call(ask)


async def _beats(client: Client, task_queue: str) -> bool:
    query = f"TaskQueue='{task_queue}'"
    found = await client.workflow_service.list_workers(ListWorkersRequest(namespace=client.namespace, query=query))
    since = time.time() - _BEATS_MISSED * WORKER_BEAT_S
    return any(
        worker.worker_heartbeat.status == WorkerStatus.WORKER_STATUS_RUNNING
        and worker.worker_heartbeat.worker_identity.endswith(f" {RUNS}")
        and worker.worker_heartbeat.heartbeat_time.seconds >= since
        for worker in found.workers_info
    )


async def _asks_for_work(client: Client, task_queue: str) -> bool:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    found = await client.workflow_service.describe_task_queue(request)
    since = time.time() - _ASKED_WITHIN_S
    return any(poller.last_access_time.seconds > since for poller in found.pollers)
