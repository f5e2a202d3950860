"""Standing in for faulty declarations: what others see of them, and what may come of it."""

import tomli

from orchestrators.engine.validation.stubs import Declaration, Stubs, declaration_of

FILE = "main.mthds"
TEXT = """
domain = "shop"
main_pipe = "sell"

[concept]
Basket = "A basket"

[concept.Price]
description = "What it costs"

[concept.Price.structure]
amount = { type = "number", description = "How much" }

[pipe.sell]
type = "PipeSequence"
description = "Sell a basket"
inputs = { basket = "Basket" }
output = "Price"
steps = [{ pipe = "estimate", result = "price" }]

[pipe.estimate]
type = "PipeLLM"
description = "Estimate"
inputs = { basket = "Basket" }
output = "Price"
prompt = "$basket"

[pipe.greet]
type = "PipeCompose"
description = "Greet"
output = "Text"
template = "Hello"
"""
SELL, ESTIMATE, GREET = (Declaration(FILE, "pipe", name) for name in ("sell", "estimate", "greet"))
BASKET, PRICE = (Declaration(FILE, "concept", name) for name in ("Basket", "Price"))
MAIN_PIPE = Declaration(FILE, "key", "main_pipe")


def stubs() -> Stubs:
    return Stubs({FILE: TEXT, "other.mthds": 'domain = "other"\n'})


def bundle(replaced: Stubs) -> dict[str, dict[str, dict[str, object]]]:
    texts = replaced.texts()
    assert texts is not None
    assert texts["other.mthds"] == 'domain = "other"\n'
    return tomli.loads(texts[FILE])


def test_a_pipe_s_signature_stands_in_for_it() -> None:
    replaced = stubs()

    assert replaced.replace(ESTIMATE, keeps_contract=True, removes=False)

    signature = {"description": "Estimate", "inputs": {"basket": "Basket"}, "output": "Price"}
    assert bundle(replaced)["pipe"] == {**tomli.loads(TEXT)["pipe"], "estimate": signature}


def test_where_the_contract_itself_is_faulty_a_text_stands_in() -> None:
    replaced = stubs()

    replaced.replace(ESTIMATE, keeps_contract=False, removes=False)

    assert bundle(replaced)["pipe"]["estimate"] == {"description": "Estimate", "output": "Text"}


def test_a_plain_concept_stands_in_for_one_with_a_structure() -> None:
    replaced = stubs()

    replaced.replace(PRICE, keeps_contract=False, removes=False)

    assert bundle(replaced)["concept"]["Price"] == "What it costs"


def test_nothing_stands_in_under_a_name_that_is_at_fault() -> None:
    replaced = stubs()

    replaced.replace(PRICE, keeps_contract=False, removes=True)
    replaced.replace(MAIN_PIPE, keeps_contract=False, removes=False)

    assert list(bundle(replaced)["concept"]) == ["Basket"]
    assert "main_pipe" not in bundle(replaced)


def test_a_second_replacing_changes_nothing_and_neither_does_that_of_a_domain() -> None:
    replaced = stubs()

    assert replaced.replace(GREET, keeps_contract=True, removes=False)
    assert not replaced.replace(GREET, keeps_contract=True, removes=False)
    assert not replaced.replace(Declaration(FILE, "key", "domain"), keeps_contract=False, removes=False)


def test_a_signature_causes_no_fault_in_those_that_call_the_pipe_but_in_their_runs() -> None:
    replaced = stubs()
    replaced.replace(ESTIMATE, keeps_contract=True, removes=False)

    assert not replaced.may_have_caused(SELL, alone=False, at_run=False)
    assert replaced.may_have_caused(SELL, alone=False, at_run=True)
    assert not replaced.may_have_caused(GREET, alone=False, at_run=True)
    assert replaced.may_have_caused(ESTIMATE, alone=False, at_run=False)


def test_a_changed_concept_may_cause_faults_wherever_it_is_used_in_any_number_of_steps() -> None:
    replaced = stubs()
    replaced.replace(PRICE, keeps_contract=False, removes=False)

    assert replaced.may_have_caused(ESTIMATE, alone=False, at_run=False)
    assert replaced.may_have_caused(MAIN_PIPE, alone=True, at_run=False)
    assert not replaced.may_have_caused(GREET, alone=False, at_run=False)
    assert not replaced.may_have_caused(BASKET, alone=False, at_run=False)


def test_a_fault_found_in_a_pipe_alone_is_no_consequence_of_another() -> None:
    replaced = stubs()
    replaced.replace(PRICE, keeps_contract=False, removes=False)

    assert not replaced.may_have_caused(SELL, alone=True, at_run=False)


def test_a_declaration_that_could_not_be_read_counts_as_changed() -> None:
    replaced = stubs()

    assert not replaced.replace(Declaration(FILE, "pipe", "estimate_twice"), keeps_contract=False, removes=False)
    replaced.replace(Declaration(FILE, "concept", "Text"), keeps_contract=False, removes=False)

    assert replaced.may_have_caused(GREET, alone=False, at_run=False)


def test_a_document_that_cannot_be_written_back_ends_the_replacing() -> None:
    replaced = Stubs({FILE: TEXT + "when = 2024-01-01\n"})
    replaced.replace(ESTIMATE, keeps_contract=True, removes=False)

    assert replaced.texts() is None


def test_paths_belong_to_their_pipe_concept_or_key() -> None:
    assert declaration_of(FILE, ("pipe", "sell", "steps", 0)) == SELL
    assert declaration_of(FILE, ("concept", "Price")) == PRICE
    assert declaration_of(FILE, ("main_pipe",)) == MAIN_PIPE
    assert declaration_of(FILE, ("pipe",)) is None
    assert declaration_of(FILE, ()) is None
