"""A method as it travels between processes: complete, with nothing left to read from disk."""

from typing import Annotated

from pydantic import Field

from schemas.base import Closed


class Base64File(Closed):
    """A file's bytes in padded standard Base64."""

    base64: str


FileEntry = str | Base64File
Files = dict[str, FileEntry]
"""Tree path -> the file's text, or its bytes."""


class MethodSource(Closed):
    """Exactly one of `files` (a method tree) and `mthds_contents` (loose bundles) is set."""

    files: Files | None = None
    mthds_contents: list[str] | None = None
    dependencies: Annotated[dict[str, Files], Field(default_factory=dict)]
    """The packages the method names by address, each address -> its files."""
    origin: str | None = None
    """The folder the files were read from, relative to the workspace; never a path of the host."""
    name: str | None = None
    """How its caller named it, relative to the workspace, for lists of runs."""
    entry: Annotated[str | None, Field(exclude=True)] = None
    """The bundle the caller named alone, where the tree holds more than it; never leaves the server."""

    @property
    def python_files(self) -> list[str]:
        """The paths of the Python in its trees."""
        trees = [self.files or {}, *self.dependencies.values()]
        return [path for tree in trees for path in tree if path.endswith(".py")]
