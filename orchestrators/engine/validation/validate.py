"""Validation of a method: Pipelex's verdict, and every fault that can be found at once, each with its place."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mthds.method_tree.discovery import MANIFEST_NAME
from mthds.method_tree.models import MethodTree
from mthds.protocol.models import ValidationReport
from pipelex.base_exceptions import PipelexError
from pipelex.errors.bundle_validation_failure import BundleValidationFailure
from pipelex.libraries.method_load_threads import run_method_load
from pipelex.pipeline.exceptions import MethodEntryError, ValidateBundleError
from pipelex.pipeline.method_entry import select_method_entry
from pipelex.pipeline.validate_in_process import validate_bundles_in_process
from pipelex.pipeline.validation_report import PipelexValidationReport

from orchestrators.engine.model_decks import every_model
from orchestrators.engine.problems import TOO_DEEP, TOO_DEEP_DETAIL, UNFORESEEN, caller_problem
from orchestrators.engine.trees import MaterialisedTree, UnreadableFileError, materialised
from orchestrators.engine.validation.error_recovery import ErrorRecovery, Located, in_order, located
from orchestrators.engine.validation.faults import Fault, faults_of_failure, manifest_fault, unread_fault, warnings_of
from orchestrators.engine.validation.locate import Clues, Locator, Spot
from orchestrators.engine.validation.method_bundles import MethodBundles
from orchestrators.engine.validation.toml_recovery import recover
from schemas.problem import ProblemError, problem_error
from schemas.validation import ValidateRequest

Ask = Callable[
    [MaterialisedTree, list[str] | None, str | None], Awaitable[ValidationReport[Any] | BundleValidationFailure]
]
"""A validator: the written method, the names of its loose bundles, the pipe to draw (empty: none; None: it chooses)."""


async def validate(request: ValidateRequest, directory: Path) -> dict[str, Any]:
    """The verdict on a method, as `schemas.validation.ValidationVerdict` dumps.

    `directory` is where trees may be written for the time of the call. Loose contents are named `bundle_1.mthds`,
    `bundle_2.mthds` and so on, in their order. Raises `ProblemError` or Pipelex's own errors where there is no verdict.
    """
    method = _bundles(request)

    async def try_again(changed: MethodBundles) -> ValidateBundleError | None:
        try:
            await _validated(request, directory, changed)
        except ValidateBundleError as error:
            return error
        except (PipelexError, ProblemError, *UNFORESEEN):
            return None
        return None

    # A missing key is not a fault of the method.
    with every_model():
        try:
            return await _validated(request, directory, method)
        except (ValidateBundleError, *UNFORESEEN) as error:
            first_answer = error if isinstance(error, ValidateBundleError) else None
            errors = await _faults(ErrorRecovery(method, try_again), first_answer)
            errors = errors or _unread(error, method.locator())
            if errors:
                return _invalid(errors)
            raise


async def _faults(recovery: ErrorRecovery, first_answer: ValidateBundleError | None) -> list[dict[str, Any]]:
    try:
        return await recovery.errors(first_answer)
    except TOO_DEEP:
        # The search for places reads a method no deeper than a run does.
        return []


def _unread(error: Exception, locator: Locator) -> list[dict[str, Any]]:
    """The problem item of what is found in no bundle of the method, and yet keeps it from being read."""
    if isinstance(error, UnreadableFileError):
        fault = unread_fault(error.path, error.fault, error.package)
    elif isinstance(error, TOO_DEEP):
        fault = Fault({"code": "method.invalid", "detail": f"The method cannot be read: {TOO_DEEP_DETAIL}"}, Clues())
    else:
        return []
    return in_order(located([fault], locator), locator)


async def validate_by(ask: Ask, request: ValidateRequest, directory: Path) -> dict[str, Any]:
    """Like `validate`, by another validator than Pipelex's own: its faults, each with its place, and no others."""
    method = _bundles(request)
    try:
        async with _written(request, directory, method) as written:
            verdict = await ask(written.tree, method.loose_names, written.graph_pipe)
    except UnreadableFileError as error:
        return _invalid(_unread(error, method.locator()))
    if not isinstance(verdict, BundleValidationFailure):
        return _valid(verdict, method, written)
    if not verdict.validation_errors:
        # There is no verdict, and the problem says why.
        raise ProblemError(caller_problem(verdict.problem))
    locator = method.locator()
    return _invalid(in_order(located(faults_of_failure(verdict), locator), locator))


def _bundles(request: ValidateRequest) -> MethodBundles:
    method = MethodBundles.of(request.method)
    if method.bundles:
        return method
    raise problem_error(
        "method.package_invalid",
        "The method holds no .mthds bundle, so there is nothing to validate.",
        next_step=("change_method", "Add a bundle to the method, then send the request again."),
        params={"reason": "no_bundle"},
    )


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


async def _validated(request: ValidateRequest, directory: Path, method: MethodBundles) -> dict[str, Any]:
    """Pipelex's own verdict on a valid method; raises `ValidateBundleError` for an invalid one."""
    async with _written(request, directory, method) as written:
        contents = written.tree.contents or method.loose_texts()
        report = await validate_bundles_in_process(
            mthds_contents=contents,
            mthds_sources=list(method.bundles) if contents is not None else None,
            method_dir=written.tree.path if contents is None else None,
            methods_dirs=written.tree.methods_dirs or None,
            library_dirs=[],
            library_dirs_are_callers=True,
            allow_signatures=request.allow_signatures,
            graph_pipe_code=written.graph_pipe,
        )
    return _valid(report, method, written)


@asynccontextmanager
async def _written(request: ValidateRequest, directory: Path, method: MethodBundles) -> AsyncIterator[_Written]:
    """Write a method below `directory` for the block."""
    own_directory = Path(tempfile.mkdtemp(prefix="validate-", dir=directory))
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
    except (PipelexError, *UNFORESEEN):
        # A bundle that cannot be read: the validation says why.
        return None, None


def _invalid(errors: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "is_valid": False,
        "errors": errors,
        "warnings": [],
        "pending_signatures": [],
        "is_runnable": False,
        "message": "The method does not validate.",
    }


def _valid(report: ValidationReport[Any], method: MethodBundles, written: _Written) -> dict[str, Any]:
    locator = method.locator()
    warnings = located(warnings_of(getattr(report, "warnings", [])), locator)
    if written.entry_error is not None and MANIFEST_NAME in locator.files:
        warnings += _manifest_warnings(written.entry_error, locator)
    members: dict[str, Any] = report.model_dump(mode="json", serialize_as_any=True, by_alias=True, exclude={"warnings"})
    entry = written.entry
    if method.loose_names is not None and isinstance(report, PipelexValidationReport):
        blueprint = report.bundle_blueprint
        entry = f"{blueprint.domain}.{blueprint.main_pipe}" if blueprint.main_pipe else None
    return {
        **{name: value for name, value in members.items() if value is not None},
        "warnings": in_order(warnings, locator),
        **({"default_pipe_ref": entry} if entry else {}),
    }


def _manifest_warnings(error: MethodEntryError, locator: Locator) -> list[Located]:
    """A method whose manifest is broken is valid, yet does not run unless its pipe is named."""
    fault = manifest_fault(error)
    if fault is None:
        return []
    syntax = recover(locator.files[MANIFEST_NAME].text).faults
    if not syntax:
        return located([fault], locator)
    fault.item["detail"] = f"{fault.item['detail']} {syntax[0].finding}."
    return [Located(fault, Spot(MANIFEST_NAME, syntax[0].span, ()))]
