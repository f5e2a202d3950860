"""Judging a method: Pipelex's verdict, every fault of it that can be told at once, each with its place."""

import base64
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from mthds.method_tree.discovery import BUNDLE_SUFFIX, MANIFEST_NAME
from mthds.method_tree.models import MethodTree
from mthds.protocol.models import ValidationReport
from pipelex.base_exceptions import PipelexError
from pipelex.errors.bundle_validation_failure import BundleValidationFailure
from pipelex.libraries.method_load_threads import run_method_load
from pipelex.pipeline.exceptions import MethodEntryError, ValidateBundleError
from pipelex.pipeline.method_entry import select_method_entry
from pipelex.pipeline.validate_in_process import validate_bundles_in_process
from pipelex.pipeline.validation_report import PipelexValidationReport

from orchestrators.engine.faults import (
    Fault,
    faults_of,
    faults_of_failure,
    lint_faults,
    manifest_fault,
    syntax_fault,
    warnings_of,
)
from orchestrators.engine.locate import Locator, Spot
from orchestrators.engine.model_decks import every_model
from orchestrators.engine.problems import caller_problem
from orchestrators.engine.stand_ins import Declaration, StandIns, declaration_of
from orchestrators.engine.toml_positions import Span, TomlText
from orchestrators.engine.toml_recovery import Recovery, recover
from orchestrators.engine.trees import MaterialisedTree, materialised
from schemas.method_source import Base64File, FileEntry, MethodSource
from schemas.problem import ProblemError
from schemas.validation import ValidateRequest

# What only a whole tree can answer: a package, a file beside the bundle, the rule on reserved domains.
_NEEDS_TREE = re.compile(r"->|template_file|function_name|domain\s*=\s*['\"](?:mthds|native|pipelex)\b")
# Each look at a faulty method costs about one validation.
_MAX_LOOKS = 40
_CONTRACT_KEYS = ("inputs", "output")


Ask = Callable[
    [MaterialisedTree, list[str] | None, str | None], Awaitable[ValidationReport[Any] | BundleValidationFailure]
]
"""A validator: the written method, the names of its loose bundles, the pipe to draw (empty: none; None: it chooses)."""


async def validate(request: ValidateRequest, directory: FilePath) -> dict[str, Any]:
    """The verdict on a method, as `schemas.validation.ValidationVerdict` dumps.

    `directory` is where trees may be written for the time of the call. Loose contents are named `bundle_1.mthds`,
    `bundle_2.mthds` and so on, in their order. Raises `ProblemError` or Pipelex's own errors where there is no verdict.
    """
    judge = _Judge(request, directory)
    method = _Method.of(request.method)
    # A missing key is no fault of the method.
    with every_model():
        try:
            return await judge.judge(method)
        except (ValidateBundleError, RecursionError) as error:
            errors = await _Examination(judge, method).errors(error)
            if not errors:
                raise
            return _invalid(errors)


async def validate_by(ask: Ask, request: ValidateRequest, directory: FilePath) -> dict[str, Any]:
    """Like `validate`, by another validator than Pipelex's own: its faults, each with its place, and no others."""
    method = _Method.of(request.method)
    async with _written(request, directory, method) as written:
        verdict = await ask(written.tree, list(method.bundles) if written.tree.contents else None, written.graph_pipe)
    if not isinstance(verdict, BundleValidationFailure):
        return _valid(verdict, method, written)
    if not verdict.validation_errors:
        # It could not judge, and says why.
        raise ProblemError(caller_problem(verdict.problem))
    locator = _locator(method)
    faults = [_Located(fault, locator.locate(fault.clues)) for fault in faults_of_failure(verdict)]
    return _invalid(_in_order(faults, locator))


