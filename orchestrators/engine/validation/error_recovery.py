"""Error recovery: finds every fault of an invalid method, not only those of the stage at which Pipelex stopped."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pipelex.pipeline.exceptions import ValidateBundleError

from orchestrators.engine.validation.faults import Fault, faults_of, lint_faults, syntax_fault, value_fault
from orchestrators.engine.validation.locate import Locator, Spot
from orchestrators.engine.validation.method_bundles import MethodBundles, decoded
from orchestrators.engine.validation.stubs import Declaration, Stubs, declaration_of
from orchestrators.engine.validation.toml_recovery import Recovery, recover
from orchestrators.engine.validation.unread import unread_values
from schemas.toml_positions import Span, TomlText

# Each round costs about one validation, and an editor waits for the answer.
_MAX_ROUNDS = 40
_MAX_S = 5.0
_CONTRACT_KEYS = ("inputs", "output")

Validate = Callable[[MethodBundles], Awaitable[ValidateBundleError | None]]
"""Pipelex's answer to a method; None if it is valid, or if there is no verdict."""


@dataclass(frozen=True)
class Located:
    """A fault and its place."""

    fault: Fault
    spot: Spot

    @property
    def declaration(self) -> Declaration | None:
        """The pipe, concept or key it is in; None for the file as a whole."""
        return declaration_of(self.spot.file, self.spot.path)

    def to_wire(self, locator: Locator) -> dict[str, Any]:
        """The problem item: `file`, `range`, and the one-based `line` and `column` where it starts."""
        text = locator.files[self.spot.file]
        line, column = text.line_and_column(self.spot.span.start)
        place = {
            "file": self.spot.file,
            "line": line,
            "column": column,
            "range": text.range_of(self.spot.span).model_dump(),
        }
        item = {**self.fault.item, "location": {**self.fault.item.get("location", {}), **place}}
        if "suggested_fix" in item:
            item["suggested_fix"] = {"file": self.spot.file, **item["suggested_fix"]}
        return item


def located(faults: Iterable[Fault], locator: Locator) -> list[Located]:
    """Each fault with its place."""
    return [Located(fault, locator.locate(fault.clues)) for fault in faults]


def in_order(faults: Iterable[Located], locator: Locator) -> list[dict[str, Any]]:
    """The faults as problem items, by file and place, each once."""
    files = list(locator.files)
    ordered = sorted(faults, key=lambda one: (files.index(one.spot.file), one.spot.span.start))
    items = {json.dumps(item, sort_keys=True): item for item in (one.to_wire(locator) for one in ordered)}
    return list(items.values())


