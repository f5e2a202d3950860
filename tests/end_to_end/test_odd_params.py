"""Any value for any param of any call: the mistake is reported as the caller's, and every call is answered.

A run of it takes seconds. ODD_PARAMS_EXAMPLES=20000 makes it as long as one likes.
"""

import json
import os
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.bundles import GREETING, SEQUENCE
from tests.support.mcp_client import TAKES_TASKS, McpClient, envelope, serve_mcp

EXAMPLES = int(os.environ.get("ODD_PARAMS_EXAMPLES", "40"))
INTERNAL_ERROR = -32603
PACKAGE = {
    "METHODS.toml": '[package]\naddress = "example.com/a/greeting"\nversion = "1.0.0"\nname = "greeting"\n'
    'description = "x"\nmain_pipe = "greet"\n',
    "main.mthds": GREETING,
}
CALLING = """
domain = "calling"
main_pipe = "go"

[pipe.go]
type = "PipeSequence"
description = "Call a package"
inputs = { name = "Text" }
output = "Text"
steps = [{ pipe = "example.com/a/greeting->greeting.greet", result = "r" }]
"""


def deep(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


def nested(kind: str, levels: int) -> str:
    """A bundle in which something nests that deep."""
    inner = {
        "parentheses": "{{ " + "(" * levels + "name" + ")" * levels + " }}",
        "blocks": "{% if name %}" * levels + "x" + "{% endif %}" * levels,
        "loops": "{% for i in name %}" * levels + "x" + "{% endfor %}" * levels,
        "filters": "{{ name" + "|upper" * levels + " }}",
    }
    if kind in inner:
        return GREETING.replace("Hello {{ name }}", inner[kind])
    if kind == "array":
        return f"{GREETING}\nx = {'[' * levels}{']' * levels}"
    if kind == "key":
        return f"{GREETING}\n{'.'.join(['a'] * levels)} = 1"
    concepts = [
        f'[concept.C{at}]\ndescription = "x"\n[concept.C{at}.structure]\n'
        f'f = {{ type = "concept", concept_ref = "greeting.C{at + 1}", description = "x", required = true }}\n'
        for at in range(min(levels, 110))
    ]
    last = f'[concept.C{len(concepts)}]\ndescription = "x"\nrefines = "Text"\n'
    return GREETING.replace('name = "Text"', 'name = "C0"') + "".join(concepts) + last


odd_numbers = st.sampled_from([0, -1, 1, 2**31, 2**63, 10**30, 10**400, 1e308, -1e308, 5e-324, 0.5])
odd_texts = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "\ud800",
        "🦀",
        "..",
        "../..",
        "/",
        "~",
        ".",
        "nan",
        "inf",
        "1",
        "true",
        "null",
        "[",
        "[]",
        "{}",
        '{"a":',
    ]
    + ["x" * 300, "x" * 5000, "a/" * 300, "a\nb", "file:///", "file:%00", "http://[::1", "data:,x", "é/ü", "__class__"]
    + ["direct", "dbos", "temporal", "direct/", "direct/x", "greet", "greeting.greet", "Text", "native.Text", "a->b.c"]
    + ["greet.mthds", "chain", "main.mthds", "METHODS.toml", "example.com/a/greeting", "example.com/../..", "COMPLETED"]
)
scalars = st.none() | st.booleans() | st.integers() | odd_numbers | odd_texts | st.text(max_size=8)
keys = (
    odd_texts | st.text(max_size=6) | st.sampled_from(["concept", "content", "path", "url", "text", "base64", "items"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
) | st.builds(deep, scalars, st.sampled_from([10, 60, 100]))

KINDS = ["parentheses", "blocks", "loops", "filters", "array", "key", "concepts"]
nests = st.builds(nested, st.sampled_from(KINDS), st.sampled_from([10, 25, 60, 100, 500, 1200]))
FIELDS = [
    "type",
    "description",
    "inputs",
    "output",
    "template",
    "steps",
    "main_pipe",
    "domain",
    "concept",
    "pipe",
    "model",
]


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007F")
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(item)}" for name, item in value.items()) + "}"
    return '"null"'


def with_line(bundle: str, field: str, value: Any, at: int) -> str:
    """The bundle with a line of it replaced, or one more, of a field that holds something odd."""
    lines = bundle.splitlines()
    lines[at % len(lines)] = f"{field} = {toml(value)}"
    return "\n".join(lines)


