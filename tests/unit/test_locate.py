"""From clues to places: the most precise one that the clues allow, and always one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.engine.validation.locate import Clues, Locator
from schemas.toml_positions import TomlText

MAIN = '''\
domain = "shop"
main_pipe = "sell"

[concept]
Basket = "A basket"

[concept.Price.structure]
amount = { type = "number", description = "How much, a Basket" }

[pipe.sell]
type = "PipeSequence"
description = "Calls estimate"
inputs = { basket = "Basket", "odd.name" = "Text" }
output = "pricing.Price[]"
steps = [
  { pipe = "estimate", result = "estimate" },
  { pipe = "pricing.estimate", result = "price" },
]

[pipe.print]
type = "PipeCompose"
template = """
{{ basket.total }}
  {% for x in %}
$total"""
'''
OTHER = """\
domain = "pricing"

[pipe.estimate]
output = "Text"

[pipe.print]
output = "Text"
"""
LOCATOR = Locator(
    {"main.mthds": TomlText(MAIN), "parts/other.mthds": TomlText(OTHER), "notes.py": TomlText("x = 1\n\ny")}
)


def place(clues: Clues) -> tuple[str, int, str]:
    """File, one-based line, and the underlined text."""
    spot = LOCATOR.locate(clues)
    text = LOCATOR.files[spot.file]
    return spot.file, text.line_and_column(spot.span.start)[0], text.text[spot.span.start : spot.span.end]


SELL = Clues(file="main.mthds", pipe="sell")


def of_sell(**clues: object) -> Clues:
    return Clues(file="main.mthds", pipe="sell", **clues)  # type: ignore[arg-type]


def test_a_field_s_value_is_underlined_without_its_quotes() -> None:
    assert place(of_sell(fields=("output",))) == ("main.mthds", 14, "pricing.Price[]")


def test_a_name_is_underlined_within_its_field() -> None:
    assert place(of_sell(fields=("output",), names=("pricing.Price",))) == ("main.mthds", 14, "pricing.Price")


def test_a_field_may_be_given_from_the_root_with_indexes_in_either_notation() -> None:
    for field in ("pipe.sell.steps.1.pipe", "pipe.sell.steps[1].pipe", "steps.1.pipe"):
        assert place(of_sell(fields=(field,))) == ("main.mthds", 17, "pricing.estimate")


def test_a_key_at_fault_is_underlined_rather_than_its_value() -> None:
    assert place(of_sell(fields=("steps.0.result",), on_key=True)) == ("main.mthds", 16, "result")


def test_a_key_with_a_dot_is_found_by_its_steps() -> None:
    wanted = of_sell(fields=(("pipe", "sell", "inputs", "odd.name"),), on_key=True)

    assert place(wanted) == ("main.mthds", 13, '"odd.name"')


def test_a_missing_field_is_at_the_nearest_thing_that_is_there() -> None:
    assert place(of_sell(fields=("steps.1.batch_as",))) == (
        "main.mthds",
        17,
        '{ pipe = "pricing.estimate", result = "price" }',
    )
    assert place(of_sell(fields=("nowhere",))) == ("main.mthds", 10, "pipe.sell")


def test_the_first_field_that_exists_wins_over_a_nearer_one_that_does_not() -> None:
    assert place(of_sell(fields=("inputs.nobody", "output"))) == ("main.mthds", 14, "pricing.Price[]")


def test_a_name_alone_is_looked_up_in_values_not_in_prose_nor_in_results() -> None:
    assert place(of_sell(names=("estimate",))) == ("main.mthds", 16, "estimate")
    assert place(of_sell(names=("price",))) == ("main.mthds", 10, "pipe.sell")


def test_a_qualified_name_counts_in_its_short_form_once_it_is_nowhere_in_full() -> None:
    assert place(of_sell(names=("pricing.estimate",))) == ("main.mthds", 17, "pricing.estimate")
    assert place(of_sell(names=("shop.estimate",))) == ("main.mthds", 16, "estimate")


def test_a_name_that_is_no_value_is_looked_up_among_the_keys() -> None:
    assert place(of_sell(names=("basket",))) == ("main.mthds", 13, "basket")


def test_a_whole_variable_is_preferred_to_a_field_of_the_same_name() -> None:
    clues = Clues(file="main.mthds", pipe="print", names=("total",))

    assert place(clues) == ("main.mthds", 25, "total")


def test_a_broken_template_is_at_the_line_on_which_it_breaks() -> None:
    assert place(Clues(file="main.mthds", pipe="print", in_template=True)) == ("main.mthds", 24, "{% for x in %}")


def test_without_a_file_the_pipe_of_the_domain_is_found() -> None:
    assert place(Clues(domain="pricing", pipe="print")) == ("parts/other.mthds", 6, "pipe.print")
    assert place(Clues(domain="shop", concept="Price")) == ("main.mthds", 7, "concept.Price.structure")


def test_with_names_alone_a_declaration_is_preferred_to_a_mention() -> None:
    assert place(Clues(names=("pricing.estimate",))) == ("parts/other.mthds", 3, "pipe.estimate")
    assert place(Clues(names=("pricing.Price",))) == ("main.mthds", 14, "pricing.Price")


def test_a_fault_of_a_dependency_is_where_the_method_names_it() -> None:
    locator = Locator({"main.mthds": TomlText('[pipe.a]\nsteps = [{ pipe = "github.com/acme/x->y.z" }]\n')})

    spot = locator.locate(Clues(file="github.com/acme/x/deep/file.mthds", pipe="a", names=("z",)))

    assert locator.files["main.mthds"].text[spot.span.start : spot.span.end] == "github.com/acme/x"


@pytest.mark.parametrize(("line", "column", "underlined"), [(1, 3, "= 1"), (3, 9, "y"), (99, 1, "y")], ids=str)
def test_a_line_and_a_column_are_underlined_to_the_end_of_the_line(line: int, column: int, underlined: str) -> None:
    assert place(Clues(file="notes.py", line=line, column=column))[2] == underlined


def test_nothing_known_is_the_start_of_the_first_bundle() -> None:
    assert place(Clues()) == ("main.mthds", 1, 'domain = "shop"')


names = st.text(st.sampled_from("ab.['\\$({")) | st.sampled_from(["pipe", "concept", "sell", "estimate", "", "."])


@given(
    file=st.none() | names,
    pipe=st.none() | names,
    fields=st.lists(names | st.lists(names).map(tuple), max_size=3).map(tuple),
    wanted=st.lists(names, max_size=3).map(tuple),
    line=st.none() | st.integers(1, 10**6),
    text=st.text(st.sampled_from("ab.=[]{}\"'#\\\n😀")),
    is_in_template=st.booleans(),
)
def test_there_is_a_place_for_any_clues_in_any_text(
    file: str | None,
    pipe: str | None,
    fields: tuple[str | tuple[str, ...], ...],
    wanted: tuple[str, ...],
    line: int | None,
    text: str,
    is_in_template: bool,
) -> None:
    locator = Locator({"a.mthds": TomlText(text), "b.mthds": TomlText(MAIN)})
    clues = Clues(file=file, pipe=pipe, fields=fields, names=wanted, line=line, column=1, in_template=is_in_template)

    spot = locator.locate(clues)

    assert 0 <= spot.span.start <= spot.span.end <= len(locator.files[spot.file].text)
