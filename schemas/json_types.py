"""The type of a JSON object. Imports nothing but `typing`: the first answer waits for this module."""

from typing import Any

Json = dict[str, Any]