odd_bundles = st.builds(
    with_line, st.sampled_from([GREETING, SEQUENCE]), st.sampled_from(FIELDS), values, st.integers(0, 20)
)
CONCEPTS = [
    "Text[]",
    "Text?",
    "Number",
    "Integer",
    "Boolean",
    "Date",
    "JSON",
    "Html",
    "Page",
    "TextAndImages",
    "Anything",
]
CONCEPTS += ["Dynamic", "Image", "Image[]", "Document", "SearchResult", "Trip", "Trip[2]"]
TRIP = """
[concept.Trip]
description = "A trip"

[concept.Trip.structure]
to = { type = "text", description = "Where to", required = true }
days = { type = "integer", description = "How long" }
stops = { type = "list", item_type = "text", description = "Where else" }
mood = { choices = ["good", "bad"], description = "How" }
"""
typed = st.sampled_from(CONCEPTS).map(lambda concept: GREETING.replace('name = "Text"', f'name = "{concept}"') + TRIP)
bundles = st.sampled_from([GREETING, SEQUENCE, CALLING]) | typed | odd_bundles | nests | odd_texts
odd_files = st.dictionaries(
    st.just("main.mthds") | keys,
    bundles | st.fixed_dictionaries({"base64": odd_texts}) | st.fixed_dictionaries({"path": odd_texts}) | values,
    max_size=3,
)
manifests = st.builds(
    with_line, st.just(PACKAGE["METHODS.toml"]), st.sampled_from(["name", "x", "package"]), values, st.integers(0, 6)
)
packages = st.just(PACKAGE) | st.fixed_dictionaries({"METHODS.toml": manifests | odd_texts, "main.mthds": bundles})
inputs = st.fixed_dictionaries(
    {}, optional={"name": values | st.fixed_dictionaries({"concept": values, "content": values}), "word": values}
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "mthds_contents": st.lists(bundles, min_size=1, max_size=2),
    "files": st.fixed_dictionaries({"main.mthds": bundles}) | odd_files,
    "method": odd_texts,
    "dependencies": st.dictionaries(st.just("example.com/a/greeting") | odd_texts, packages | odd_files, max_size=2),
    "inputs": inputs | st.just({"name": "Ann"}),
    "run_mode": st.sampled_from(["live", "dry"]),
    "include": st.lists(st.sampled_from(["graph", "usage", "working_memory"]), max_size=2),
    "output_multiplicity": odd_numbers | st.booleans(),
    "timeout_s": st.just(60) | odd_numbers,
    "orchestration_mode": odd_texts,
}
"""What a param is given besides anything at all."""


def _plain_calls() -> dict[str, list[str]]:
    document = json.loads(resources.files("schemas").joinpath("openrpc.json").read_text(encoding="utf-8"))
    return {method["name"]: [param["name"] for param in method["params"]] for method in document["methods"]}


CALLS = _plain_calls()
WITH_METHOD = ["execute", "validate", "methods/inputs"]
SHAPED = ["inputs", "dependencies", "run_mode", "include", "output_multiplicity"]
"""Params that reach an engine in a form it may stumble over."""


@st.composite
def plain_calls(draw: st.DrawFn) -> tuple[str, Any]:
    """Any call with any params."""
    method = draw(st.sampled_from(sorted(CALLS)))
    names = [name for name in CALLS[method] if name != "_meta"]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
    return method, {name: draw(GOOD.get(name, values) | values) for name in chosen}


@st.composite
def method_calls(draw: st.DrawFn) -> tuple[str, Any]:
    """A call that is well formed but for what is in its method, its inputs and its packages."""
    method = draw(st.sampled_from(WITH_METHOD))
    given_as = draw(st.sampled_from(["mthds_contents", "mthds_contents", "files"]))
    chosen = draw(st.lists(st.sampled_from([name for name in SHAPED if name in CALLS[method]]), unique=True))
    params = {name: draw(GOOD[name]) for name in [given_as, *chosen]}
    if method == "validate" and "include" in params:
        params["include"] = ["graph"]
    return method, params


URIS = ["mthds://runs/", "mthds://methods/", "mthds://schemas/", "ui://", ""]
uris = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(URIS),
    odd_texts,
    st.sampled_from(["", "/output", "/artifacts/"]),
    odd_texts,
)
TEMPLATES = ["mthds://runs/{id}", "mthds://methods/{name}", "mthds://runs/{id}/artifacts/{file}"]
refs = st.fixed_dictionaries(
    {"type": st.sampled_from(["ref/prompt", "ref/resource"]) | values},
    optional={"name": st.just("run_method") | values, "uri": st.sampled_from(TEMPLATES) | values},
)
ARGUMENTS = ["method", "pipe", "id", "file", "name", "purpose"]
texts_by_argument = st.dictionaries(st.sampled_from(ARGUMENTS), odd_texts | values, max_size=2)
TOOLS = {
    "execute": "execute",
    "start": "start",
    "validate": "validate",
    "inputs_template": "methods/inputs",
    "run_status": "runs/get",
    "run_result": "runs/result",
    "cancel_run": "runs/cancel",
    "list_runs": "runs/list",
    "list_methods": "methods/list",
    "greet_mthds": "",
}


