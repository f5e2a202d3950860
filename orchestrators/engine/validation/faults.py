"""Faults of a method as the wire's problem items, each with the clues that lead to its place."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mthds.method_tree.discovery import MANIFEST_NAME
from mthds.protocol.problem.models import ProblemItem as PipelexItem
from mthds.protocol.problem.registry import CoreCode
from pipelex.base_exceptions import ValidationErrorItem
from pipelex.errors.bundle_validation_failure import BundleValidationFailure
from pipelex.errors.error_codes import error_code_spec, parse_error_code
from pipelex.errors.problem import ProblemView, caller_view_of, make_problem_item
from pipelex.mthds_parsing.exceptions import MthdsParserError
from pipelex.pipeline.exceptions import MethodEntryError, ValidateBundleError
from pipelex.pipeline.validation_errors import warning_problem_items
from pipelex_tools import lint_mthds
from pydantic import ValidationError

from orchestrators.engine.validation.locate import Clues
from schemas.foreign_toml import BadToml
from schemas.toml_positions import Path

_PATH_IN_FINDING = re.compile(r"at '((?:pipe|concept)\.[^']+)'")
_QUOTED = re.compile(r"'([^'\s]++)'|`([^`\s]++)`|(?<![\w.])([a-z]\w*+(?:\.[a-z]\w*+)*+\.[A-Z]\w*+)")
_DECLARATION = re.compile(r"(?:pipe|concept)(?:\..*)?$")
_RUN_FAILURE = re.compile(r"^- Dry run failed for pipe '([^']+)': (?:Pipe '[^']+' failed: )?(.*)$", re.MULTILINE)
_LOAD_PREFIX = re.compile(r"^(?:Could not load (?:blueprints|MTHDS bundle) from .*? because of: |Value error, )++")
_UNEXPECTED = re.compile(r"Additional properties are not allowed \((.*) (?:was|were) unexpected\)$")
_REQUIRED = re.compile(r'^"([^"]+)" is a required property$')
_VAGUE = re.compile(r"any of the (?:allowed|given) schemas|under any of")
_MAX_FINDING_CHARS = 400

# Where a fault of a code is, unless it says so itself; `{name}` is a parameter, each variable in turn for `{variable}`.
_FIELDS_BY_CODE: dict[str, tuple[str, ...]] = {
    "method.input_unused": ("inputs.{variable}", "inputs"),
    "method.input_concept_mismatch": ("inputs.{input}",),
    "method.output_concept_mismatch": ("output",),
    "method.output_multiplicity_mismatch": ("output",),
    "method.pipe_type_invalid": ("type",),
    "method.optional_marker_invalid": ("inputs.{variable}", "output"),
    "method.function_invalid": ("function_name",),
    "model.unknown": ("model",),
    "model.unavailable": ("model",),
    "model.capability_unsupported": ("model",),
    "method.input_presence_vacuous": ("inputs.{input}", "inputs.{variable}"),
    "method.optional_force_redundant": ("inputs.{input}", "inputs.{variable}"),
}
_KEY_CODES = frozenset({"method.input_unused", "method.name_conflict"})
_REMOVING_CODES = frozenset({"method.name_conflict", "method.identifier_invalid", "method.signature_mismatch"})
# The parameters that hold a name as the method writes it, the most telling first.
_NAME_PARAMS = ("missing", "concept", "path", "function", "template", "model", "name", "ref", "input", "pipe")


@dataclass(frozen=True)
class Fault:
    """One fault before it is located."""

    item: dict[str, Any]
    """The wire's problem item, without its place."""
    clues: Clues
    at_run: bool = False
    """Found by the dry run, not by reading."""
    from_parser: bool = False
    """Found in one bundle alone, independent of the others."""

    @property
    def removes(self) -> bool:
        """Whether the declaration's name is at fault, so that a stub cannot have it."""
        return self.item["code"] in _REMOVING_CODES


def faults_of(error: ValidateBundleError) -> list[Fault]:
    """Pipelex's own faults, in its order."""
    problem = error.to_problem(view=ProblemView.CALLER)
    causes = list(_causes(error))
    met = _run_failures(causes)
    from_parser = any(isinstance(cause, MthdsParserError) for cause in causes)
    # The texts of the causes may hold the place of a fault that has none.
    cause_texts = "\n".join(str(cause) for cause in causes)
    pairs = zip(problem.errors or [], error.validation_error_items(), strict=True)
    return [_fault(item, source, met=met, cause_texts=cause_texts, from_parser=from_parser) for item, source in pairs]


def faults_of_failure(failure: BundleValidationFailure) -> list[Fault]:
    """The faults of a verdict given as a value, as a plugin's validator does."""
    items = caller_view_of(problem=failure.problem).errors or []
    if len(items) != len(failure.validation_errors):
        # A plugin may give faults without the errors behind them: each keeps the place it has.
        return [_fault_alone(item) for item in items]
    return [_fault(item, source) for item, source in zip(items, failure.validation_errors, strict=True)]


