"""One text for one value, so that it can be compared by its SHA-256."""

import hashlib
import json
from typing import Any

from schemas.method_source import MethodSource


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest_of(method: MethodSource) -> str:
    """The SHA-256 of a method's content, in hexadecimal."""
    content = method.model_dump(mode="json", exclude={"origin"})
    return hashlib.sha256(canonical_json(content)).hexdigest()
