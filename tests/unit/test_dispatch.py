import asyncio
import logging
import subprocess
import sys
from functools import partial
from typing import Any

import anyio
import pytest

from rpc_server.calls.call_spec import CallSpec, CallTable, method_table
from rpc_server.calls.errors import to_rpc_error
from rpc_server.wire import errors
from rpc_server.wire.dispatch import Call, Dispatcher
from rpc_server.wire.messages import Params, Request
from schemas.params import RunRef
from schemas.problem import ProblemError, problem_error


def spec(name: str, handler: Any, params: Any = None) -> CallSpec:
    return CallSpec(name=name, params=params, handler=handler, summary=name, result={})


def table_of(**handlers: Any) -> CallTable:
    return method_table([spec(name, handler) for name, handler in handlers.items()])


def request(method: str, params: Params | None = None, *, is_notification: bool = False) -> Request:
    return Request(method, params, None if is_notification else 1, is_notification)


def call(method: str = "m") -> Call:
    return Call(1, method)


def now(dispatcher: Dispatcher, asked: Request) -> Any:
    return dispatcher.answer_now(asked, call(asked.method))


def test_a_plain_function_is_answered_on_the_spot() -> None:
    dispatcher = Dispatcher(table_of(m=lambda call, params: {"asked": call.method}), to_rpc_error)

    assert not dispatcher.may_wait("m")
    assert now(dispatcher, request("m")) == {"jsonrpc": "2.0", "id": 1, "result": {"asked": "m"}}


@pytest.mark.anyio
async def test_a_coroutine_function_is_waited_for() -> None:
    async def handler(call: Call, params: None) -> Any:
        await anyio.lowlevel.checkpoint()
        return "late"

    dispatcher = Dispatcher(table_of(m=handler), to_rpc_error)

    assert dispatcher.may_wait("m")
    assert await dispatcher.answer(request("m"), call()) == {"jsonrpc": "2.0", "id": 1, "result": "late"}


def test_params_reach_the_handler_as_an_instance_of_their_model() -> None:
    by_class = spec("by_class", lambda call, params: params.run_id, RunRef)
    by_name = spec("by_name", lambda call, params: params.run_id, "schemas.params:RunRef")
    dispatcher = Dispatcher(method_table([by_class], [by_name]), to_rpc_error)

    assert now(dispatcher, request("by_class", {"run_id": "r1"}))["result"] == "r1"
    assert now(dispatcher, request("by_name", ["r2"]))["result"] == "r2"
    assert by_name.params_model is RunRef


@pytest.mark.parametrize("names", [["self"], ["call", "args", "kwargs"], ["params", "method", "id"], [""], ["\ud800"]])
def test_any_param_name_is_only_a_name(names: list[str]) -> None:
    dispatcher = Dispatcher(table_of(m=lambda call, params: None), to_rpc_error)

    error = now(dispatcher, request("m", dict.fromkeys(names, 1)))["error"]

    assert error["code"] == errors.INVALID_PARAMS


def test_a_notification_has_no_answer_whatever_comes_of_it() -> None:
    def fail(call: Call, params: None) -> Any:
        raise ValueError

    dispatcher = Dispatcher(table_of(m=lambda call, params: 1, fail=fail), to_rpc_error)

    assert [now(dispatcher, request(name, is_notification=True)) for name in ("m", "fail", "unknown")] == [None] * 3


def test_an_unknown_method_is_told_in_our_words() -> None:
    error = now(Dispatcher(table_of(execute=lambda call, params: 1), to_rpc_error), request("exceute"))["error"]

    assert error == errors.method_not_found("exceute", ["execute"])


def failing(error: BaseException) -> Any:
    def handler(call: Call, params: None) -> Any:
        raise error

    return handler


def test_a_problem_that_a_handler_raises_is_the_error() -> None:
    problem = problem_error("run.lost", "The run was lost.", next_step=("retry", "Again."))

    error = now(Dispatcher(table_of(m=failing(problem)), to_rpc_error), request("m"))["error"]

    assert (error["code"], error["message"], error["data"]["code"]) == (-31050, "The run was lost.", "run.lost")


