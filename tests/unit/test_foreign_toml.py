"""TOML that a stranger wrote: one kind of fault, and time that grows with the length alone."""

import contextlib

import pytest
import tomli
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.foreign_toml import MAX_KEY_PARTS, BadToml, parse_toml, parse_toml_bytes

LONG_KEY = ".".join(["a"] * 1001)
DEEP = "[" * 2000
LONG_NUMBERS = [
    "9" * 5000,
    "-" + "9" * 5000,
    "+1_" + "9" * 5000,
    "0x" + "f" * 5000,
    "0o" + "7" * 5000,
    "0b" + "1" * 5000,
]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = [", "Invalid"),
        (f"{LONG_KEY} = 1", "more than 20 parts"),
        (f"[{LONG_KEY}]", "more than 20 parts"),
        (f"[[ {LONG_KEY} ]]", "more than 20 parts"),
        ("x = 1\n" + " . ".join(['"a b"', "'c'"] * 40) + " = 1", "more than 20 parts"),
        ("x = {" + LONG_KEY + " = 1}", "more than 20 parts"),
        ("x = [1, {y = 1, " + LONG_KEY + " = 1}]", "more than 20 parts"),
        ('x = """\n\\"""" # "\n' + LONG_KEY + " = 1", "more than 20 parts"),
        (f"a = {DEEP}", "nest too deeply"),
        ("a = " + "[{b = " * 300, "nest too deeply"),
        *((f"a = {number}", "more than 1000 digits") for number in LONG_NUMBERS),
        *((f"a = [1, {{b = {number}}}]", "more than 1000 digits") for number in LONG_NUMBERS),
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
    assert (caught.value.line, caught.value.column) == (3, 2)

    with pytest.raises(BadToml) as caught:
        parse_toml("a = 1\nb = {c = 0x" + "f" * 5000 + "}")
    assert (caught.value.line, caught.value.column) == (2, 10)


@pytest.mark.parametrize("quote", ['"""', "'''", '"', "'", "# "])
@pytest.mark.parametrize("words", [LONG_KEY, "0x" + "f" * 5000, "9" * 5000])
def test_strings_and_comments_hold_what_they_like(quote: str, words: str) -> None:
    text = f"{words} = 1" if len(quote) < 3 else f"\n{words} = 1\n"
    value = f"{quote}{text}{quote}" if quote != "# " else f'"" {quote}{text}'

    assert parse_toml(f"a = {value}\nb = 1") == {"a": text.lstrip("\n") if quote != "# " else "", "b": 1}


def test_long_names_and_long_fractions_are_read() -> None:
    name, fraction = "a" * 5000, "0." + "1" * 5000

    assert parse_toml(f"{name} = {fraction}\n[t.{name}]") == {name: float(fraction), "t": {name: {}}}


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


@given(st.text(alphabet="ab\"'\n\\ #\r", max_size=12), st.sampled_from(['"', "'", '"""', "'''", "# ", ""]))
def test_no_string_or_comment_hides_what_comes_after_it(content: str, quote: str) -> None:
    before = f"a = 1 {quote}{content}" if quote in ("# ", "") else f"a = {quote}{content}{quote}"
    try:
        tomli.loads(before)
    except ValueError:
        assume(False)

    with pytest.raises(BadToml, match="more than 20 parts"):
        parse_toml(f"{before}\n{LONG_KEY} = 1")


@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        '""."',
        "'''",
        '"""',
        '""',
        '" ',
        "#",
        "0x",
        "\\",
        "a\\\n",
        '"',
        "a",
        '"\\',
        "'a'.",
        "[",
        "a.\n",
        "[ ",
        '"a" . ',
        "\t",
        "\r",
    ],
)
def test_a_million_bytes_of_anything_come_to_an_end(piece: str) -> None:
    with contextlib.suppress(BadToml):
        parse_toml(piece * (1_000_000 // len(piece)))