@dataclass(frozen=True)
class _Method:
    """A method as it is judged: the request's, or with something else standing in for parts of it."""

    source: MethodSource
    bundles: dict[str, FileEntry]
    """Every bundle under the name a fault of it is given."""

    @classmethod
    def of(cls, source: MethodSource) -> "_Method":
        if source.mthds_contents is not None:
            return cls(source, {f"bundle_{at}.mthds": text for at, text in enumerate(source.mthds_contents, start=1)})
        files = source.files or {}
        return cls(source, {path: files[path] for path in sorted(files) if path.endswith(BUNDLE_SUFFIX)})

    def loose_texts(self) -> list[str] | None:
        """The bundles' texts where those alone are the method: loading them is several times faster than a tree."""
        texts = [entry for entry in self.bundles.values() if isinstance(entry, str)]
        files = self.source.mthds_contents or self.source.files or {}
        is_all = 0 < len(texts) == len(files) and not self.source.dependencies
        return texts if is_all and not any(_NEEDS_TREE.search(text) for text in texts) else None

    def with_bundles(self, texts: dict[str, str]) -> "_Method":
        """The same method holding these bundles, and no others."""
        if self.source.mthds_contents is not None:
            source = self.source.model_copy(update={"mthds_contents": list(texts.values())})
        else:
            others = {path: entry for path, entry in (self.source.files or {}).items() if path not in self.bundles}
            source = self.source.model_copy(update={"files": {**others, **texts}})
        return _Method(source, dict(texts))


@dataclass(frozen=True)
class _Written:
    """A method where a validator can read it."""

    tree: MaterialisedTree
    graph_pipe: str | None
    """The pipe to draw: empty for no graph, None to let the validator choose."""
    entry: str | None
    """The qualified pipe of a tree that a run naming none would start at."""
    entry_error: MethodEntryError | None
    """Why a tree has no such pipe."""


@asynccontextmanager
async def _written(request: ValidateRequest, directory: FilePath, method: _Method) -> AsyncIterator[_Written]:
    """Write a method below `directory` for the block."""
    own_directory = FilePath(tempfile.mkdtemp(prefix="validate-", dir=directory))
    try:
        with materialised(method.source, own_directory / "method") as tree:
            entry, entry_error = await _entry(tree.tree)
            graph_pipe: str | None = ""
            if "graph" in request.include:
                graph_pipe = request.graph_pipe_code or (entry or "" if tree.tree is not None else None)
            yield _Written(tree, graph_pipe, entry, entry_error)
    finally:
        shutil.rmtree(own_directory, ignore_errors=True)


async def _entry(tree: MethodTree | None) -> tuple[str | None, MethodEntryError | None]:
    if tree is None:
        return None, None
    try:
        return (await run_method_load(select_method_entry, tree=tree)).pipe_ref, None
    except MethodEntryError as error:
        return None, error
    except (PipelexError, RecursionError):
        # A bundle that cannot be read: the validation says why.
        return None, None


@dataclass(frozen=True)
class _Judge:
    """Pipelex's own validation, as a request asks for it."""

    request: ValidateRequest
    directory: FilePath

    async def judge(self, method: _Method) -> dict[str, Any]:
        """The verdict on a valid method; raises `ValidateBundleError` for an invalid one."""
        async with _written(self.request, self.directory, method) as written:
            contents = written.tree.contents or method.loose_texts()
            report = await validate_bundles_in_process(
                mthds_contents=contents,
                mthds_sources=list(method.bundles) if contents is not None else None,
                method_dir=written.tree.path if contents is None else None,
                methods_dirs=written.tree.methods_dirs or None,
                library_dirs=[],
                library_dirs_are_callers=True,
                allow_signatures=self.request.allow_signatures,
                graph_pipe_code=written.graph_pipe,
            )
        return _valid(report, method, written)


@dataclass(frozen=True)
class _Located:
    fault: Fault
    spot: Spot

    @property
    def declaration(self) -> Declaration | None:
        return declaration_of(self.spot.file, self.spot.path)


