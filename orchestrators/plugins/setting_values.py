"""What the settings of several plugins have in common: variables in a text, and numbers in bounds."""

import re
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any
from urllib.parse import quote

from orchestrators.plugins.contract import SettingFault

_VARIABLE = re.compile(r"\$\{(\w+)\}")

Key = tuple[str, ...]


def with_variables(key: Key, text: str, environment: Mapping[str, str]) -> str:
    """`text` with each `${NAME}` replaced. Raises `SettingFault` for a variable that is not set.

    A part of a text, such as a password in a URL, is quoted as URLs want it; a text that is one variable is not.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise SettingFault(key, f"names the variable {match[1]}, which is not set")
        return environment[match[1]] if match[0] == text else quote(environment[match[1]], safe="")

    return _VARIABLE.sub(value, text)


def check_numbers(values: Mapping[str, Any], may_be_zero: Collection[Key], above: Key = ()) -> None:
    """Raise `SettingFault` for a number that is not above zero, or at least zero where it may be."""
    for name, value in values.items():
        key = (*above, name)
        if isinstance(value, Mapping):
            check_numbers(value, may_be_zero, key)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            allowed = value >= 0 if key in may_be_zero else value > 0
            if not allowed or not isfinite(value):
                raise SettingFault(key, f"must be {'zero or more' if key in may_be_zero else 'above zero'}")
