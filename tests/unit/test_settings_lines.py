"""Finding the line a key is set in."""

from typing import Any

import pytest
import tomli
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from rpc_server.settings.layers import line_of

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("a = 1\nb = 2\n", ("b",), 2),
        ("a = '''\nb = 2\n'''\nb = 3\n", ("b",), 4),
        ("[t]\na = [\n  1,\n  2,\n]\n# b = 1\nb = 1\n", ("t", "b"), 7),
        ("[t]\n\n[t.u]\n'x y' = 1", ("t", "u", "x y"), 4),
        ("t = { u = { v = 1 } }", ("t", "u", "v"), 1),
        ("t.u.v = 1\r\nt.u.w = 2\r\n", ("t", "u", "w"), 2),
        ("[[t]]\na = 1\n", ("t",), 1),
        ("a = 1\n", ("b",), None),
    ],
)
def test_a_key_is_found_in_every_way_to_write_it(text: str, key: tuple[str, ...], line: int | None) -> None:
    assert line_of(text, key) == line


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_the_line_of_every_value_is_where_it_begins(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    lines = text.split("\n")

    for key, value in leaves(document):
        line = line_of(text, key)

        assert line is not None
        assert value_at(tomli.loads("\n".join(lines[:line])), key) == value
        assert value_at(tomli.loads("\n".join(lines[: line - 1])), key) is None


def leaves(document: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every value that is no table, by its key."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in document.items():
        found += leaves(value, (*above, name)) if isinstance(value, dict) else [((*above, name), value)]
    return found


def value_at(document: Any, key: tuple[str, ...]) -> Any:
    """The value of a key, or None where it is not set."""
    for name in key:
        document = document.get(name) if isinstance(document, dict) else None
    return document
