"""Methods as tools: their definitions, and what a model's arguments become."""

from typing import Any

import pytest

from rpc_server.mcp.tools.arguments import example_of, fitted
from rpc_server.mcp.tools.method_index import IndexedMethod
from rpc_server.mcp.tools.method_roots import MethodRoot
from rpc_server.mcp.tools.method_tools import definition_of, inputs_of
from rpc_server.mcp.tools.tool_schemas import portable_input, portable_output
from rpc_server.workspace.workspace import Workspace
from schemas.problem import Problem, ProblemError
from schemas.results import MethodSignature
from tests.support.host_profile import faults_of_tools
from tests.support.settings import Machine

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "vip": {"type": "boolean"}},
    "required": ["name"],
}
FILE = {"type": "string", "description": "A path inside the workspace, or an http(s) URL."}


@pytest.fixture
def root(machine: Machine) -> MethodRoot:
    workspace = Workspace.of(machine.load())
    return MethodRoot(workspace, machine.project)


def method(
    root: MethodRoot, properties: dict[str, Any], required: list[str] | None = None, **told: Any
) -> IndexedMethod:
    facts: dict[str, Any] = {
        "pipe": "d.go",
        "description": "Does it",
        "inputs": {"type": "object", "properties": properties, "required": required or []},
        "output": {"type": "object", "properties": {"text": {"type": "string"}}},
        "output_concept": "native.Text",
        "output_description": "A text",
        "file_inputs": [],
        "envelopes": {},
    }
    signature = MethodSignature(**{**facts, **told})
    inputs, original_keys = portable_input(signature.inputs)
    return IndexedMethod(
        name="go",
        path="tools/go",
        title="go",
        about="About going",
        root=root,
        signature=signature,
        inputs=inputs,
        original_keys=original_keys,
        output=portable_output(signature.output),
    )


def fit(arguments: dict[str, Any], properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return fitted(arguments, {"type": "object", "properties": properties, "required": required or []})


def refused(arguments: dict[str, Any], properties: dict[str, Any], required: list[str] | None = None) -> Problem:
    with pytest.raises(ProblemError) as caught:
        fit(arguments, properties, required)
    return caught.value.problem


def test_a_definition_says_what_the_method_does_takes_and_returns(root: MethodRoot) -> None:
    tool = definition_of(method(root, {"person": PERSON}, ["person"]))

    assert tool["description"] == ("Does it. About going. Runs the AI method `tools/go`. Returns `Text`: A text.")
    assert tool["inputSchema"]["properties"] == {"person": PERSON}
    assert tool["outputSchema"]["properties"]["output"]["properties"] == {"text": {"type": "string"}}
    assert faults_of_tools([tool]) == []


def test_a_long_description_keeps_what_is_returned(root: MethodRoot) -> None:
    tool = definition_of(method(root, {}, description="word " * 500, output_description="long " * 500))

    assert len(tool["description"]) <= 1024
    assert "Runs the AI method `tools/go`. Returns `Text`: long" in tool["description"]


@pytest.mark.parametrize(
    ("schema", "given", "meant"),
    [
        (PERSON, '{"name": "Ann", "age": "7", "vip": "true"}', {"name": "Ann", "age": 7, "vip": True}),
        ({"type": "array", "items": {"type": "number"}}, "[1, 2.5]", [1, 2.5]),
        ({"type": "array", "items": PERSON}, ['{"name": "Ann"}'], [{"name": "Ann"}]),
        ({"type": "number"}, "3.5", 3.5),
        ({"type": "integer"}, 3.0, 3),
        ({"type": "integer"}, "3.0", 3),
        ({"type": "boolean"}, "false", False),
        ({"type": "string"}, 42, "42"),
        ({"type": "string"}, '{"a": 1}', '{"a": 1}'),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, "{}", "{}"),
        ({"anyOf": [{"type": "number"}, {"type": "boolean"}]}, "true", True),
        ({"type": "object"}, {"free": None}, {"free": None}),
    ],
)
def test_an_argument_is_taken_as_it_was_meant(schema: dict[str, Any], given: Any, meant: Any) -> None:
    assert fit({"value": given}, {"value": schema}) == {"value": meant}


