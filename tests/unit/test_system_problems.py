"""What a failure of the operating system means."""

import errno
import os

import pytest

from rpc_server.calls.errors import to_rpc_error
from schemas.system_problems import system_problem


@pytest.mark.parametrize(
    ("number", "code", "integer"),
    [
        (errno.EACCES, "runtime.misconfigured", -32603),
        (errno.EROFS, "runtime.misconfigured", -32603),
        (errno.ENOTDIR, "runtime.misconfigured", -32603),
        (errno.ENOSPC, "runtime.unavailable", -31070),
        (errno.EDQUOT, "runtime.unavailable", -31070),
        (errno.EMFILE, "runtime.unavailable", -31070),
    ],
)
def test_an_error_of_the_system_says_what_to_do_and_no_path(number: int, code: str, integer: int) -> None:
    error = to_rpc_error(OSError(number, os.strerror(number), "/home/ada/secret"))

    assert (error["code"], error["data"]["code"]) == (integer, code)
    assert "/home/ada" not in str(error)


def test_the_cause_counts() -> None:
    wrapped = RuntimeError("it failed")
    wrapped.__cause__ = PermissionError(errno.EACCES, "denied")

    problem = system_problem(wrapped)

    assert problem is not None
    assert problem.code == "runtime.misconfigured"


@pytest.mark.parametrize("error", [OSError("without a number"), ValueError("x"), FileNotFoundError(errno.ENOENT, "x")])
def test_any_other_error_is_none_of_the_system_s(error: Exception) -> None:
    assert system_problem(error) is None


def test_half_a_surrogate_pair_is_the_caller_s_mistake() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "\ud800".encode()

    assert to_rpc_error(caught.value)["data"]["code"] == "request.invalid"