@dataclass
class _Examination:
    """Finds every fault of an invalid method that is not merely the consequence of another."""

    judge: _Judge
    method: _Method
    found: list[_Located] = field(default_factory=list)
    is_partial: bool = False
    """Whether a bundle could not be read at all, so that a name the others miss may well exist."""

    async def errors(self, error: ValidateBundleError | RecursionError) -> list[dict[str, Any]]:
        """The faults in the order of their places; `error` is Pipelex's first answer, or what it broke on."""
        self.locator = _locator(self.method)
        recovered = self._read()
        self.stand_ins = StandIns({file: recovery.text for file, recovery in recovered.items()})
        self._replace_unread(recovered)
        answer = await self._look() if self.found or isinstance(error, RecursionError) else error
        for _ in range(_MAX_LOOKS):
            if answer is None or not self._take(faults_of(answer)):
                break
            answer = await self._look()
        self._add_lint(recovered)
        return _in_order(self.found, self.locator)

    def _read(self) -> dict[str, Recovery]:
        """What can be read of each bundle; its syntax faults are found."""
        recovered = {}
        for file, entry in self.method.bundles.items():
            if _is_undecodable(entry):
                self.found.append(_undecodable(file, entry))
                self.is_partial = True
                continue
            recovery = recover(self.locator.files[file].text)
            for broken in recovery.faults:
                self.found.append(_Located(syntax_fault(file, broken.finding), Spot(file, broken.span, ())))
            if recovery.is_whole:
                recovered[file] = recovery
            else:
                self.is_partial = True
        return recovered

    def _replace_unread(self, recovered: dict[str, Recovery]) -> None:
        """What lost a statement is no longer what its author wrote."""
        for file, recovery in recovered.items():
            rest = TomlText(recovery.text)
            for statement in recovery.blanked:
                path = (*rest.table_at(statement.start), self.locator.files[file].key_at(statement.start))
                declaration = declaration_of(file, path)
                if declaration is not None:
                    keeps_contract = len(path) > 2 and path[2] not in _CONTRACT_KEYS
                    self.stand_ins.replace(declaration, keeps_contract=keeps_contract, removes=False)

    async def _look(self) -> ValidateBundleError | None:
        """Pipelex's answer to the method with what stands in now; None where it has nothing more to say."""
        texts = self.stand_ins.texts()
        if not texts:
            return None
        try:
            await self.judge.judge(self.method.with_bundles(texts))
        except ValidateBundleError as error:
            return error
        except (PipelexError, ProblemError):
            return None
        return None

    def _take(self, faults: Iterable[Fault]) -> bool:
        """Keep what is a fault of its own, and replace what is faulty; says whether anything was replaced."""
        by_declaration: dict[Declaration, list[_Located]] = {}
        for fault in faults:
            located = _Located(fault, self.locator.locate(fault.clues))
            declaration = located.declaration
            if not self._is_untold(located):
                self.found.append(located)
            if declaration is not None and (fault.from_parser or not self.is_partial):
                by_declaration.setdefault(declaration, []).append(located)
        changes = [
            self.stand_ins.replace(
                declaration,
                keeps_contract=not any(_is_in_contract(one.spot) for one in located),
                removes=any(one.fault.removes and len(one.spot.path) == 2 for one in located),
            )
            for declaration, located in by_declaration.items()
        ]
        return any(changes)

    def _is_untold(self, located: _Located) -> bool:
        fault = located.fault
        if self.is_partial and not fault.from_parser:
            return True
        return self.stand_ins.may_have_caused(located.declaration, at_run=fault.at_run)

    def _add_lint(self, recovered: dict[str, Recovery]) -> None:
        """In a declaration that Pipelex stopped reading at its first fault, the schema tells the others."""
        faulty = {one.declaration for one in self.found if one.fault.from_parser and one.declaration is not None}
        faulty -= {one.declaration for one in self.found if one.fault.item["code"] == "method.pipe_type_invalid"}
        for file in sorted({declaration.file for declaration in faulty if declaration is not None}):
            for fault in lint_faults(file, recovered[file].text):
                located = _Located(fault, self.locator.locate(fault.clues))
                known = {(one.spot.file, one.spot.path) for one in self.found}
                if located.declaration in faulty and (file, located.spot.path) not in known:
                    self.found.append(located)


