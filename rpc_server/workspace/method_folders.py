"""What makes up a method: its files as they travel, and where a run of it starts."""

import base64
from dataclasses import dataclass

from schemas.foreign_toml import BadToml, parse_toml
from schemas.method_source import Base64File, FileEntry, MethodSource
from schemas.problem import problem_error

MANIFEST_NAME = "METHODS.toml"
BUNDLE_SUFFIX = ".mthds"
MAX_TOML_BYTES = 1 << 20
"""Of a bundle or a manifest that the server itself reads: a hostile one of this size takes a second."""


@dataclass(frozen=True)
class TreeBounds:
    """How much one method may hold: files, and bytes in each and in all."""

    files: int
    file_bytes: int
    total_bytes: int
    pattern_s: float = 5.0
    """Seconds for matching its ignore patterns; what takes longer is no pattern of a method."""


def entry_pipe(source: MethodSource) -> str | None:
    """The pipe a run starts at because its caller named one bundle of a larger tree; None where the method decides.

    Raises `ProblemError` coded `request.pipe_unspecified` where that bundle names none.
    """
    if source.entry is None or source.files is None:
        return None
    text = source.files[source.entry]
    if not isinstance(text, str) or len(text) > MAX_TOML_BYTES:
        return None
    try:
        bundle = parse_toml(text)
    except BadToml:
        # Loading it gives the caller the fault and its place.
        return None
    domain, main_pipe = bundle.get("domain"), bundle.get("main_pipe")
    if isinstance(domain, str) and isinstance(main_pipe, str):
        return f"{domain}.{main_pipe}"
    pipes = bundle.get("pipe")
    raise problem_error(
        "request.pipe_unspecified",
        f"The bundle '{source.entry}' declares no `main_pipe`, and the request names no pipe.",
        next_step=("change_input", "Name a pipe in `pipe_code`, or give the method's folder instead of the file."),
        params={"candidates": sorted(pipes) if isinstance(pipes, dict) else []},
    )


def file_entry(data: bytes) -> FileEntry:
    """A file as it travels: its text where it is UTF-8, else its bytes in Base64."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return Base64File(base64=base64.b64encode(data).decode("ascii"))
