"""Any value of TOML at any place of a method that is valid: it is judged, and nothing unexpected fails.

A run of it takes seconds. ODD_VALUES_EXAMPLES=20000 makes it as long as one likes.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mthds.protocol.toml_emitter import render_table_layout

from tests.support.bundles import GREETING
from tests.support.client import RpcClient
from tests.support.corpus import CorpusMethod, corpus
from tests.support.durable import without_workers

EXAMPLES = int(os.environ.get("ODD_VALUES_EXAMPLES", "80"))
HERE = "the odd value stands here"
ODD = [
    *("5", "-1", "0", "1.5", "nan", "inf", "-inf", "true", "false", "1" + "0" * 30, "1" + "0" * 400, "1e400"),
    *('""', '"x"', "07:32:00", "1979-05-27", "1979-05-27T07:32:00", "1979-05-27T07:32:00Z", "[]", "{}", "[1]", "[[]]"),
    *("[{}]", "{ a = 1 }", '["x"]', '{ x = "y" }', "[07:32:00]", "{ x = 07:32:00 }", "[nan]", "{ x = { y = inf } }"),
    *("0x" + "f" * 5000, "9" * 5000, "{ " + ".".join(["a"] * 500) + " = 1 }"),
]
CONCEPT = f'{GREETING}\n[concept.C]\ndescription = "x"\n'

CALLS = ("validate", "execute", "start", "methods/inputs")

Place = tuple[str | int, ...]
Spot = tuple[CorpusMethod, str, Place]


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """Every place below a document."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in below:
        yield (*path, step)
        yield from places(inner, (*path, step))


def with_odd(text: str, path: Place, odd: str) -> str:
    """The bundle with another value at a place."""
    document = copy.deepcopy(tomli.loads(text))
    holder: Any = document
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = HERE
    return render_table_layout(template=document).replace(f'"{HERE}"', odd)


SPOTS: list[Spot] = [
    (method, file, path)
    for method in corpus("valid")
    for file, entry in method.files.items()
    if file.endswith(".mthds") and isinstance(entry, str)
    for path in places(tomli.loads(entry))
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with without_workers(tmp_path_factory.mktemp("home")) as client:
        yield client


def errors_of(server: RpcClient, call: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The faults that a verdict, or a refusal, tells."""
    if call == "validate":
        return list(server.result(call, params)["errors"])
    refusal = server.error(call, {**params, **({"orchestration_mode": "dbos"} if call == "start" else {})})
    assert refusal["data"]["code"] == "method.invalid"
    return list(refusal["data"]["errors"])


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spot=st.sampled_from(SPOTS), odd=st.sampled_from(ODD))
def test_every_value_at_every_place_gets_a_verdict(server: RpcClient, spot: Spot, odd: str) -> None:
    method, file, path = spot
    files = {**method.files, file: with_odd(method.text(file), path, odd)}

    verdict = server.result("validate", {**method.request, "files": files})

    assert verdict["is_valid"] or verdict["errors"], (path, odd)


@pytest.mark.parametrize(
    ("bundle", "underlined"),
    [
        *((f"concept = {odd}\n{GREETING}", odd) for odd in ("07:32:00", "nan", "5")),
        *((f"{CONCEPT}refines = {odd}\n", odd) for odd in ("5", "1.5", "inf")),
        (f"{CONCEPT}refines = [5]\n", "5"),
        (f'{CONCEPT}structure = {{ a = {{ type = "list", item_type = "concept", item_concept_ref = [[]] }} }}\n', "[]"),
        (GREETING.replace('template = "Hello {{ name }}"', "construct = -inf"), "-inf"),
    ],
)
@pytest.mark.parametrize("call", CALLS)
def test_what_pipelex_breaks_on_is_a_fault_at_its_place(
    server: RpcClient, call: str, bundle: str, underlined: str
) -> None:
    errors = errors_of(server, call, {"mthds_contents": [bundle]})

    assert [error["code"] for error in errors] == ["method.schema_violation"]
    place = errors[0]["location"]["range"]
    line = bundle.split("\n")[place["start"]["line"]]
    assert line[place["start"]["character"] : place["end"]["character"]] == underlined


def test_each_of_several_is_told(server: RpcClient) -> None:
    bundle = f'{CONCEPT}refines = nan\n[concept.D]\ndescription = "x"\nrefines = 5\n[concept.E]\ndescription = "x"\n'

    errors = server.result("validate", {"mthds_contents": [bundle]})["errors"]

    assert [error["location"]["field"] for error in errors] == ["concept.C.refines", "concept.D.refines"]


@pytest.mark.parametrize(
    "bad",
    [
        f"{'.'.join(['a'] * 500_000)} = 1",
        f"x = {{ {'.'.join(['a'] * 30_000)} = 1 }}",
        f"x = 0x{'f' * 5000}",
        f"x = {'9' * 5000}",
        f"x = [{{ y = 0b{'1' * 20_000} }}]",
    ],
    ids=["key", "inline key", "hexadecimal", "decimal", "binary"],
)
@pytest.mark.parametrize("call", CALLS)
def test_what_no_parser_is_given_is_a_fault_in_its_file(server: RpcClient, call: str, bad: str) -> None:
    method = next(method for method in corpus("valid") if method.name == "dependency")
    [(address, package)] = method.dependencies.items()
    loose = {"mthds_contents": [GREETING, f'{bad}\ndomain = "b"\n']}
    bundle = {**method.request, "files": {**method.files, "main.mthds": f"{bad}\n{method.text('main.mthds')}"}}
    manifest = {**method.request, "files": {**method.files, "METHODS.toml": f"{bad}\n"}}
    theirs = {path: f"{bad}\n{text}" if path.endswith(".mthds") else text for path, text in package.items()}

    told = [errors_of(server, call, params) for params in (loose, bundle, manifest)]
    told_of_package = errors_of(server, call, {**method.request, "dependencies": {address: theirs}})

    assert [
        [(error["code"], error["location"]["file"], error["location"]["line"]) for error in one] for one in told
    ] == [[("method.syntax", file, 1)] for file in ("bundle_2.mthds", "main.mthds", "METHODS.toml")]
    assert [error["code"] for error in told_of_package] == ["method.dependency_invalid"]


@pytest.mark.parametrize("bad", [f"{'.'.join(['a'] * 500_000)} = 1", f"x = 0x{'f' * 5000}"])
def test_a_package_whose_manifest_no_parser_is_given_is_refused(server: RpcClient, bad: str) -> None:
    method = next(method for method in corpus("valid") if method.name == "dependency")
    [(address, package)] = method.dependencies.items()
    dependencies = {address: {**package, "METHODS.toml": f"{bad}\n{package['METHODS.toml']}"}}

    refusals = [
        server.error(call, {**method.request, "dependencies": dependencies}) for call in CALLS if call != "start"
    ]

    assert [refusal["data"]["code"] for refusal in refusals] == ["method.package_invalid"] * 3
