"""The portable profile: what a schema becomes, so that every host takes it."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc_server.mcp.tools.tool_schemas import (
    MAX_BYTES,
    Inexpressible,
    legal_name,
    portable_input,
    portable_output,
    shortened,
    with_original_keys,
)
from schemas import params, runs
from schemas.validation import ValidationVerdict
from tests.support.host_profile import KEY, NAME, faults_of_schema

NODE = {
    "type": "object",
    "properties": {"value": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
    "required": ["value"],
}
TEXT = {"type": "string"}


def taken(**properties: Any) -> dict[str, Any]:
    """What is left of the properties of an input."""
    schema, _ = portable_input({"type": "object", "properties": properties})
    return schema["properties"]  # type: ignore[no-any-return]


def given_back(**properties: Any) -> dict[str, Any]:
    """What is left of the properties of an output."""
    return portable_output({"type": "object", "properties": properties})["properties"]  # type: ignore[no-any-return]


def test_a_reference_is_replaced_by_what_it_means() -> None:
    schema = {
        "type": "object",
        "properties": {"part": {"$ref": "#/$defs/Part", "description": "One part"}},
        "$defs": {"Part": {"type": "object", "title": "Part", "properties": {"count": {"type": "integer"}}}},
    }

    written, _ = portable_input(schema)

    part = {"type": "object", "description": "One part", "properties": {"count": {"type": "integer"}}}
    assert written == {"type": "object", "properties": {"part": part}}


def test_a_schema_that_is_a_reference_is_what_it_means() -> None:
    written, _ = portable_input({"$ref": "#/$defs/Node", "$defs": {"Node": NODE}})

    assert written["required"] == ["value"]


def test_what_refers_to_itself_ends_as_a_free_object_at_its_second_visit() -> None:
    written, _ = portable_input({"type": "object", "properties": {"list": NODE}, "$defs": {"Node": NODE}})

    node = written["properties"]["list"]["properties"]["next"]
    assert node["properties"]["value"] == TEXT
    assert node["properties"]["next"] == {"type": "object"}


def test_what_may_be_null_is_only_optional_in_an_input() -> None:
    nullable = {"anyOf": [TEXT, {"type": "null"}], "default": None, "description": "A remark"}

    assert taken(remark=nullable) == {"remark": {"type": "string", "description": "A remark"}}
    assert taken(remark={"type": ["string", "null"]}) == {"remark": TEXT}


def test_what_may_be_null_stays_so_in_an_output() -> None:
    expected = {"anyOf": [TEXT, {"type": "null"}]}

    assert given_back(remark={"anyOf": [TEXT, {"type": "null"}], "default": None}) == {"remark": expected}
    assert given_back(remark={"type": ["string", "null"]}) == {"remark": expected}


@pytest.mark.parametrize(
    ("combined", "expected"),
    [
        ({"oneOf": [TEXT, {"type": "object"}]}, {"anyOf": [TEXT, {"type": "object"}]}),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, {"type": "number"}),
        ({"anyOf": [{"anyOf": [TEXT, {"type": "boolean"}]}, TEXT]}, {"anyOf": [TEXT, {"type": "boolean"}]}),
        ({"type": ["string", "boolean"]}, {"anyOf": [TEXT, {"type": "boolean"}]}),
        ({"allOf": [{"type": "string"}, {"minLength": 2}]}, {"type": "string", "minLength": 2}),
    ],
)
def test_combinations_become_plain_ones(combined: dict[str, Any], expected: dict[str, Any]) -> None:
    assert taken(value=combined) == {"value": expected}


def test_all_of_several_objects_is_one_object() -> None:
    one, other = ({"type": "object", "properties": {name: TEXT}, "required": [name]} for name in "ab")

    written = taken(value={"allOf": [one, other]})

    assert written["value"] == {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a", "b"]}


@pytest.mark.parametrize("unconstrained", [True, {}, {"not": {"type": ["array", "null"]}}, {"title": "Any"}])
def test_what_may_be_anything_says_so_in_types(unconstrained: Any) -> None:
    written = taken(value=unconstrained)["value"]

    assert [arm["type"] for arm in written["anyOf"]] == ["string", "number", "boolean", "object", "array"]


def test_a_list_of_anything_says_what_its_items_are() -> None:
    assert "anyOf" in taken(values={"type": "array"})["values"]["items"]


def test_only_texts_are_listed_as_choices() -> None:
    written = taken(word={"enum": ["a", "b"]}, level={"enum": [1, 2]}, fixed={"const": "x"})

    assert written["word"] == {"type": "string", "enum": ["a", "b"]}
    assert written["level"] == {"type": "integer", "description": "One of 1, 2."}
    assert written["fixed"] == {"type": "string", "enum": ["x"]}


def test_a_format_is_said_in_words_to_a_model() -> None:
    assert taken(day={"type": "string", "format": "date", "description": "Due"})["day"] == {
        "type": "string",
        "description": "Due. A date, YYYY-MM-DD.",
    }


def test_a_default_is_kept_where_json_can_say_it() -> None:
    written = taken(some={"type": "integer", "default": 3}, none={"type": "number", "default": float("inf")})

    assert written == {"some": {"type": "integer", "default": 3}, "none": {"type": "number"}}


def test_unknown_keywords_are_left_out() -> None:
    odd = {"type": "string", "title": "T", "pattern": "^(?=a)", "contentEncoding": "base64", "x-y": 1, "examples": []}

    assert taken(value=odd) == {"value": TEXT}


def test_an_illegal_key_is_renamed_in_an_input_and_comes_back() -> None:
    schema = {"type": "object", "properties": {"naïve key": TEXT, "plain": TEXT}, "required": ["naïve key"]}

    written, original_keys = portable_input(schema)

    [legal] = written["required"]
    assert KEY.fullmatch(legal)
    assert set(written["properties"]) == {legal, "plain"}
    assert with_original_keys({legal: [{legal: 1}], "plain": 2}, original_keys) == {
        "naïve key": [{"naïve key": 1}],
        "plain": 2,
    }


def test_an_illegal_key_of_an_output_is_not_promised() -> None:
    written = portable_output({"type": "object", "properties": {"ä": TEXT, "b": TEXT}, "required": ["ä", "b"]})

    assert written == {"type": "object", "properties": {"b": TEXT}, "required": ["b"]}


def test_an_output_promises_no_limits_that_a_result_could_break() -> None:
    written = portable_output(
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "additionalProperties": False}
    )

    assert written == {"type": "object", "properties": {"n": {"type": "integer"}}}


def test_a_long_description_is_cut_at_a_word() -> None:
    written = taken(value={"type": "string", "description": "word " * 400})["value"]

    assert len(written["description"]) <= 1024
    assert written["description"].endswith("word…")
    assert shortened("short") == "short"


def test_a_deep_schema_is_cut_to_what_fits() -> None:
    deep: dict[str, Any] = TEXT
    for _ in range(40):
        deep = {"type": "object", "properties": {"below": deep}}

    written, _ = portable_input(deep)

    assert not list(faults_of_schema(written, takes_null=False))


def test_a_schema_that_grows_without_end_is_cut_to_what_fits() -> None:
    wide = {"type": "object", "properties": {f"p{n}": {"$ref": f"#/$defs/D{n}"} for n in range(12)}}
    definitions = {f"D{n}": wide for n in range(12)}

    written, _ = portable_input({**wide, "$defs": definitions})

    assert set(written["properties"]) == {f"p{n}" for n in range(12)}


def test_inputs_too_large_to_describe_are_refused() -> None:
    schema = {"type": "object", "properties": {f"property_{n}": TEXT for n in range(MAX_BYTES // 20)}}

    with pytest.raises(Inexpressible) as caught:
        portable_input(schema)

    assert "bytes to describe" in caught.value.reason


def test_inputs_that_are_no_object_are_refused_and_such_an_output_is_any_object() -> None:
    with pytest.raises(Inexpressible):
        portable_input({"anyOf": [{"type": "object"}, TEXT]})

    assert portable_output({"anyOf": [{"type": "object"}, TEXT]}) == {"type": "object"}


@pytest.mark.parametrize("text", ["plain-name_1", "näme", "with space", "", "x" * 60, "a/b.c"])
def test_a_name_is_legal_and_stays_the_same(text: str) -> None:
    name = legal_name(text)

    assert NAME.fullmatch(name)
    assert name == legal_name(text)
    assert (name == text) is (text == "plain-name_1")


def test_names_that_look_alike_stay_apart() -> None:
    assert len({legal_name(text) for text in ("a b", "a/b", "a_b", "a.b")}) == 4


@pytest.mark.parametrize(
    "model",
    [params.ExecuteParams, params.StartParams, params.ValidateParams, params.RunsListParams, params.RunResultParams],
)
def test_the_params_of_our_methods_can_be_said(model: Any) -> None:
    written, original_keys = portable_input(model.model_json_schema())

    assert not list(faults_of_schema(written, takes_null=False))
    assert original_keys == {}


@pytest.mark.parametrize("model", [runs.RunResult, runs.RunRecord, runs.RunPage, runs.StartAck, ValidationVerdict])
def test_the_results_of_our_methods_can_be_said(model: Any) -> None:
    assert not list(faults_of_schema(portable_output(model.model_json_schema()), takes_null=True))


JSON_SCHEMAS = st.recursive(
    st.sampled_from(
        [{}, True, TEXT, {"type": "integer"}, {"type": ["number", "null"]}, {"enum": [1, None]}, {"const": "a"},
         {"$ref": "#/$defs/Node"}, {"type": "null"}]
    ),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda arms: {"anyOf": arms}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda arms: {"oneOf": arms}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)},
            st.dictionaries(st.text(max_size=5), inner, max_size=3),
        ),
    ),
    max_leaves=8,
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@given(
    properties=st.dictionaries(st.text(max_size=5), JSON_SCHEMAS, max_size=3),
    value=st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
)
def test_whatever_the_schema_hosts_take_it_and_an_output_refuses_nothing_more(
    properties: dict[str, Any], value: dict[str, Any]
) -> None:
    schema = {"type": "object", "properties": properties, "$defs": {"Node": NODE}}

    taken_in, _ = portable_input(schema)
    given_out = portable_output(schema)

    assert not list(faults_of_schema(taken_in, takes_null=False))
    assert not list(faults_of_schema(given_out, takes_null=True))
    if jsonschema.Draft202012Validator(schema).is_valid(value):
        jsonschema.Draft202012Validator(given_out).validate(value)
