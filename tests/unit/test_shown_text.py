"""What others wrote is shown without what cannot be seen, and not at any length."""

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.shown_text import escaped, fit, fit_line, fit_text, is_fit

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# They are seen: numbers and signs of Arabic, Syriac, Kaithi and Egyptian, and shorthand, that surround what follows.
SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13460)}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;owned\x07b\x9bc", "a]0;ownedbc"),
        ("\u202eexe.\u2066txt\u2069\u061c\u200e\u200f", "exe.txt"),
        ("hid\u200bden\u2060 \ufeffwords\u00ad", "hidden words"),
        ("say \U000e0049\U000e0047\U000e004e\U000e0001", "say "),
        ("a\U000e0100\U000e01efb\ufe01\u3164\u115f\u034f", "ab"),
        ("a\u200cb\u200d\u200dc\ufe0f\ufe0f", "abc\ufe0f"),
        ("one\r\ntwo\rthree\u2028four\x85five\tsix", "one\ntwo\nthree\nfour\nfive\tsix"),
        ("half \ud83d", "half \ufffd"),
    ],
)
def test_what_cannot_be_seen_is_dropped(text: str, shown: str) -> None:
    assert fit_text(text) == shown


@pytest.mark.parametrize("text", ["👨‍👩‍👧 ❤️ 1️⃣ 🏳️‍🌈", "می‌خواهم", "क्‍ष", "naïve “quotes” – 中文", "x\n\ty"])
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert fit_text(text) == text


@given(st.text())
@example("\u200c\U000e0041\u200d")
def test_no_text_keeps_what_is_invisible(text: str) -> None:
    for char in fit_text(text, None):
        is_joiner = char in "\u200c\u200d"
        assert char in "\n\t" or is_joiner or ord(char) in SEEN or unicodedata.category(char) not in INVISIBLE


@given(st.text(), st.integers(1, 30))
def test_no_text_is_longer_than_it_may_be(text: str, most: int) -> None:
    assert len(fit_text(text, most)) <= most
    assert len(fit_line(text, most)) <= most
    assert "\n" not in fit_line(text, most)


@given(st.text(), st.integers(1, 30))
def test_what_is_fit_stays_so(text: str, most: int) -> None:
    assert fit_text(fit_text(text, most), most) == fit_text(text, most)
    assert is_fit(fit_line(text, most), most)


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    assert fit_line("word " * 100_000) == ("word " * 40)[:199] + "…"
    assert fit_text("x" * 1_000_000, 10) == "xxxxxxxxx…"


def test_every_text_of_a_json_value_is_fit() -> None:
    assert fit({"a\u200b": ["b\x1b", 1, None, True, {"c": "d\u202e"}]}) == {"a": ["b", 1, None, True, {"c": "d"}]}


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_an_escaped_json_text_means_the_same(value: object) -> None:
    text = escaped(json.dumps(value, ensure_ascii=False))

    assert json.loads(text) == value
    assert fit_text(text, None) == text