@st.composite
def mcp_calls(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(
        st.sampled_from(["tools/call"] * 3 + ["resources/read", "completion/complete", "prompts/get", "tasks", "lists"])
    )
    params: dict[str, Any]
    if kind == "tools/call":
        name = draw(st.sampled_from(sorted(TOOLS)))
        names = CALLS.get(TOOLS[name], ["name"])
        chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
        arguments = {name: draw(GOOD.get(name, values) | values) for name in chosen if name != "_meta"}
        params = {"name": name, "arguments": draw(st.just(arguments) | values)}
    elif kind == "resources/read":
        params = {"uri": draw(uris | values)}
    elif kind == "completion/complete":
        argument = st.fixed_dictionaries({"name": st.sampled_from(ARGUMENTS) | values, "value": odd_texts | values})
        context = st.fixed_dictionaries({"arguments": texts_by_argument | values}) | values
        params = {"ref": draw(refs | values), "argument": draw(argument | values), "context": draw(context)}
    elif kind == "prompts/get":
        prompts = st.sampled_from(["run_method", "fix_method", "write_method"])
        params = {"name": draw(prompts | values), "arguments": draw(texts_by_argument | values)}
    elif kind == "tasks":
        kind = draw(st.sampled_from(["tasks/get", "tasks/cancel", "tasks/update"]))
        params = {"taskId": draw(values), "inputResponses": draw(values)}
    else:
        kind = draw(st.sampled_from(["tools/list", "resources/list", "resources/templates/list", "prompts/list"]))
        params = {"cursor": draw(values)}
    return kind, envelope(params, capabilities=TAKES_TASKS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    home = tmp_path_factory.mktemp("home")
    (home / "workspace" / "chain").mkdir(parents=True)
    (home / "workspace" / "greet.mthds").write_text(GREETING)
    (home / "workspace" / "chain" / "main.mthds").write_text(SEQUENCE)
    with serve_mcp(home) as client:
        yield client


@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.lists(method_calls() | method_calls() | plain_calls() | mcp_calls(), min_size=2, max_size=8))
@example([("execute", {"mthds_contents": [nested(kind, 25)], "inputs": {"name": "a"}}) for kind in KINDS])
@example([("validate", {"mthds_contents": [nested(kind, 500)]}) for kind in KINDS])
@example([("execute", {"mthds_contents": [GREETING], "inputs": {"name": {"concept": 5, "content": "a"}}})])
@example([("validate", {"mthds_contents": ['s = [{ e = "", t = "\ud800" }]']})])
@example([("execute", {"mthds_contents": [GREETING], "inputs": {"\ud800": 1, "name": {"\ud800": 2}}})])
@example([("execute", {"mthds_contents": [GREETING], "inputs": '{"name": {"\\ud800": 2}}'})])
@example([("runs/list", {"since": "nan"}), ("runs/list", {"since": "inf"})])
@example(
    [
        (call, {"mthds_contents": [CALLING], "dependencies": {address: {**PACKAGE, "METHODS.toml": manifest}}})
        for call in ("validate", "execute", "methods/inputs")
        for address in ("example.com/a/greeting", "example.com/../..", "\x00", "example.com/" + "x" * 300)
        for manifest in (PACKAGE["METHODS.toml"], "[package", '[package]\nname = "!"', "a = " + "[" * 500 + "]" * 500)
    ]
)
def test_no_mistake_of_a_caller_is_unexpected(server: McpClient, asked: list[tuple[str, Any]]) -> None:
    ids = [server.request(method, params) for method, params in asked]

    answers = [server.answer(id_) for id_ in ids]

    unexpected = [
        (call, answer) for call, answer in zip(asked, answers, strict=True) if _is_unexpected(call[0], answer)
    ]
    assert unexpected == []


def _is_unexpected(method: str, answer: dict[str, Any]) -> bool:
    if "error" in answer:
        return bool(answer["error"]["code"] == INTERNAL_ERROR)
    problem = answer["result"].get("structuredContent", {}).get("problem") if method == "tools/call" else None
    return problem is not None and problem["code"] == "runtime.unexpected"