def test_a_foreign_exception_goes_to_the_error_mapping() -> None:
    def mapping(error: BaseException) -> ProblemError | None:
        return problem_error("provider.failed", "D.", next_step=("retry", "A."), rpc_code=-31950)

    error = now(Dispatcher(table_of(m=failing(KeyError("k"))), partial(to_rpc_error, mapping=mapping)), request("m"))[
        "error"
    ]

    assert error["code"] == -31950


@pytest.mark.parametrize("error", [RuntimeError("inner text"), AssertionError("inner text"), TypeError("inner text")])
def test_the_text_of_an_unexpected_exception_is_not_told(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = now(Dispatcher(table_of(m=failing(error)), to_rpc_error), request("m"))

    assert answer["error"]["data"]["code"] == "runtime.unexpected"
    assert "inner text" not in str(answer)
    assert "inner text" in caplog.text


@pytest.mark.anyio
async def test_a_cancelled_call_is_answered_with_the_reason_once_its_handler_has_ended() -> None:
    steps = []

    async def handler(call: Call, params: None) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                steps.append("cleaned up")

    dispatcher = Dispatcher(table_of(m=handler), to_rpc_error)
    served = call()
    answers = []

    async def serve() -> None:
        answers.append(await dispatcher.answer(request("m"), served))
        steps.append("answered")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await anyio.wait_all_tasks_blocked()
        served.cancel(errors.cancelled())

    assert steps == ["cleaned up", "answered"]
    assert answers == [{"jsonrpc": "2.0", "id": 1, "error": errors.cancelled()}]


@pytest.mark.anyio
async def test_a_call_cancelled_before_it_began_never_waits() -> None:
    async def handler(call: Call, params: None) -> Any:
        await anyio.sleep_forever()

    served = call()
    served.cancel(errors.stopping())

    answer = await Dispatcher(table_of(m=handler), to_rpc_error).answer(request("m"), served)

    assert answer is not None
    assert answer["error"] == errors.stopping()


@pytest.mark.anyio
async def test_the_first_reason_to_cancel_is_the_one_that_is_told() -> None:
    served = call()

    served.cancel(errors.cancelled())
    served.cancel(errors.stopping())

    assert served.cancel_error == errors.cancelled()


@pytest.mark.anyio
async def test_a_handler_that_awaits_something_cancelled_fails_and_nothing_else_does() -> None:
    async def handler(call: Call, params: None) -> Any:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    answer = await Dispatcher(table_of(m=handler), to_rpc_error).answer(request("m"), call())

    assert answer is not None
    assert answer["error"]["data"]["code"] == "runtime.unexpected"


def test_a_table_may_import_a_method_when_it_is_first_called() -> None:
    class Lazy(dict[str, CallSpec]):
        asked: list[str] = []

        def __getitem__(self, name: str) -> CallSpec:
            self.asked.append(name)
            return super().__getitem__(name)

    table = Lazy(table_of(a=lambda call, params: 1, b=lambda call, params: 2))
    dispatcher = Dispatcher(table, to_rpc_error)

    now(dispatcher, request("a"))
    now(dispatcher, request("a"))

    assert table.asked == ["a"]


def test_two_methods_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="execute"):
        method_table([spec("execute", None)], [spec("execute", None)])


def test_a_first_answer_needs_neither_jsonschema_nor_pydantic() -> None:
    code = """
import sys
from rpc_server.wire.connection import serve_connection
from rpc_server.wire.dispatch import Call, Dispatcher
from rpc_server.calls.call_spec import CallSpec, method_table
from rpc_server.calls.errors import to_rpc_error
from rpc_server.wire.messages import Request
from rpc_server.signals import stop_on_signal
dispatcher = Dispatcher(method_table([CallSpec("m", None, lambda call, params: 1, "", {})]), to_rpc_error)
assert dispatcher.answer_now(Request("m", None, 1, False), Call(1, "m"))["result"] == 1
assert dispatcher.answer_now(Request("n", None, 1, False), Call(1, "n"))["error"]["code"] == -32601
print(*{"jsonschema", "pydantic", "http", "jsonrpcserver", "pipelex"} & set(sys.modules))
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"
