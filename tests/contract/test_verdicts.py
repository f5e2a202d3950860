"""Verdicts over the corpus: each fault where its author would look, and what a pipelex-api says of the same method."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas.validation import ValidationVerdict
from tests.support.bundles import python_method
from tests.support.client import RpcClient, RpcFailed
from tests.support.corpus import CorpusMethod, corpus
from tests.support.mthds_server import serve
from tests.support.pipelex_api import PipelexApi

VALID = corpus("valid")
INVALID = corpus("invalid")
EVERY = [*VALID, *INVALID]

STOPS_EARLY = "pipelex-api stops at the first stage that finds a fault, and there at the first file or pipe"
READS_ON = "pipelex-api stops at the first syntax error of the first broken file"
SCHEMA = "Pipelex stops reading a pipe at its first fault; the language's schema tells the others"
BOTH_PLACES = "of a tree's two declarations of one pipe, pipelex-api gives a single fault without a place"
# What we tell beyond pipelex-api, and why.
TELLS_MORE = {
    "concept_cycle": STOPS_EARLY,
    "crlf_and_astral_faults": STOPS_EARLY,
    "every_phase_at_once": STOPS_EARLY,
    "key_misspelt": SCHEMA,
    "pipe_declared_twice": BOTH_PLACES,
    "pipe_unresolved_in_several_controllers": STOPS_EARLY,
    "syntax_beside_other_faults": READS_ON,
    "syntax_in_one_of_three_files": READS_ON,
    "syntax_several": READS_ON,
}
# What pipelex-api tells and we tell in another form.
TELLS_OTHERWISE = {"pipe_declared_twice": BOTH_PLACES}
# Where we underline another line than the one pipelex-api names.
STARTS_ELSEWHERE = {
    "syntax_unclosed_array": "the array's opening, not the next table",
    "syntax_unclosed_multi_line_string": "the string's opening, not the end of the file",
}
WARNS_MORE = {
    "package_manifest_broken": "pipelex-api reads over a manifest that does not parse, and then knows no entry pipe",
}
REPORT = ("pipe_io_contracts", "input_form", "output_form", "pending_signatures", "is_runnable", "default_pipe_ref")

Judge = Callable[[CorpusMethod], dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("home"), "--allow-python") as client:
        yield client


@pytest.fixture(scope="module")
def ours(server: RpcClient) -> Judge:
    return each_once(lambda method: server.result("validate", method.request))


@pytest.fixture(scope="module")
def theirs(pipelex_api: PipelexApi) -> Judge:
    def judge(method: CorpusMethod) -> dict[str, Any]:
        status, verdict = pipelex_api.post("validate", {**method.request, "views": ["input_form", "output_form"]})
        assert status == 200, verdict
        return verdict

    return each_once(judge)


def each_once(judge: Judge) -> Judge:
    """The same, asked once a method."""
    known: dict[str, dict[str, Any]] = {}
    return lambda method: known.get(method.name) or known.setdefault(method.name, judge(method))


def named(method: CorpusMethod) -> str:
    return method.name


def is_loose(method: CorpusMethod) -> bool:
    """Whether `mthds_contents` can carry it."""
    all_text = all(isinstance(entry, str) for entry in method.files.values())
    return all_text and all(path.endswith(".mthds") for path in method.files) and not method.dependencies


def facts(items: list[dict[str, Any]]) -> Counter[tuple[str, str | None, str | None]]:
    """Code, pipe and field of each fault. Pipelex gives the file as the field where it knows none; we give none."""
    places = [(item["code"], item.get("location", {})) for item in items]
    return Counter(
        (code, place.get("pipe"), place.get("field") if place.get("field") != place.get("file") else None)
        for code, place in places
    )


def syntax_lines(items: list[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(item["location"]["file"], item["location"]["line"]) for item in items if item["code"] == "method.syntax"}


@pytest.mark.parametrize("method", EVERY, ids=named)
def test_each_fault_is_where_its_author_would_look(ours: Judge, method: CorpusMethod) -> None:
    verdict = ours(method)

    ValidationVerdict.model_validate(verdict)
    assert verdict["is_valid"] == ("errors" not in method.expected)
    for kind in ("errors", "warnings"):
        places = [(item["code"], item["location"]) for item in verdict.get(kind, [])]
        assert [
            {
                "code": code,
                "file": place["file"],
                "line": place["line"],
                "column": place["column"],
                "underlined": method.underlined(place),
            }
            for code, place in places
        ] == method.expected.get(kind, [])
        assert all(place["range"]["start"]["line"] == place["line"] - 1 for _, place in places)


@pytest.mark.parametrize("method", INVALID, ids=named)
def test_an_invalid_method_has_every_fault_that_pipelex_api_finds(
    ours: Judge, theirs: Judge, method: CorpusMethod
) -> None:
    our_errors, their_errors = ours(method)["errors"], theirs(method)["errors"]

    assert (facts(their_errors) <= facts(our_errors)) == (method.name not in TELLS_OTHERWISE)
    assert (facts(our_errors) <= facts(their_errors)) == (method.name not in TELLS_MORE)
    assert (syntax_lines(their_errors) <= syntax_lines(our_errors)) == (method.name not in STARTS_ELSEWHERE)


@pytest.mark.parametrize("method", INVALID, ids=named)
def test_suggested_fixes_and_suggestions_are_those_of_pipelex_api(
    ours: Judge, theirs: Judge, method: CorpusMethod
) -> None:
    def helps(items: list[dict[str, Any]]) -> list[str]:
        fixes = [item["suggested_fix"] for item in items if "suggested_fix" in item]
        suggestions = [item["params"]["suggestions"] for item in items if item.get("params", {}).get("suggestions")]
        return [json.dumps(help, sort_keys=True) for help in [*fixes, *suggestions]]

    assert set(helps(theirs(method)["errors"])) <= set(helps(ours(method)["errors"]))


@pytest.mark.parametrize("method", VALID, ids=named)
def test_a_valid_method_has_the_report_of_pipelex_api(ours: Judge, theirs: Judge, method: CorpusMethod) -> None:
    our_report, their_report = ours(method), theirs(method)

    assert their_report["is_valid"]
    assert {name: our_report.get(name) for name in REPORT} == {name: their_report.get(name) for name in REPORT}
    statuses = [
        {pipe["pipe_ref"]: pipe["status"] for pipe in report["validated_pipes"]}
        for report in (our_report, their_report)
    ]
    assert statuses[0] == statuses[1]
    assert our_report["pending_signatures"] == method.expected.get("pending_signatures", [])
    same_warnings = facts(our_report["warnings"]) == facts(their_report["warnings"])
    assert same_warnings == (method.name not in WARNS_MORE)


@pytest.mark.parametrize("method", [method for method in EVERY if is_loose(method)], ids=named)
def test_loose_contents_are_judged_as_pipelex_api_judges_them(
    server: RpcClient, pipelex_api: PipelexApi, method: CorpusMethod
) -> None:
    contents = [method.text(path) for path in method.files]
    names = [f"bundle_{at}.mthds" for at in range(1, len(contents) + 1)]

    status, their_verdict = pipelex_api.post("validate", {"mthds_contents": contents, "mthds_sources": names})
    verdict = server.result("validate", {"mthds_contents": contents})

    assert status == 200
    assert verdict["is_valid"] == their_verdict["is_valid"]
    assert verdict.get("pipe_io_contracts") == their_verdict.get("pipe_io_contracts")
    assert facts(their_verdict.get("errors", [])) <= facts(verdict.get("errors", []))
    assert {item["location"]["file"] for item in verdict.get("errors", [])} <= set(names)


def test_a_graph_is_drawn_only_where_it_is_asked_for(server: RpcClient, pipelex_api: PipelexApi) -> None:
    method = next(method for method in VALID if method.name == "several_domains")

    _, their_verdict = pipelex_api.post("validate", method.request)
    with_graph = server.result("validate", {**method.request, "include": ["graph"]})
    of_one_pipe = server.result(
        "validate", {**method.request, "include": ["graph"], "graph_pipe_code": "pricing.estimate"}
    )

    assert "graph_spec" not in server.result("validate", method.request)
    drawn, their_drawn = ([node["pipe_code"] for node in v["graph_spec"]["nodes"]] for v in (with_graph, their_verdict))
    assert drawn == their_drawn
    assert [node["pipe_code"] for node in of_one_pipe["graph_spec"]["nodes"] if node["pipe_code"]] == ["estimate"]


def test_allowed_signatures_are_run_with_made_up_outputs(server: RpcClient, pipelex_api: PipelexApi) -> None:
    method = next(method for method in VALID if method.name == "only_signatures")
    request = {**method.request, "allow_signatures": True}

    _, their_verdict = pipelex_api.post("validate", request)
    verdict = server.result("validate", request)

    assert verdict["validated_pipes"] == their_verdict["validated_pipes"] != []
    assert verdict["is_runnable"] is their_verdict["is_runnable"] is False


def test_a_model_whose_key_is_missing_is_no_fault_of_the_method(server: RpcClient, pipelex_api: PipelexApi) -> None:
    """pipelex-api gives no verdict on such a method; we can, since what is missing is no part of it."""
    text = next(method for method in VALID if method.name == "llm_text").text("main.mthds")
    request = {"files": {"main.mthds": text.replace("system_prompt", 'model = "gpt-4o"\nsystem_prompt')}}

    status, problem = pipelex_api.post("validate", request)
    verdict = server.result("validate", request)

    assert (status, problem["code"]) == (501, "model.unavailable")
    assert verdict["is_valid"]


def test_a_bundle_that_pipelex_breaks_on_is_judged_by_the_language_s_schema(
    server: RpcClient, pipelex_api: PipelexApi
) -> None:
    request = {"files": {"main.mthds": 'domain = "odd"\n\n[[concept]]\nNote = "In an array"\n'}}

    status, _ = pipelex_api.post("validate", request)
    [fault] = server.result("validate", request)["errors"]

    assert status == 500
    assert (fault["code"], fault["location"]["field"]) == ("method.schema_violation", "concept")
    assert fault["location"]["line"] == 3


def test_a_package_without_a_bundle_is_refused_rather_than_judged(server: RpcClient, pipelex_api: PipelexApi) -> None:
    request = {"files": {"README.md": "# Nothing here\n"}}

    status, problem = pipelex_api.post("validate", request)
    with pytest.raises(RpcFailed) as failed:
        server.result("validate", request)

    ours = failed.value.error["data"]
    assert (ours["code"], ours["params"]) == (problem["code"], problem["params"])
    assert status == 422


def test_python_that_does_not_parse_is_a_fault_with_a_place(server: RpcClient) -> None:
    source = python_method("    return TextContent(text=word").model_dump(exclude_none=True)

    verdict = server.result("validate", {"files": source["files"]})

    [fault] = verdict["errors"]
    assert fault["code"] == "method.syntax"
    assert fault["location"]["file"] == "steps.py"
    lines = source["files"]["steps.py"].split("\n")
    assert lines[fault["location"]["range"]["start"]["line"]].strip() == "return TextContent(text=word"


def test_no_verdict_names_a_path_of_the_host(ours: Judge, tmp_path_factory: pytest.TempPathFactory) -> None:
    for method in EVERY:
        assert "/tmp/" not in json.dumps(ours(method))
        assert str(tmp_path_factory.getbasetemp()) not in json.dumps(ours(method))
