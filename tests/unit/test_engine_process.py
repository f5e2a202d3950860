"""What an engine sends, as its owner takes it: over a real socket, with whatever on the other side."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from orchestrators.engine.channel import encode
from orchestrators.engine.options import EngineOptions
from orchestrators.engines.engine_process import EngineProcess, Job

pytestmark = pytest.mark.anyio


class Engine:
    """The other side: says what a test lets it say."""

    def __init__(self, theirs: socket.socket) -> None:
        self._theirs = theirs

    async def say(self, data: bytes) -> None:
        await anyio.to_thread.run_sync(self._theirs.sendall, data)

    async def is_hung_up_on(self) -> bool:
        with anyio.move_on_after(30):
            while await anyio.to_thread.run_sync(self._theirs.recv, 65536):
                pass
            return True
        return False


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[EngineProcess, Engine]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        process = EngineProcess(EngineOptions(work_dir="/nowhere", artifacts_dir="/nowhere"), lambda line: None)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: process, sock=ours)
        engine = Engine(theirs)
        await engine.say(encode({"ready": True}))
        await process.wait_ready()
        try:
            yield process, engine
        finally:
            transport.close()


def begin(process: EngineProcess, events: list[dict[str, Any]] | None = None) -> Job:
    return process.begin("execute", {}, "", None if events is None else events.append)


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 8) + b"nonsense",
        struct.pack(">I", 100_000) + b"[" * 100_000,
        encode({}),
        encode({"id": [1]}),
        encode({"id": 1}),
        encode({"id": 1, "cancelled": True}),
        encode({"id": 1, "problem": {"code": 5}}),
        encode({"ready": 5}),
        encode({"failed": {"code": 5}}),
    ],
    ids=lambda sent: repr(sent[:40]),
)
async def test_what_is_no_message_costs_the_engine(sent: bytes) -> None:
    async with connected() as (process, engine):
        begin(process)

        await engine.say(sent)

        assert await engine.is_hung_up_on()
    assert not process.is_ready


@pytest.mark.parametrize(
    "sent",
    [encode({"id": 99, "result": 5}), encode({"id": "x", "event": 5}), encode({"pong": []}), encode({"pong": 1})],
)
async def test_what_belongs_to_no_job_is_left_out(sent: bytes) -> None:
    async with connected() as (process, engine):
        job = begin(process)

        await engine.say(sent + encode({"id": 1, "result": "done"}))
        answer = await process.outcome(job, 1.0)

    assert answer.value == "done"
    assert json.loads(answer.frame)["result"] == "done"


async def test_a_job_that_left_a_thread_behind_lets_its_engine_take_nothing_new() -> None:
    async with connected() as (process, engine):
        other, job = begin(process), begin(process)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.outcome, job, 60.0)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await engine.say(encode({"id": job.id, "cancelled": True, "busy_threads": 1}))

        assert not process.is_ready
        assert process.load == 1
        await engine.say(encode({"id": other.id, "result": "done"}))
        assert (await process.outcome(other, 1.0)).value == "done"
