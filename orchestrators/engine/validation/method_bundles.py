"""A method as a validator sees it: its bundles under the names that faults are given."""

import base64
import re
from dataclasses import dataclass

from mthds.method_tree.discovery import BUNDLE_SUFFIX

from orchestrators.engine.validation.locate import Locator
from schemas.method_source import FileEntry, MethodSource
from schemas.toml_positions import TomlText

# What needs a whole tree: a package, a file beside the bundle, the rule on reserved domains.
_NEEDS_TREE = re.compile(r"->|template_file|function_name|domain\s*=\s*['\"](?:mthds|native|pipelex)\b")


@dataclass(frozen=True)
class MethodBundles:
    """The request's method, or one with stubs in place of parts of it."""

    source: MethodSource
    bundles: dict[str, FileEntry]
    """Name -> bundle: the tree path; `bundle_1.mthds`, `bundle_2.mthds` and so on for loose contents."""

    @classmethod
    def of(cls, source: MethodSource) -> "MethodBundles":
        """The method a request carries."""
        if source.mthds_contents is not None:
            loose: dict[str, FileEntry] = {
                f"bundle_{at}.mthds": text for at, text in enumerate(source.mthds_contents, start=1)
            }
            if not source.dependencies:
                return cls(source, loose)
            # Pipelex validates packages only beside a tree.
            return cls(source.model_copy(update={"mthds_contents": None, "files": loose}), loose)
        files = source.files or {}
        return cls(source, {path: files[path] for path in sorted(files) if path.endswith(BUNDLE_SUFFIX)})

    @property
    def loose_names(self) -> list[str] | None:
        """The names of loose contents, None for a tree."""
        return list(self.bundles) if self.source.mthds_contents is not None else None

    def loose_texts(self) -> list[str] | None:
        """The bundles' texts where those alone are the method: loading them is several times faster than a tree."""
        texts = [entry for entry in self.bundles.values() if isinstance(entry, str)]
        files = self.source.mthds_contents or self.source.files or {}
        is_all = 0 < len(texts) == len(files) and not self.source.dependencies
        return texts if is_all and not any(_NEEDS_TREE.search(text) for text in texts) else None

    def with_bundles(self, texts: dict[str, str]) -> "MethodBundles":
        """The same method holding these bundles, and no others."""
        if self.source.mthds_contents is not None:
            source = self.source.model_copy(update={"mthds_contents": list(texts.values())})
        else:
            others = {path: entry for path, entry in (self.source.files or {}).items() if path not in self.bundles}
            source = self.source.model_copy(update={"files": {**others, **texts}})
        return MethodBundles(source, dict(texts))

    def locator(self) -> Locator:
        """Finds places in every file of the method that is text, the bundles first."""
        files = {file: TomlText(decoded(entry)[0]) for file, entry in self.bundles.items()}
        for path, entry in (self.source.files or {}).items():
            if isinstance(entry, str):
                files.setdefault(path, TomlText(entry))
        return Locator(files or dict.fromkeys(self.source.files or {}, TomlText("")))


def decoded(entry: FileEntry) -> tuple[str, int | None]:
    """A file's text, and the offset in it of the first byte that is not UTF-8, if any."""
    if isinstance(entry, str):
        return entry, None
    data = base64.b64decode(entry.base64)
    text = data.decode("utf-8", "replace")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return text, len(data[: error.start].decode("utf-8"))
    return text, None
