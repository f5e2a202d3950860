"""Counting what a method's pipes would start, on its text alone."""

import pytest

from orchestrators.engine.outline import refuse_endless
from schemas.method_source import Base64File, MethodSource
from schemas.problem import ProblemError
from tests.support.bundles import GREETING, SEQUENCE, nested

VAST_KEY = ".".join(["a"] * 500_000) + " = 1"
"""Minutes, for a parser that takes the square of its parts."""

pytestmark = pytest.mark.anyio


async def is_refused(method: MethodSource, limit: int) -> bool:
    try:
        await refuse_endless(method, limit)
    except ProblemError as error:
        return (error.problem.code, error.problem.params) == ("method.invalid", {"limit": limit})
    return False


@pytest.mark.parametrize(
    ("bundle", "pipes"),
    [
        (GREETING, 1),
        (SEQUENCE, 7),
        (nested(3), 1 + 3 + 7 + 15),
        ("", 0),
        ("no TOML", 0),
        ("a" * 2000 + " = 1", 0),
        (VAST_KEY, 0),
    ],
)
async def test_the_pipes_of_one_run_of_each_pipe_are_counted(bundle: str, pipes: int) -> None:
    method = MethodSource(mthds_contents=[bundle])

    assert not await is_refused(method, pipes)
    if pipes:
        assert await is_refused(method, pipes - 1)


@pytest.mark.parametrize("levels", [30, 3000])
async def test_pipes_that_call_others_several_times_over_are_refused_at_once(levels: int) -> None:
    assert await is_refused(MethodSource(files={"main.mthds": nested(levels)}), 20_000)


async def test_branches_outcomes_and_batches_count_and_a_pipe_that_calls_itself_ends() -> None:
    bundle = """
domain = "d"
[pipe.a]
type = "PipeParallel"
branches = [ { pipe = "b", result = "x" }, { pipe = "d.c", result = "y" } ]
[pipe.b]
type = "PipeCondition"
outcomes = { one = "c", two = "b" }
default_outcome = "a"
[pipe.c]
type = "PipeBatch"
branch_pipe_code = "elsewhere"
"""

    assert not await is_refused(MethodSource(mthds_contents=[bundle]), 20)


async def test_bundles_of_packages_and_in_base64_count() -> None:
    from base64 import b64encode

    encoded = Base64File(base64=b64encode(nested(30).encode()).decode())

    assert await is_refused(MethodSource(files={"main.mthds": encoded}), 20_000)
    method = MethodSource(files={"main.mthds": GREETING}, dependencies={"github.com/a/b": {"b.mthds": nested(30)}})
    assert await is_refused(method, 20_000)


async def test_text_that_nests_too_deep_to_be_read_counts_nothing() -> None:
    assert not await is_refused(MethodSource(mthds_contents=["a = " + "[" * 5000 + "]" * 5000]), 1)
