"""TOML that a stranger wrote: one kind of fault, and time that grows with the length alone."""

import contextlib

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from schemas.foreign_toml import MAX_KEY_PARTS, BadToml, parse_toml, parse_toml_bytes

LONG_KEY = ".".join(["a"] * 1001)
DEEP = "[" * 2000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = [", "Invalid"),
        (f"{LONG_KEY} = 1", "more than 20 parts"),
        (f"[{LONG_KEY}]", "more than 20 parts"),
        (f"[[ {LONG_KEY} ]]", "more than 20 parts"),
        ("x = 1\n" + " . ".join(['"a b"', "'c'"] * 40) + " = 1", "more than 20 parts"),
        ("x = {" + LONG_KEY + " = 1}", "nest too deeply"),
        (f"a = {DEEP}", "nest too deeply"),
        ("a = " + "[{b = " * 300, "nest too deeply"),
        ("a = " + "9" * 5000, "too many digits"),
        ("a = 1e999999999", None),
    ],
)
def test_whatever_is_wrong_is_one_kind_of_fault(text: str, reason: str | None) -> None:
    if reason is None:
        parse_toml(text)
        return
    with pytest.raises(BadToml, match=reason):
        parse_toml(text)


def test_a_fault_has_its_place() -> None:
    with pytest.raises(BadToml) as caught:
        parse_toml("a = 1\nb = [\n")
    assert caught.value.line == 3

    with pytest.raises(BadToml) as caught:
        parse_toml(f"a = 1\n\n[{LONG_KEY}]")
    assert (caught.value.line, caught.value.column) == (3, 1)


def test_bytes_that_are_no_text_are_a_fault() -> None:
    with pytest.raises(BadToml, match="not UTF-8"):
        parse_toml_bytes(b"\xff")


def test_a_key_of_the_longest_length_is_read() -> None:
    names = [f"k{number}" for number in range(MAX_KEY_PARTS)]

    value = parse_toml(f"[{'.'.join(names)}]\nx = 1")

    for name in names:
        value = value[name]
    assert value == {"x": 1}


@given(st.text(alphabet="ab.[]{}=\"'\n\\ #,1", max_size=60))
def test_any_other_text_is_read_as_tomli_reads_it(text: str) -> None:
    try:
        expected = tomli.loads(text)
    except ValueError:
        with pytest.raises(BadToml):
            parse_toml(text)
    else:
        assert parse_toml(text) == expected


@pytest.mark.parametrize("piece", ["a.", '"', "a", '"\\', "'a'.", "[", "a.\n", "[ ", '"a" . ', "\t", "\r"])
def test_a_million_bytes_of_anything_come_to_an_end(piece: str) -> None:
    with contextlib.suppress(BadToml):
        parse_toml(piece * (1_000_000 // len(piece)))
