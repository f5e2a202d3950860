"""One text for one value, so that it can be compared by its SHA-256."""

import hashlib
import json
from typing import Any

from schemas.method_source import MethodSource
from schemas.runs import RunRequest


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest_of(method: MethodSource) -> str:
    """The SHA-256 of a method's content, in hexadecimal."""
    content = method.model_dump(mode="json", exclude={"origin", "name"})
    return hashlib.sha256(canonical_json(content)).hexdigest()


def request_digest(run: RunRequest) -> str:
    """What makes two requests the same run: everything after inlining but its id, its times and what to include."""
    content = run.model_dump(mode="json", exclude={"run_id", "created_at", "deadline", "include"})
    content["method"] = digest_of(run.method)
    return hashlib.sha256(canonical_json(content)).hexdigest()
