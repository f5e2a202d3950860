"""`methods/inputs`: a form that runs as it is filled in, and the schema that says what may be filled in."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import tomli

from tests.support.bundles import GREETING
from tests.support.client import RpcClient, RpcFailed
from tests.support.corpus import CorpusMethod, corpus
from tests.support.mthds_server import serve

EVERY_KIND = """
domain = "forms"
main_pipe = "fill_in"

[concept]
Idea = "A thought"

[concept.Part]
description = "A part"
[concept.Part.structure]
count = { type = "integer", description = "How many", required = true }

[concept.Whole]
description = "A whole"
[concept.Whole.structure]
title = { type = "text", description = "Its name", required = true }
parts = { type = "list", item_type = "concept", item_concept_ref = "forms.Part", description = "Its parts" }

[pipe.fill_in]
description = "Takes one of each"
inputs = { text = "Text", idea = "Idea", remark = "Text?", whole = "Whole", wholes = "Whole[]", pair = "Text[2]", \
picture = "Image", number = "Number", answer = "YesNo", page = "Page" }
output = "Text"

[pipe.take_nothing]
description = "Takes nothing"
output = "Text"
"""
NAMED = [method for method in corpus("valid") if "main_pipe" in method.files.get("main.mthds", "")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcClient]:
    with serve(tmp_path_factory.mktemp("home")) as client:
        yield client


def template(server: RpcClient, **params: Any) -> dict[str, Any]:
    return server.result("methods/inputs", {"mthds_contents": [EVERY_KIND], **params})


def test_the_template_of_every_kind_of_input_fits_its_schema(server: RpcClient) -> None:
    form = template(server)

    jsonschema.Draft202012Validator.check_schema(form["schema"])
    jsonschema.Draft202012Validator(form["schema"]).validate(form["json"])
    assert form["pipe"] == "forms.fill_in"
    assert set(form["schema"]["required"]) == set(form["json"]) - {"remark"}
    assert form["json"]["whole"] == {"title": "title_value", "parts": [{"count": 0}]}
    assert len(form["json"]["pair"]) == 2


def test_the_schema_tells_a_wrong_value_and_an_unknown_input(server: RpcClient) -> None:
    form = template(server)
    validator = jsonschema.Draft202012Validator(form["schema"])

    for wrong in ({"number": "many"}, {"wholes": [{"title": 1}]}, {"pair": ["one"]}, {"nobody": 1}):
        assert not validator.is_valid({**form["json"], **wrong}), wrong
    assert validator.is_valid({**form["json"], "text": {"text": "as a content"}})


def test_the_toml_says_the_same_and_names_the_concepts(server: RpcClient) -> None:
    form = template(server)

    assert tomli.loads(form["toml"]) == form["json"]
    assert "# concept: forms.Whole[]\nwholes" in form["toml"]


@pytest.mark.parametrize("method", NAMED, ids=lambda method: method.name)
def test_a_template_runs_as_it_is(server: RpcClient, method: CorpusMethod) -> None:
    form = server.result("methods/inputs", method.request)

    run = server.result("execute", {**method.request, "inputs": form["json"], "run_mode": "dry"})

    assert run["state"] == "COMPLETED"


def test_a_pipe_without_inputs_has_an_empty_form(server: RpcClient) -> None:
    form = template(server, pipe_code="take_nothing")

    assert (form["pipe"], form["json"], form["toml"]) == ("forms.take_nothing", {}, "")


def test_an_unknown_pipe_is_refused_with_the_nearest_ones(server: RpcClient) -> None:
    with pytest.raises(RpcFailed) as failed:
        template(server, pipe_code="fill_inn")

    assert failed.value.error["data"]["code"] == "request.pipe_not_found"
    assert failed.value.error["data"]["params"]["suggestions"] == ["forms.fill_in"]


def test_an_invalid_method_is_refused_with_the_place_of_each_fault(server: RpcClient) -> None:
    with pytest.raises(RpcFailed) as failed:
        server.result("methods/inputs", {"mthds_contents": [GREETING.replace("{{ name }}", "{{ nmae }}")]})

    [fault] = failed.value.error["data"]["errors"]
    assert fault["code"] == "method.input_undeclared"
    assert fault["location"]["range"]["start"] == {"line": 9, "character": 21}
