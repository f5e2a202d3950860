"""One text for one value, so that it can be compared by its SHA-256."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from schemas.method_source import MethodSource
from schemas.runs import RunRequest


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest_of(method: MethodSource) -> str:
    """The SHA-256 of a method's content, in hexadecimal."""
    content = _content(method, {"origin", "name"}, _OF_METHODS)
    return hashlib.sha256(canonical_json(content)).hexdigest()


def request_digest(run: RunRequest) -> str:
    """The digest by which two requests are the same run: of all content but the id, the times and `include`."""
    content = _content(run, {"run_id", "created_at", "deadline", "include", "execution"}, _OF_RUNS)
    content["method"] = digest_of(run.method)
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _content(model: BaseModel, left_out: set[str], always: frozenset[str]) -> dict[str, Any]:
    """The members that count. Those that came after 0.1.0 count where they are set: its digests are kept in ledgers."""
    members = model.model_dump(mode="json", exclude=left_out)
    return {name: value for name, value in members.items() if name in always or value is not None}


_OF_METHODS = frozenset({"files", "mthds_contents", "dependencies"})
_OF_RUNS = frozenset(
    {
        "method",
        "orchestration_mode",
        "pipe_code",
        "inputs",
        "output_name",
        "output_multiplicity",
        "dynamic_output_concept_ref",
        "run_mode",
    }
)
