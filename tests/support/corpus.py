"""The methods below `tests/corpus`, each with what is expected of its verdict.

A folder holds `method/`, which is the tree, `expected.toml`, and maybe `dependencies/<address>/`, each with its
`METHODS.toml`.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

ROOT = Path(__file__).resolve().parents[1] / "corpus"

WireFiles = dict[str, str | dict[str, str]]


@dataclass(frozen=True)
class CorpusMethod:
    """One method, in the shapes that requests take."""

    name: str
    files: WireFiles
    dependencies: dict[str, WireFiles]
    expected: dict[str, Any]

    @property
    def request(self) -> dict[str, Any]:
        """The params that name it."""
        return {"files": self.files, **({"dependencies": self.dependencies} if self.dependencies else {})}

    def text(self, path: str) -> str:
        """One file's text; bytes that are no UTF-8 as replacement characters."""
        entry = self.files[path]
        return entry if isinstance(entry, str) else base64.b64decode(entry["base64"]).decode("utf-8", "replace")

    def underlined(self, location: dict[str, Any]) -> str:
        """What an editor underlines for a location: its zero-based lines and UTF-16 characters, read back."""
        lines = self.text(location["file"]).replace("\r\n", "\n").split("\n")
        start, end = location["range"]["start"], location["range"]["end"]
        assert start["line"] == end["line"], location
        units = lines[start["line"]].encode("utf-16-le")
        return units[2 * start["character"] : 2 * end["character"]].decode("utf-16-le")


def corpus(kind: str) -> list[CorpusMethod]:
    """The methods of `valid` or `invalid`, by name."""
    return [_read(folder) for folder in sorted((ROOT / kind).iterdir())]


def _read(folder: Path) -> CorpusMethod:
    addresses = folder / "dependencies"
    return CorpusMethod(
        name=folder.name,
        files=_files(folder / "method"),
        dependencies={
            manifest.parent.relative_to(addresses).as_posix(): _files(manifest.parent)
            for manifest in addresses.rglob("METHODS.toml")
        },
        expected=tomli.loads((folder / "expected.toml").read_text(encoding="utf-8")),
    )


def _files(directory: Path) -> WireFiles:
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): _entry(path.read_bytes()) for path in paths}


def _entry(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}
