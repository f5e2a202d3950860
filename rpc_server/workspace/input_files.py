"""Files among a run's inputs: each `{path}` becomes a document or an image that carries its bytes."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from rpc_server.workspace.paths import FileReader

_FILE_KEYS = frozenset({"path", "mime_type", "filename"})
# What Python's own table lacks in some versions.
_MORE_TYPES = {".webp": "image/webp", ".md": "text/markdown", ".avif": "image/avif"}


def holds_file(value: Any) -> bool:
    """Whether a file of the workspace is named anywhere in an input."""
    if _is_file(value):
        return True
    if _is_envelope(value) and not _carries_a_file(value):
        return False
    items: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(holds_file(item) for item in items)


def inlined(value: Any, name: str, files: FileReader) -> Any:
    """An input with its files in it. Raises as `files` does."""
    if _is_file(value):
        filename = value.get("filename") or value["path"].rsplit("/", 1)[-1]
        return document_of(filename, files.read(value["path"], name), value.get("mime_type"))
    if _is_envelope(value) and not _carries_a_file(value):
        return value
    if isinstance(value, dict):
        return {key: inlined(item, name, files) for key, item in value.items()}
    if isinstance(value, list):
        return [inlined(item, name, files) for item in value]
    return value


def _is_file(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "path" in value
        and value.keys() <= _FILE_KEYS
        and all(isinstance(item, str) for item in value.values())
    )


def _is_envelope(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"concept", "content"}


def _carries_a_file(envelope: Mapping[str, Any]) -> bool:
    """Whether `{path}` in this envelope means a file; in any other it may be the field of a concept."""
    concept = envelope["concept"]
    return isinstance(concept, str) and concept.rsplit(".", 1)[-1] in ("Document", "Image")


def document_of(filename: str, data: bytes, mime_type: str | None = None) -> dict[str, str]:
    """A file in the shape that Pipelex's Document and Image share; the type is guessed from the name unless given."""
    mime_type = mime_type or _mime_type(filename)
    encoded = base64.b64encode(data).decode("ascii")
    return {"url": f"data:{mime_type};base64,{encoded}", "filename": filename, "mime_type": mime_type}


def _mime_type(filename: str) -> str:
    # A table of our own: the machine's would make the same run differ from one machine to the next.
    from mimetypes import MimeTypes

    suffix = "." + filename.rsplit(".", 1)[-1].lower()
    return _MORE_TYPES.get(suffix) or MimeTypes().guess_type(f"x{suffix}")[0] or "application/octet-stream"
