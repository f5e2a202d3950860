"""The bounds of numbers in settings: above zero, or zero and more where a setting says so."""

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

Key = tuple[str, ...]


def number_fault(values: Mapping[str, Any], may_be_zero: Collection[Key], above: Key = ()) -> tuple[Key, str] | None:
    """The key of the first number out of its bounds, and what is wrong with it; None where all are well."""
    for name, value in values.items():
        key = (*above, name)
        if isinstance(value, Mapping):
            fault = number_fault(value, may_be_zero, key)
            if fault is not None:
                return fault
        elif isinstance(value, int | float) and not isinstance(value, bool):
            allowed = value >= 0 if key in may_be_zero else value > 0
            if not allowed or not isfinite(value):
                return key, f"must be {'zero or more' if key in may_be_zero else 'above zero'}, found {value}"
    return None
