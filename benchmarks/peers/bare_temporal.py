"""A peer: temporalio as it ships, a workflow with one activity that does nothing, on the Temporal server at an address.

Called with `worker` and the address, it takes up what is started. Called with `client` and the address, it does what
each line of stdin asks for; each line out is a number, times being in milliseconds.
"""

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Worker

Json = dict[str, Any]
Ask = Callable[[Client, Any], Awaitable[float]]

QUEUE = "bare"
_NOBODYS_QUEUE = "nobody"
_LOOK_S = 0.05
_PATIENCE_S = 120.0


@activity.defn(name="run")
async def run_activity(order: Json) -> Json:
    """The same back at once."""
    return order


@workflow.defn(name="run")
class Run:
    """One activity."""

    @workflow.run
    async def run(self, order: Json) -> Json:
        """What the activity makes of the order."""
        done: Json = await workflow.execute_activity(
            run_activity, order, start_to_close_timeout=timedelta(minutes=1), heartbeat_timeout=timedelta(seconds=10)
        )
        return done


async def work(client: Client) -> None:
    """Take up runs until this is killed."""
    async with Worker(client, task_queue=QUEUE, workflows=[Run], activities=[run_activity]):
        await asyncio.Event().wait()


async def answer(client: Client, answers: int) -> None:
    """Do what the lines ask for, one at a time."""
    asks: dict[str, Ask] = {
        "start": _start,
        "start_at_once": _start_at_once,
        "completed": _completed,
        "wait_until": _wait_until,
    }
    for line in sys.stdin:
        request = json.loads(line)
        os.write(answers, b"%.6f\n" % await asks[request["method"]](client, request["params"]))


async def _start(client: Client, order: Json) -> float:
    """The time until the server has taken a workflow, which nobody takes up."""
    begun = time.perf_counter()
    await _started(client, order, _NOBODYS_QUEUE)
    return (time.perf_counter() - begun) * 1000


async def _start_at_once(client: Client, orders: list[Json]) -> float:
    """The time from before the first start until all are completed."""
    count = await _completed(client, QUEUE) + len(orders)
    begun = time.perf_counter()
    await asyncio.gather(*(_started(client, order, QUEUE) for order in orders))
    await _wait_until(client, {"queue": QUEUE, "completed": count})
    return (time.perf_counter() - begun) * 1000


async def _completed(client: Client, queue: str) -> float:
    """How many workflows of a task queue are completed."""
    return (await client.count_workflows(f"TaskQueue = '{queue}' AND ExecutionStatus = 'Completed'")).count


async def _wait_until(client: Client, params: Json) -> float:
    """Wait until so many workflows of a task queue are completed. Raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE_S):
        while await _completed(client, params["queue"]) < params["completed"]:  # noqa: ASYNC110 - Temporal tells none
            await asyncio.sleep(_LOOK_S)
    return 0.0


async def _started(client: Client, order: Json, queue: str) -> None:
    await client.start_workflow("run", order, id=uuid.uuid4().hex, task_queue=queue)


async def main(answers: int, role: str, address: str) -> None:
    """Be a worker or a client."""
    # Its core would write to stdout.
    client = await Client.connect(address, runtime=Runtime(telemetry=TelemetryConfig(logging=None)))
    await (work(client) if role == "worker" else answer(client, answers))


if __name__ == "__main__":
    protocol = os.dup(1)
    os.dup2(2, 1)
    asyncio.run(main(protocol, *sys.argv[1:]))
