from typing import Any

import pytest
from pydantic import BaseModel, Field

from rpc_server.calls.binding import bind
from schemas.params import ExecuteParams, WireParams
from schemas.problem import ProblemError


class Params(WireParams):
    name: str
    options: dict[str, Any] | None = None
    items: list[int] | None = None
    size: int = Field(default=1, ge=1)


def bound(*positional: Any, **named: Any) -> Any:
    model = bind(Params, positional, named)
    assert isinstance(model, Params)
    return model


def refusal(model: type[BaseModel] | None, *positional: Any, **named: Any) -> ProblemError:
    with pytest.raises(ProblemError) as error:
        bind(model, positional, named)
    assert error.value.problem.code == "request.invalid"
    return error.value


def test_params_are_bound_by_name() -> None:
    assert bound(name="a", size=2).size == 2


def test_params_are_bound_by_position_in_the_order_of_the_fields() -> None:
    params = bound("a", {"x": 1}, [1], 5)

    assert (params.name, params.options, params.items, params.size) == ("a", {"x": 1}, [1], 5)


def test_meta_has_no_position_but_a_name() -> None:
    assert bound(name="a", _meta={"progressToken": "t"}).meta.progressToken == "t"
    assert bound("a").meta is None


def test_more_positions_than_params_are_refused() -> None:
    assert "at most 4" in refusal(Params, 1, 2, 3, 4, 5).problem.detail


def test_a_param_that_is_not_valid_is_named() -> None:
    problem = refusal(Params, name="a", size=0).problem

    assert "`size`" in problem.detail
    assert problem.params == {"field": "size"}


def test_a_fault_inside_a_param_is_named_by_its_path() -> None:
    assert "`items[1]`" in refusal(Params, name="a", items=[1, "x"]).problem.detail


def test_every_fault_is_told() -> None:
    errors = refusal(Params, size=0, items=3).problem.errors

    assert errors is not None
    assert [item.params for item in errors] == [{"field": "name"}, {"field": "items"}, {"field": "size"}]


def test_a_fault_says_what_was_expected_with_an_example() -> None:
    assert "an object, such as {}" in refusal(Params, name="a", options=3).problem.detail


def test_an_unknown_param_names_the_nearest_known_one() -> None:
    problem = refusal(ExecuteParams, pipecode="x").problem

    assert problem.detail == "There is no param `pipecode`. Did you mean `pipe_code`?"
    assert problem.errors is not None
    assert problem.errors[0].suggestions == ["pipe_code"]


@pytest.mark.parametrize("text", ['{"x": 1}', ' {"x": 1}\n'])
def test_an_object_that_came_as_a_json_text_is_read(text: str) -> None:
    assert bound(name="a", options=text).options == {"x": 1}


def test_a_json_text_is_left_alone_where_a_text_is_wanted() -> None:
    assert bound(name='{"x": 1}', items="[1, 2]").name == '{"x": 1}'


@pytest.mark.parametrize("text", ["[1", "3", "text", "[" * 100_000])
def test_a_text_that_holds_no_object_is_refused_as_what_it_is(text: str) -> None:
    assert "`options`" in refusal(Params, name="a", options=text).problem.detail


def test_no_value_of_the_caller_is_repeated() -> None:
    assert "hunter2" not in str(refusal(Params, name="a", size="hunter2").problem.to_wire())


def test_a_method_without_params_takes_none_but_meta() -> None:
    assert bind(None, (), {}) is None
    assert bind(None, (), {"_meta": {}}) is None
    assert "takes no params" in refusal(None, a=1).problem.detail
    assert "at most 0" in refusal(None, 1).problem.detail


@pytest.mark.parametrize(
    "params",
    [
        {"include": [1] * 1_000_000},
        {"include": "[" + "1," * 1_000_000 + "1]"},
        {"files": dict.fromkeys(map(str, range(1_000_000)), 1)},
        {"dependencies": {"a": dict.fromkeys(map(str, range(1_000_000)), 1)}},
    ],
)
def test_more_members_than_anything_needs_are_refused_in_one_sentence(params: dict[str, Any]) -> None:
    with pytest.raises(ProblemError) as refused:
        bind(ExecuteParams, (), params)

    assert refused.value.problem.code == "request.invalid"
    assert "has more than 20000 members" in refused.value.problem.detail


def test_inputs_may_have_any_number_of_members() -> None:
    bound = bind(ExecuteParams, (), {"inputs": dict.fromkeys(map(str, range(100_000)), [1])})

    assert isinstance(bound, ExecuteParams)
