"""Laying one document of settings over another."""

from collections.abc import Mapping
from typing import Any


def lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Change `below` to hold what `above` sets: tables are merged deeply, everything else is replaced."""
    for name, value in above.items():
        if isinstance(value, dict):
            if not isinstance(below.get(name), dict):
                below[name] = {}
            lay_over(below[name], value)
        else:
            below[name] = value