def warnings_of(warnings: list[ValidationErrorItem]) -> list[Fault]:
    """The advisory findings on a valid method."""
    pairs = zip(warning_problem_items(warnings=warnings), warnings, strict=True)
    return [_fault(item, source) for item, source in pairs]


def syntax_fault(file: str, finding: str) -> Fault:
    """A file that does not parse."""
    return _made(CoreCode.METHOD_SYNTAX, {"finding": finding}, Clues(file=file), from_parser=True)


def unread_fault(path: str, error: BadToml, package: str | None) -> Fault:
    """A file that no parser was given: the method's own, or one of a package that it depends on."""
    if package is not None:
        finding = f"its file '{path}' does not parse: {error}"
        clues = Clues(file=f"{package}/{path}")
        return _made(
            CoreCode.METHOD_DEPENDENCY_INVALID, {"package": package, "finding": finding}, clues, from_parser=True
        )
    return _made(
        CoreCode.METHOD_SYNTAX,
        {"finding": f"TOML syntax error at line {error.line}, column {error.column}: {error.reason}"},
        Clues(file=path, line=error.line, column=error.column),
        from_parser=True,
    )


def manifest_fault(error: MethodEntryError) -> Fault | None:
    """Why a method's manifest names no entry pipe; None if it simply has none."""
    problem = error.to_problem(view=ProblemView.CALLER)
    if error.resolve_error_code() == CoreCode.REQUEST_PIPE_UNSPECIFIED:
        return None
    params = problem.params.as_wire() if problem.params is not None else {}
    detail, fields, names = problem.detail, ["package.main_pipe"], _distinct([params.get("missing"), params.get("ref")])
    for cause in _causes(error):
        if isinstance(cause, ValidationError):
            first = cause.errors()[0]
            fields = [".".join(str(step) for step in first["loc"])]
            detail = f"{detail} {fields[0]}: {first['msg']}."
    clues = Clues(file=MANIFEST_NAME, fields=tuple(fields), names=names)
    return Fault({"code": problem.code, "detail": detail, "params": params}, clues)


def lint_faults(file: str, text: str) -> Iterator[Fault]:
    """What the language's schema says of a bundle that parses; what it says only vaguely is left out."""
    # The linter takes no half of a surrogate pair; a question mark in its place moves nothing.
    for diagnostic in lint_mthds(text.encode("utf-8", "replace").decode())["diagnostics"]:
        message = str(diagnostic["message"])
        if diagnostic["kind"] != "schema" or _VAGUE.search(message):
            continue
        path: Path = tuple(str(diagnostic["location"] or "").split(".")) if diagnostic["location"] else ()
        unexpected = _UNEXPECTED.match(message)
        required = _REQUIRED.match(message)
        if unexpected:
            for name in re.findall(r"'([^']+)'", unexpected[1]):
                yield _lint_fault(file, (*path, name), f"'{name}' is not a key of this table", on_key=True)
        elif required:
            yield _lint_fault(file, (*path, required[1]), f"the key '{required[1]}' is missing", on_key=False)
        else:
            yield _lint_fault(file, path, message, on_key=False)


def value_fault(file: str, path: Path) -> Fault:
    """A value that Pipelex's reader breaks on; for an empty path, the file."""
    if not path:
        return Fault({"code": "method.invalid", "detail": f"The bundle {file} cannot be read."}, Clues(file=file))
    return _lint_fault(file, path, "a value of another type or form belongs here", on_key=False)


def _lint_fault(file: str, path: Path, finding: str, *, on_key: bool) -> Fault:
    dotted = ".".join(str(step) for step in path)
    pipe = {"pipe": path[1]} if path[:1] == ("pipe",) and len(path) > 1 else {}
    fault = _made(
        CoreCode.METHOD_SCHEMA_VIOLATION,
        {"field_path": dotted, "finding": finding},
        Clues(file=file, fields=(path,), on_key=on_key),
        from_parser=True,
    )
    fault.item["location"] = {**pipe, "field": dotted}
    return fault


def _made(code: CoreCode, params: Mapping[str, Any], clues: Clues, *, from_parser: bool) -> Fault:
    item = make_problem_item(code=code, params=params)
    return Fault(item=item.model_dump(mode="json", exclude_none=True), clues=clues, from_parser=from_parser)


def _fault(
    item: PipelexItem,
    source: ValidationErrorItem,
    *,
    met: Mapping[str, str] | None = None,
    cause_texts: str = "",
    from_parser: bool = False,
) -> Fault:
    wire = item.model_dump(mode="json", exclude_none=True)
    failure = (met or {}).get(f"{source.domain_code}.{source.pipe_code}", "")
    wire["detail"] = _telling_detail(wire, source, failure)
    location = dict(wire.get("location", {}))
    if location.get("field") == source.source:
        # Without a field Pipelex gives the file.
        location.pop("field", None)
    wire["location"] = location
    return Fault(
        item=wire,
        clues=_clues(wire, source, [failure, "" if location else cause_texts]),
        at_run=source.category.is_dry_run,
        from_parser=from_parser,
    )


