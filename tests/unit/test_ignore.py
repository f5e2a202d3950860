"""Ignore patterns: what they match is what git and `mthds` say, and hostile ones take no longer than others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mthds.method_tree.gitignore import PatternList, wildmatch

from rpc_server.workspace.ignore import BadPattern, Glob, IgnoreList

PIECES = [
    *("*", "**", "**/", "***/", "/", "a", "b", "?", "\\", "\\/", "-", "é", "]", "[", " ", "#", "!"),
    *("[ab]", "[!a]", "[^b]", "[a-b]", "[[:alpha:]]", "[[:x:]]", "[[:x]", "[a-", "[]a]", "[!]]", "[\\]]"),
    *("[[:digit:]b]", "[a-\\b]", "[:", "**\\/", "[é]", "[[:]", "[[::]]", "[a-[:alpha:]]", "[/]", "[!/]"),
]
PATTERN = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
NAME = st.text(alphabet="aab-é]c[:", min_size=1, max_size=4)
PATH = st.lists(NAME, min_size=1, max_size=4).map("/".join)


def never() -> None:
    """Time is never over."""


def verdict(patterns: PatternList, path: str, *, is_folder: bool) -> bool | None:
    match = patterns.last_match(path, is_dir=is_folder)
    return None if match is None else not match.negative


@settings(max_examples=250)
@given(pattern=PATTERN, text=PATH, is_path=st.booleans())
def test_a_pattern_matches_what_git_matches(pattern: str, text: str, is_path: bool) -> None:
    expected = wildmatch(pattern.encode(), text.encode(), pathname=is_path)

    assert Glob(pattern.encode(), is_path=is_path).matches(text.encode()) == expected


@settings(max_examples=200)
@given(
    lines=st.lists(PATTERN.map(lambda text: text + "/") | PATTERN, max_size=4),
    base=st.sampled_from(["", "a", "a/b"]),
    path=PATH,
    is_folder=st.booleans(),
)
def test_a_file_of_patterns_says_what_git_says(lines: list[str], base: str, path: str, is_folder: bool) -> None:
    data = "\r\n".join(lines).encode()
    path = f"{base}/{path}" if base else path
    expected = verdict(PatternList.make_from_bytes(data, base=base), path, is_folder=is_folder)

    assert IgnoreList.of_file(data, base, never).verdict(path, is_folder=is_folder) == expected


@pytest.mark.parametrize(
    "pattern", ["**/a/" * 150 + "b", "*a" * 500 + "b", "**/" * 300 + "b", "[!b]*" * 200, "?*" * 500]
)
def test_a_pattern_that_could_match_in_a_thousand_ways_is_tried_once(pattern: str) -> None:
    patterns = IgnoreList.of_file(pattern.encode(), "", never)

    for path in ("a/" * 400 + "a", "a" * 250):
        assert patterns.verdict(path, is_folder=False) in (None, True)


def test_text_that_takes_python_the_square_of_its_length_to_put_in_order_is_refused() -> None:
    with pytest.raises(BadPattern, match="more than 1024 bytes"):
        IgnoreList.of_file(("a" + "\u0315\u0300" * 200_000).encode(), "", never)


def test_a_long_match_can_be_stopped() -> None:
    class Over(Exception):
        pass

    def is_over() -> None:
        raise Over

    with pytest.raises(Over):
        IgnoreList.of_file(b"a*b\n" * 1000, "", is_over).verdict("a", is_folder=False)
