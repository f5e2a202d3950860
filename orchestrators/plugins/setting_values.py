"""What the settings of several plugins have in common: variables in a text, and numbers in bounds."""

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from orchestrators.plugins.contract import SettingFault
from schemas.setting_bounds import Key, number_fault

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def with_variables(key: Key, text: str, environment: Mapping[str, str]) -> str:
    """`text` with each `${NAME}` replaced. Raises `SettingFault` for a variable that is not set.

    A part of a text, such as a password in a URL, is quoted as URLs want it; a text that is one variable is not.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise SettingFault(key, f"names the variable {match[1]}, which is not set")
        return environment[match[1]] if match[0] == text else quote(environment[match[1]], safe="")

    return _VARIABLE.sub(value, text)


def check_numbers(values: Mapping[str, Any], may_be_zero: Collection[Key]) -> None:
    """Raise `SettingFault` for a number that is not above zero, or at least zero where it may be."""
    fault = number_fault(values, may_be_zero)
    if fault is not None:
        raise SettingFault(*fault)