@dataclass
class ErrorRecovery:
    """Validates a method again and again, with stubs in place of what was found faulty before."""

    method: MethodBundles
    validate: Validate
    found: list[Located] = field(default_factory=list)
    is_partial: bool = False
    """Whether a bundle could not be read at all, so that a name the others miss may well exist."""

    async def errors(self, first_answer: ValidateBundleError | None) -> list[dict[str, Any]]:
        """The problem items of every fault; `first_answer` is Pipelex's on the method as it is, None if it crashed."""
        # In threads, since a large method takes long: other jobs continue meanwhile.
        recovered = await asyncio.to_thread(self._prepare)
        answer = first_answer if not self.found else await self._validate_again()
        end = time.monotonic() + _MAX_S
        for _ in range(_MAX_ROUNDS):
            if answer is None or not await asyncio.to_thread(self._take, faults_of(answer)) or time.monotonic() > end:
                break
            answer = await self._validate_again()
        return await asyncio.to_thread(self._concluded, recovered, everywhere=first_answer is None and not self.found)

    def _prepare(self) -> dict[str, Recovery]:
        self.locator = self.method.locator()
        recovered = self._read()
        self.stubs = Stubs({file: recovery.text for file, recovery in recovered.items()})
        self._replace_unread(recovered)
        return recovered

    def _concluded(self, recovered: dict[str, Recovery], *, everywhere: bool) -> list[dict[str, Any]]:
        self._add_lint(recovered, everywhere=everywhere)
        if everywhere:
            self._add_unread(recovered)
        return in_order(self.found, self.locator)

    def _read(self) -> dict[str, Recovery]:
        """What can be read of each bundle; its syntax faults are found."""
        recovered = {}
        for file, entry in self.method.bundles.items():
            text, undecodable = decoded(entry)
            if undecodable is not None:
                self._found_syntax(file, Span(undecodable, undecodable + 1), "the file is not UTF-8 text")
                self.is_partial = True
                continue
            recovery = recover(text)
            for broken in recovery.faults:
                self._found_syntax(file, broken.span, broken.finding)
            if recovery.is_whole:
                recovered[file] = recovery
            else:
                self.is_partial = True
        return recovered

    def _found_syntax(self, file: str, span: Span, finding: str) -> None:
        self.found.append(Located(syntax_fault(file, finding), Spot(file, span, ())))

    def _replace_unread(self, recovered: dict[str, Recovery]) -> None:
        """Replace each declaration that lost a statement: it is no longer what its author wrote."""
        for file, recovery in recovered.items():
            rest = TomlText(recovery.text)
            for statement in recovery.blanked:
                path = (*rest.table_at(statement.start), self.locator.files[file].key_at(statement.start))
                declaration = declaration_of(file, path)
                if declaration is not None:
                    keeps_contract = len(path) > 2 and path[2] not in _CONTRACT_KEYS
                    self.stubs.replace(declaration, keeps_contract=keeps_contract, removes=False)

    async def _validate_again(self) -> ValidateBundleError | None:
        texts = self.stubs.texts()
        return await self.validate(self.method.with_bundles(texts)) if texts else None

    def _take(self, faults: Iterable[Fault]) -> bool:
        """Keep the faults of their own, and replace what is faulty; returns whether anything was replaced."""
        by_declaration: dict[Declaration, list[Located]] = {}
        for one in located(faults, self.locator):
            declaration = one.declaration
            if not self._is_consequence(one):
                self.found.append(one)
            if declaration is not None and (one.fault.from_parser or not self.is_partial):
                by_declaration.setdefault(declaration, []).append(one)
        changes = [self._replace(declaration, faulty) for declaration, faulty in by_declaration.items()]
        return any(changes)

    def _replace(self, declaration: Declaration, faulty: list[Located]) -> bool:
        removes = [one.fault for one in faulty if one.fault.removes and len(one.spot.path) == 2]
        # Without the redeclaration, the native concept is there.
        is_native = any(fault.item.get("params", {}).get("conflict") == "native_concept" for fault in removes)
        in_contract = any(one.spot.path[2:3] in (("inputs",), ("output",)) for one in faulty)
        keeps_contract = is_native or not (in_contract or removes)
        return self.stubs.replace(declaration, keeps_contract=keeps_contract, removes=bool(removes))

    def _is_consequence(self, one: Located) -> bool:
        if self.is_partial and not one.fault.from_parser:
            return True
        fault = one.fault
        return self.stubs.may_have_caused(one.declaration, alone=fault.from_parser, at_run=fault.at_run)

    def _add_lint(self, recovered: dict[str, Recovery], *, everywhere: bool) -> None:
        """Add the faults that the schema finds in declarations that Pipelex stopped reading at their first fault.

        `everywhere` is for a method on which Pipelex itself crashed.
        """
        without_type = {one.declaration for one in self.found if one.fault.item["code"] == "method.pipe_type_invalid"}
        faulty = {one.declaration for one in self.found if one.fault.from_parser} - without_type - {None}
        files = {declaration.file for declaration in faulty if declaration is not None}
        for file in recovered if everywhere else files:
            known = {one.spot.path for one in self.found if one.spot.file == file}
            for one in located(lint_faults(file, recovered[file].text), self.locator):
                if everywhere or (one.declaration in faulty and one.spot.path not in known):
                    self.found.append(one)

    def _add_unread(self, recovered: dict[str, Recovery]) -> None:
        """Add values that Pipelex's reader crashed on and the schema misses: it may be vague, and knows no `nan`."""
        for file, recovery in recovered.items():
            known = [one.spot.path for one in self.found if one.spot.file == file]
            for one in located((value_fault(file, path) for path in unread_values(recovery.text)), self.locator):
                path = one.spot.path
                if not any(path[: len(other)] == other[: len(path)] for other in known):
                    self.found.append(one)
