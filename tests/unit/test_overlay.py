"""Laying one document of settings over another."""

from schemas.overlay import lay_over


def test_tables_are_merged_and_other_values_are_replaced() -> None:
    below = {"a": {"x": 1, "y": [1]}, "b": 1}

    lay_over(below, {"a": {"y": [2], "z": {"deep": True}}, "b": {"now": "a table"}})

    assert below == {"a": {"x": 1, "y": [2], "z": {"deep": True}}, "b": {"now": "a table"}}


def test_what_is_laid_over_is_not_changed_by_the_next_document() -> None:
    first = {"a": {"x": 1}}
    merged: dict[str, object] = {}
    lay_over(merged, first)

    lay_over(merged, {"a": {"x": 2}})

    assert first == {"a": {"x": 1}}
