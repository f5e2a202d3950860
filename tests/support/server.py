"""A small server over the real wire: its methods do what a test tells them to. Run as a module."""

from rpc_server.calls.errors import to_rpc_error
from rpc_server.transport.stdio import take_protocol_fds
from tests.support import defaults

if __name__ == "__main__":
    FDS = take_protocol_fds()

import os
import subprocess
import sys
from dataclasses import fields
from typing import Any

import anyio
from pydantic import ConfigDict, Field

from rpc_server.calls.call_spec import CallSpec, method_table
from rpc_server.redaction import Redactor
from rpc_server.signals import stop_on_signal, stop_when_orphaned
from rpc_server.transport.streams import open_streams
from rpc_server.wire.connection import Limits, serve_connection
from rpc_server.wire.dispatch import Call, Dispatcher
from schemas.params import WireParams
from schemas.problem import problem_error


class AnyParams(WireParams):
    """Whatever the test wants to have back."""

    value: Any = None
    items: list[int] | None = None
    options: dict[str, Any] | None = None


class SubtractParams(WireParams):
    """Two numbers."""

    minuend: int
    subtrahend: int


class NumbersParams(WireParams):
    """Up to five numbers."""

    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    e: int = 0


class NameParams(WireParams):
    """The name of an event."""

    name: str = Field(default="default", min_length=1)

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class CountParams(WireParams):
    """How many."""

    count: int = Field(default=1, ge=0)


class Events:
    """Named events: `wait` waits for one, `set` sets it."""

    def __init__(self) -> None:
        self._events: dict[str, anyio.Event] = {}

    def named(self, name: str) -> anyio.Event:
        return self._events.setdefault(name, anyio.Event())


def specs(events: Events) -> list[CallSpec]:
    """The methods of the test server."""

    def version(call: Call, params: None) -> Any:
        return {"version": "test"}

    def echo(call: Call, params: AnyParams) -> Any:
        return params.model_dump(mode="json", exclude={"meta"}, exclude_none=True)

    async def later(call: Call, params: AnyParams) -> Any:
        await anyio.lowlevel.checkpoint()
        return params.value

    async def wait(call: Call, params: NameParams) -> Any:
        await events.named(params.name).wait()
        return params.name

    def set_event(call: Call, params: NameParams) -> Any:
        events.named(params.name).set()

    async def stubborn(call: Call, params: NameParams) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                events.named("stubborn").set()
                await events.named(params.name).wait()

    def subtract(call: Call, params: SubtractParams) -> Any:
        return params.minuend - params.subtrahend

    def total(call: Call, params: NumbersParams) -> Any:
        return params.a + params.b + params.c + params.d + params.e

    def get_data(call: Call, params: None) -> Any:
        return ["hello", 5]

    def fail(call: Call, params: AnyParams) -> Any:
        raise problem_error("run.failed", f"It failed as asked: {params.value}.", next_step=("retry", "Ask for less."))

    async def crash(call: Call, params: AnyParams) -> Any:
        raise RuntimeError(f"a secret of the implementation: {params.value}")

    def not_json(call: Call, params: None) -> Any:
        return object()

    async def progress(call: Call, params: CountParams) -> Any:
        for seq in range(1, params.count + 1):
            if call.progress is not None:
                call.progress(seq, f"step {seq}", {"seq": seq})
        return params.count

    async def noise(call: Call, params: None) -> Any:
        print("printed \N{EM DASH}")
        sys.stdout.flush()
        os.write(1, b"written to descriptor 1\n")
        await anyio.to_thread.run_sync(lambda: subprocess.run(["echo", "said by a child"], check=True))
        return None

    async def child_files(call: Call, params: None) -> Any:
        code = "import os; print(*(os.stat(fd).st_ino for fd in range(64) if os.path.exists(f'/dev/fd/{fd}')))"
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, check=True)
        )
        return [int(inode) for inode in done.stdout.split()]

    def big(call: Call, params: CountParams) -> Any:
        return "x" * params.count

    def die(call: Call, params: None) -> Any:
        os._exit(9)

    table: list[tuple[str, Any, Any]] = [
        ("version", None, version),
        ("subtract", SubtractParams, subtract),
        ("sum", NumbersParams, total),
        ("get_data", None, get_data),
        ("update", NumbersParams, total),
        ("notify_hello", NumbersParams, total),
        ("notify_sum", NumbersParams, total),
        ("echo", AnyParams, echo),
        ("later", AnyParams, later),
        ("wait", NameParams, wait),
        ("set", NameParams, set_event),
        ("stubborn", NameParams, stubborn),
        ("fail", AnyParams, fail),
        ("crash", AnyParams, crash),
        ("not_json", None, not_json),
        ("progress", CountParams, progress),
        ("noise", None, noise),
        ("child_files", None, child_files),
        ("big", CountParams, big),
        ("die", None, die),
    ]
    return [
        CallSpec(name=name, params=params, handler=handler, summary=name, result={}) for name, params, handler in table
    ]


def limits_of(arguments: list[str]) -> Limits:
    """The limits given as `name=value`."""
    kinds: dict[str, Any] = {field.name: field.type for field in fields(Limits)}
    given = dict(argument.split("=", 1) for argument in arguments)
    return defaults.limits(**{name: kinds[name](value) for name, value in given.items()})


async def main(arguments: list[str]) -> int:
    limits = limits_of(arguments)
    stop = anyio.Event()
    dispatcher = Dispatcher(method_table(specs(Events())), to_rpc_error)
    async with open_streams(FDS, limits.max_queued_bytes) as streams, anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, stop)
        tasks.start_soon(stop_when_orphaned, stop, 0.05)
        status = await serve_connection(streams, dispatcher, limits, Redactor(os.environ).json, stop)
        tasks.cancel_scope.cancel()
    return status


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1:]))
