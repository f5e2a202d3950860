"""What fails in the background is logged, and everything else continues."""

import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from rpc_server.background import Background
from rpc_server.redaction import Redactor
from rpc_server.server import LateServices
from rpc_server.settings.layers import ConfigurationFault
from tests.support.settings import Machine

pytestmark = pytest.mark.anyio


async def test_a_task_that_fails_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    done = anyio.Event()

    async def fail(reason: str) -> None:
        raise RuntimeError(reason)

    async def go_on() -> None:
        await anyio.lowlevel.checkpoint()
        done.set()

    async with anyio.create_task_group() as tasks:
        background = Background(tasks)
        background.start_soon(fail, "out of luck", name="the unlucky one")
        background.start_soon(go_on)

    assert done.is_set()
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "the unlucky one" in record.getMessage()
    assert "out of luck" in caplog.text


async def test_a_task_in_the_background_is_cancelled_with_its_group() -> None:
    ended: list[Any] = []

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("wait")

    async with anyio.create_task_group() as tasks:
        Background(tasks).start_soon(wait)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert ended == ["wait"]


async def test_services_that_cannot_be_opened_are_an_error_of_each_call_that_needs_them(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rpc_server.bootstrap.load_plugins", _raising(RuntimeError("a bug of a plugin")))
    late = LateServices(machine.load(), Redactor({}))

    await late.keep()

    with pytest.raises(RuntimeError):
        await late.ready()
    assert "a bug of a plugin" in caplog.text
    assert "only calls that need none are served" in caplog.text


async def test_a_configuration_fault_ends_the_server_also_when_it_comes_in_a_group(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = ExceptionGroup("of a task group", [ConfigurationFault("rpc.toml", "cannot be used")])
    monkeypatch.setattr("rpc_server.bootstrap.load_plugins", _raising(fault))

    with pytest.raises(ExceptionGroup):
        await LateServices(machine.load(), Redactor({})).keep()


def _raising(error: Exception) -> Any:
    async def load(*_: Any) -> Any:
        raise error

    return load