def test_an_optional_argument_that_is_null_was_left_out() -> None:
    person = {"name": "Ann", "age": None}

    assert fit({"remark": None, "person": person}, {"remark": {"type": "string"}, "person": PERSON}) == {
        "person": {"name": "Ann"}
    }


def test_a_missing_argument_is_named_with_an_example() -> None:
    problem = refused({}, {"person": {**PERSON, "description": "Who"}}, ["person"])

    assert problem.code == "input.missing"
    assert problem.detail == "The argument 'person' is missing (Who)."
    assert """for example {"name": "text"}""" in problem.next_step.detail


def test_a_required_argument_that_is_null_is_missing() -> None:
    assert refused({"size": None}, {"size": {"type": "string"}}, ["size"]).code == "input.missing"


def test_an_unknown_argument_is_named_with_the_nearest_one() -> None:
    problem = refused({"persn": {}}, {"person": PERSON})

    assert problem.code == "input.unexpected"
    assert problem.detail == "There is no argument 'persn': the tool takes 'person'."
    assert problem.next_step.detail == "Use 'person' instead."


@pytest.mark.parametrize(
    ("given", "place", "expected"),
    [
        ({"person": "Ann"}, "person", "an object"),
        ({"person": {"name": "Ann", "age": "old"}}, "person.age", "a whole number"),
        ({"person": {"name": {}}}, "person.name", "a text"),
        ({"people": [{"name": "Ann"}, 7]}, "people[1]", "an object"),
        ({"size": "XL"}, "size", "one of 'S', 'M'"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected(given: dict[str, Any], place: str, expected: str) -> None:
    properties = {
        "person": PERSON,
        "people": {"type": "array", "items": PERSON},
        "size": {"type": "string", "enum": ["S", "M"]},
    }

    problem = refused(given, properties)

    assert problem.code == "input.invalid"
    assert f"'{place}' must be {expected}" in problem.detail


def test_an_example_of_a_date_is_a_date() -> None:
    schema, _ = portable_input({"type": "object", "properties": {"due": {"type": "string", "format": "date"}}})

    assert example_of(schema["properties"]["due"]) == "2026-01-31"


def test_an_example_fits_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"p": PERSON, "pair": {"type": "array", "items": {"type": "number"}, "minItems": 2}},
        "required": ["p", "pair"],
    }

    assert fitted(example_of(schema), schema) == {"p": {"name": "text"}, "pair": [1, 1]}


@pytest.mark.parametrize(
    ("given", "run_with"),
    [
        ("scans/page.pdf", {"path": "scans/page.pdf"}),
        ("file:///workspace/page.pdf", {"path": "file:///workspace/page.pdf"}),
        ("https://example.org/page.pdf", {"url": "https://example.org/page.pdf"}),
        ("data:image/png;base64,AA==", {"url": "data:image/png;base64,AA=="}),
        ({"path": "page.pdf"}, {"path": "page.pdf"}),
        (["a.pdf", {"url": "https://example.org/b.pdf"}], [{"path": "a.pdf"}, {"url": "https://example.org/b.pdf"}]),
    ],
)
def test_a_file_is_given_by_its_place(root: MethodRoot, given: Any, run_with: Any) -> None:
    schema = {"type": "array", "items": FILE} if isinstance(given, list) else FILE

    assert inputs_of(method(root, {"page": schema}, file_inputs=["page"]), {"page": given}) == {"page": run_with}


def test_a_content_that_a_run_takes_only_in_an_envelope_is_put_in_one(root: MethodRoot) -> None:
    takes_page = method(root, {"page": {"type": "object"}}, envelopes={"page": "native.Page"})

    assert inputs_of(takes_page, {"page": {"text": "x"}}) == {
        "page": {"concept": "native.Page", "content": {"text": "x"}}
    }


def test_renamed_keys_are_put_back(root: MethodRoot) -> None:
    odd = method(root, {"née": {"type": "object", "properties": {"übung": {"type": "string"}}}}, ["née"])
    [legal] = odd.inputs["properties"]
    [inner] = odd.inputs["properties"][legal]["properties"]

    assert inputs_of(odd, {legal: {inner: "x"}}) == {"née": {"übung": "x"}}
