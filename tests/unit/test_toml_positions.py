"""Places in TOML texts: right for every text that parses, harmless for every one that does not."""

from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mthds.protocol.toml_emitter import render_inline_layout, render_table_layout

from schemas.toml_positions import Path, Span, TomlText
from tests.support.corpus import corpus

BUNDLES = [
    pytest.param(method.text(path), id=f"{method.name}/{path}")
    for method in corpus("valid")
    for path in method.files
    if path.endswith(".mthds")
]

keys = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1)
scalars = st.booleans() | st.integers(-(2**31), 2**31) | st.text(st.characters(codec="utf-8"))
documents = st.dictionaries(
    keys,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)),
    max_size=5,
)


def at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def assert_places_hold_their_values(text: str) -> None:
    document = tomli.loads(text)
    toml = TomlText(text)
    for path, place in toml.places.items():
        value = at(document, path)
        if place.value is not None:
            assert tomli.loads(f"value = {text[place.value.start : place.value.end]}")["value"] == value
            assert place.is_string == isinstance(value, str)
        else:
            assert isinstance(value, dict | list)


def leaves(value: Any, path: Path = ()) -> list[Path]:
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in leaves(item, (*path, name))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [path]


@pytest.mark.parametrize("text", BUNDLES)
def test_every_value_of_a_bundle_is_found_where_it_is_written(text: str) -> None:
    assert_places_hold_their_values(text)
    assert set(leaves(tomli.loads(text))) <= set(TomlText(text).places)


# How fast documents are made depends on what else the machine does.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    documents,
    st.sampled_from([render_table_layout, lambda template: render_inline_layout(template=template, comments={})]),
)
def test_every_value_of_any_document_is_found_where_it_is_written(document: dict[str, Any], layout: Any) -> None:
    text = layout(template=document)

    assert_places_hold_their_values(text)
    assert set(leaves(tomli.loads(text))) <= set(TomlText(text).places)


@given(st.text(st.sampled_from("ab.=[]{}\"'#,\\ \t\r\n😀1")))
def test_no_text_is_too_broken_to_be_read(text: str) -> None:
    toml = TomlText(text)

    for place in toml.places.values():
        for span in filter(None, (place.key, place.value, place.body)):
            assert 0 <= span.start <= span.end <= len(text)
    for statement in toml.statements:
        toml.range_of(statement)


def test_a_table_of_an_array_belongs_to_the_element_before_it() -> None:
    toml = TomlText('[[step]]\nname = "a"\n[[step]]\nname = "b"\n[step.more]\ndeep = 1\n')

    assert toml.string_at(("step", 1, "name")) == "b"
    assert ("step", 1, "more", "deep") in toml.places
    assert ("step", 0, "more") not in toml.places


def test_a_multi_line_string_may_hold_quotes_and_what_looks_like_a_header() -> None:
    toml = TomlText('a = """\n"" [not.a.header] \\""" still """""\nb = 1\n[c]\nd = 2\n')

    assert list(toml.places) == [("a",), ("b",), ("c",), ("c", "d")]


def test_ranges_count_utf16_units_and_lines_of_any_ending() -> None:
    text = 'a = 1\r\n"😀é" = "𝔘x" # 😀\r\nb = 2'
    toml = TomlText(text)
    value = toml.places[("😀é",)].value
    assert value is not None

    found = toml.range_of(value)

    assert (found.start.line, found.start.character) == (1, 8)
    assert (found.end.line, found.end.character) == (1, 13)
    assert toml.line_and_column(value.start) == (2, 8)
    assert toml.line_and_column(text.index("b = 2")) == (3, 1)


def test_lone_surrogates_are_counted_as_one_unit() -> None:
    toml = TomlText('a = "\ud800x"')

    assert toml.range_of(Span(5, 7)).end.character == 7


@pytest.mark.parametrize(
    ("line", "column", "offset"), [(1, 1, 0), (2, 3, 6), (2, 99, 7), (3, 1, 9), (9, 9, 9)], ids=str
)
def test_a_parser_s_line_and_column_stay_inside_the_text(line: int, column: int, offset: int) -> None:
    assert TomlText("a=1\nb=2\r\n").offset_of(line, column) == offset