def _is_in_contract(spot: Spot) -> bool:
    return spot.path[2:3] in (("inputs",), ("output",))


def _is_undecodable(entry: FileEntry) -> bool:
    return isinstance(entry, Base64File) and "�" in _text(entry)


def _undecodable(file: str, entry: FileEntry) -> _Located:
    text = TomlText(_text(entry))
    offset = text.text.index("�")
    line, column = text.line_and_column(offset)
    finding = f"the file is not UTF-8 text: the byte at line {line}, column {column} does not decode"
    return _Located(syntax_fault(file, finding), Spot(file, Span(offset, offset + 1), ()))


def _text(entry: FileEntry) -> str:
    if isinstance(entry, str):
        return entry
    return base64.b64decode(entry.base64).decode("utf-8", "replace")


def _locator(method: _Method) -> Locator:
    files = {file: TomlText(_text(entry)) for file, entry in method.bundles.items()}
    for path, entry in (method.source.files or {}).items():
        if isinstance(entry, str):
            files.setdefault(path, TomlText(entry))
    return Locator(files or {"bundle_1.mthds": TomlText("")})


def _in_order(faults: list[_Located], locator: Locator) -> list[dict[str, Any]]:
    """The problem items, by file and place."""
    files = list(locator.files)
    in_order = sorted(faults, key=lambda located: (files.index(located.spot.file), located.spot.span.start))
    return [_wire(located, locator) for located in in_order]


def _wire(located: _Located, locator: Locator) -> dict[str, Any]:
    """The problem item with its place: `line` and `column` are where its `range` starts."""
    spot = located.spot
    text = locator.files[spot.file]
    line, column = text.line_and_column(spot.span.start)
    place = {"file": spot.file, "line": line, "column": column, "range": text.range_of(spot.span).model_dump()}
    item = {**located.fault.item, "location": {**located.fault.item.get("location", {}), **place}}
    if "suggested_fix" in item:
        item["suggested_fix"] = {"file": spot.file, **item["suggested_fix"]}
    return item


def _invalid(errors: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "is_valid": False,
        "errors": errors,
        "warnings": [],
        "pending_signatures": [],
        "is_runnable": False,
        "message": "The method does not validate.",
    }


def _valid(report: ValidationReport[Any], method: _Method, written: _Written) -> dict[str, Any]:
    locator = _locator(method)
    warnings = [_Located(fault, locator.locate(fault.clues)) for fault in warnings_of(getattr(report, "warnings", []))]
    if written.entry_error is not None and MANIFEST_NAME in locator.files:
        warnings += _manifest_warnings(written.entry_error, locator)
    members: dict[str, Any] = report.model_dump(mode="json", serialize_as_any=True, by_alias=True, exclude={"warnings"})
    entry = written.entry
    if written.tree.contents is not None and isinstance(report, PipelexValidationReport):
        blueprint = report.bundle_blueprint
        entry = f"{blueprint.domain}.{blueprint.main_pipe}" if blueprint.main_pipe else None
    return {
        **{name: value for name, value in members.items() if value is not None},
        "warnings": [_wire(warning, locator) for warning in warnings],
        **({"default_pipe_ref": entry} if entry else {}),
    }


def _manifest_warnings(error: MethodEntryError, locator: Locator) -> list[_Located]:
    """A method whose manifest is broken is valid, yet does not run unless its pipe is named."""
    fault = manifest_fault(error)
    if fault is None:
        return []
    syntax = recover(locator.files[MANIFEST_NAME].text).faults
    if not syntax:
        return [_Located(fault, locator.locate(fault.clues))]
    fault.item["detail"] = f"{fault.item['detail']} {syntax[0].finding}."
    return [_Located(fault, Spot(MANIFEST_NAME, syntax[0].span, ()))]