def _fault_alone(item: PipelexItem) -> Fault:
    wire = item.model_dump(mode="json", exclude_none=True)
    place = wire.get("location", {})
    fields = (str(place["field"]),) if "field" in place else ()
    clues = Clues(
        file=place.get("file"),
        pipe=place.get("pipe"),
        fields=fields,
        line=place.get("line"),
        column=place.get("column"),
    )
    return Fault(item=wire, clues=clues)


def _telling_detail(wire: Mapping[str, Any], source: ValidationErrorItem, failure: str) -> str:
    """The code's sentence, or what Pipelex found if the sentence says no more than the code's title."""
    detail = str(wire["detail"])
    code = parse_error_code(str(wire["code"]))
    if code is None or detail != error_code_spec(code).title:
        return detail
    finding = failure if source.category.is_dry_run else _LOAD_PREFIX.sub("", source.message)
    return f"{detail}: {finding[:_MAX_FINDING_CHARS]}" if finding not in ("", detail) else detail


def _clues(wire: Mapping[str, Any], source: ValidationErrorItem, more: list[str]) -> Clues:
    code = str(wire["code"])
    params = wire.get("params") or {}
    location = wire["location"]
    finding = _LOAD_PREFIX.sub("", source.message)
    own_fields = [location.get("field"), params.get("field_path"), *_PATH_IN_FINDING.findall(finding)]
    return Clues(
        file=source.source,
        domain=source.domain_code,
        pipe=source.pipe_code,
        concept=source.concept_code if source.pipe_code is None else None,
        fields=(*_hint_fields(source), *_distinct(own_fields), *_fields_by_code(code, params, source)),
        on_key=_is_about_a_key(code, params, finding),
        # A type that is missing is nowhere in the pipe.
        names=() if code == "method.pipe_type_invalid" else _names(params, source, [finding, *more]),
        otherwise="inputs" if code == "method.input_undeclared" else None,
        in_template="Jinja2 template" in finding or code == "method.template_invalid",
        line=source.line,
        column=source.column,
    )


def _is_about_a_key(code: str, params: Mapping[str, Any], finding: str) -> bool:
    return (
        code in _KEY_CODES
        or params.get("identifier_kind") == "input_name"
        or params.get("reason") == "unknown_key"
        or finding.endswith("Extra inputs are not permitted")
    )


def _hint_fields(source: ValidationErrorItem) -> Iterator[str]:
    """Where a hint that is not understood may be: on a field of a concept, on an input, on the concept."""
    if source.hint_key is not None:
        if source.field_name:
            yield f"structure.{source.field_name}.hints.{source.hint_key}"
        yield from (f"inputs.{name}.hints.{source.hint_key}" for name in source.variable_names or [])
        yield f"hints.{source.hint_key}"


def _fields_by_code(code: str, params: Mapping[str, Any], source: ValidationErrorItem) -> Iterator[str]:
    if code == "method.optional_unhandled" and params.get("site") == "condition_output":
        yield "output"
    if params.get("identifier_kind") == "input_name":
        yield f"inputs.{params['name']}"
    for template in _FIELDS_BY_CODE.get(code, ()):
        if "{variable}" in template:
            yield from (template.format(variable=name) for name in source.variable_names or [])
        elif "{input}" not in template:
            yield template
        elif params.get("input"):
            yield template.format(input=params["input"])


def _names(params: Mapping[str, Any], source: ValidationErrorItem, sentences: list[str]) -> tuple[str, ...]:
    """The names that Pipelex gives, or else those in the first of its sentences that holds any."""
    given = [
        *(source.variable_names or []),
        source.missing_pipe_code,
        source.missing_concept_code,
        source.model_reference,
        *(params[name] for name in _NAME_PARAMS if isinstance(params.get(name), str)),
    ]
    candidates = [given, *(_quoted(sentence) for sentence in sentences)]
    found = (_distinct(name for name in names if name != source.pipe_code) for names in candidates)
    return next(filter(None, found), ())


def _quoted(text: str) -> Iterator[str]:
    """Names in a sentence: what stands in quotes, but for the paths of declarations, and qualified concepts."""
    for found in _QUOTED.findall(text):
        name = next(filter(None, found))
        if not _DECLARATION.match(name):
            yield name


def _run_failures(causes: list[BaseException]) -> dict[str, str]:
    """What each failed dry run met, by its qualified pipe."""
    return {pipe: met for cause in reversed(causes) for pipe, met in _RUN_FAILURE.findall(str(cause))}


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
