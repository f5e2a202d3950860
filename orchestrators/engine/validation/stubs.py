"""Stubs for faulty declarations, so that the rest of a method can be validated in the same answer.

Pipelex stops at the first stage that finds a fault. A faulty pipe is therefore replaced by its signature, which every
other pipe sees no differently, a faulty concept by a plain one, and the method is validated again. A fault that the
replacement may have caused is not reported.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import tomli
from mthds.protocol.toml_emitter import TomlEmissionError, render_table_layout

from schemas.toml_positions import Path

_WORD = re.compile(r"\w+")
_CONTRACT_KEYS = ("description", "inputs", "output")
_CONCEPT_CODE = re.compile(r"[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True)
class Declaration:
    """A pipe, a concept or another top-level key of a bundle: what is replaced as a whole."""

    file: str
    kind: str
    name: str


def declaration_of(file: str, path: Path) -> Declaration | None:
    """The declaration a key path belongs to; None for the file as a whole."""
    if path[:1] in (("pipe",), ("concept",)):
        return Declaration(file, str(path[0]), str(path[1])) if len(path) > 1 else None
    return Declaration(file, "key", str(path[0])) if path else None


@dataclass
class Stubs:
    """A method's bundles with stubs in place of what is faulty."""

    bundles: dict[str, str]
    """File -> text; every text parses as TOML."""
    replaced: set[Declaration] = field(default_factory=set)
    altered: set[Declaration] = field(default_factory=set)
    """Those of `replaced` that others may see differently now."""

    def __post_init__(self) -> None:
        self._documents = {file: tomli.loads(text) for file, text in self.bundles.items()}
        self._words = dict(self._mentions())

    def replace(self, declaration: Declaration, *, keeps_contract: bool, removes: bool) -> bool:
        """Replace a declaration, which may be one that could not be read; says whether anything changed.

        `keeps_contract` says that others see no difference, `removes` that no stub can have its name.
        """
        document = self._documents.get(declaration.file)
        if document is None or declaration in self.replaced:
            return False
        self.replaced.add(declaration)
        is_changed = False
        if declaration.kind == "key":
            keeps_contract = False
            is_changed = declaration.name != "domain" and document.pop(declaration.name, None) is not None
        elif isinstance(table := document.get(declaration.kind), dict) and declaration.name in table:
            is_changed = True
            keeps_contract = self._replace_in(table, declaration, keeps_contract=keeps_contract, removes=removes)
        if not keeps_contract:
            self.altered.add(declaration)
        return is_changed

    def may_have_caused(self, declaration: Declaration | None, *, alone: bool, at_run: bool) -> bool:
        """Whether a fault at a declaration may be a consequence of the replacing.

        `alone` says that it was found without a look at other pipes and concepts, `at_run` in a run of them.
        """
        if declaration is None:
            return bool(self.altered)
        if declaration in self.replaced:
            return True
        if alone and declaration.kind != "key":
            return False
        words = self._words_behind(declaration)
        run = {known for known in self.replaced if known.kind == "pipe"} if at_run else set()
        return any(known.name in words for known in self.altered | run)

    def texts(self) -> dict[str, str] | None:
        """Each bundle as it now is; None where one holds a value that cannot be written back."""
        touched = {declaration.file for declaration in self.replaced}
        try:
            return {
                file: render_table_layout(template=self._documents[file]) if file in touched else text
                for file, text in self.bundles.items()
            }
        except TomlEmissionError:
            return None

    def _replace_in(
        self, table: dict[str, Any], declaration: Declaration, *, keeps_contract: bool, removes: bool
    ) -> bool:
        """Put the stub there; returns whether the contract was kept."""
        old = table.pop(declaration.name)
        description = old.get("description") if isinstance(old, dict) else None
        description = description if isinstance(description, str) else "Unknown"
        if removes:
            return keeps_contract
        if declaration.kind == "concept" and not _CONCEPT_CODE.fullmatch(declaration.name):
            return False
        if declaration.kind == "concept":
            table[declaration.name] = description
            return False
        if keeps_contract and _is_contract(old):
            table[declaration.name] = {key: old[key] for key in _CONTRACT_KEYS if key in old}
            return True
        table[declaration.name] = {"description": description, "output": "Text"}
        return False

    def _mentions(self) -> list[tuple[Declaration, set[str]]]:
        found = []
        for file, document in self._documents.items():
            for key, value in document.items():
                if key in ("pipe", "concept") and isinstance(value, dict):
                    found += [(Declaration(file, key, name), set(_words_in(table))) for name, table in value.items()]
                else:
                    found.append((Declaration(file, "key", key), set(_words_in(value))))
        return found

    def _words_behind(self, declaration: Declaration) -> set[str]:
        """Every word a declaration uses, and every word that what it names uses, over any number of steps."""
        by_name: dict[str, list[Declaration]] = {}
        for known in self._words:
            if known.kind != "key":
                by_name.setdefault(known.name, []).append(known)
        words: set[str] = set()
        pending = [declaration]
        while pending:
            fresh = self._words.get(pending.pop(), set()) - words
            words |= fresh
            pending.extend(named for word in fresh for named in by_name.get(word, ()))
        return words


def _is_contract(pipe: Any) -> bool:
    if not isinstance(pipe, dict) or not isinstance(pipe.get("output"), str):
        return False
    inputs = pipe.get("inputs", {})
    return isinstance(inputs, dict) and isinstance(pipe.get("description"), str)


def _words_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return _WORD.findall(value)
    if isinstance(value, dict):
        return [word for item in value.values() for word in _words_in(item)]
    if isinstance(value, list):
        return [word for item in value for word in _words_in(item)]
    return []
