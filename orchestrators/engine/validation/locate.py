"""From what Pipelex says about a fault to the place in a file that an editor underlines."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import jinja2

from schemas.toml_positions import Path, Place, Span, TomlText

BUNDLE_SUFFIX = ".mthds"

_FIELD_STEP = re.compile(r"[^.\[\]]+")
# Names in these prove nothing: the first is prose, the others introduce a name.
_NO_REFERENCES = frozenset({"description", "result", "batch_as"})


@dataclass(frozen=True)
class Clues:
    """What is known about where a fault is; every member may be missing."""

    file: str | None = None
    domain: str | None = None
    pipe: str | None = None
    concept: str | None = None
    fields: tuple[str | Path, ...] = ()
    """Paths to try in turn, dotted or not, from the root of the file or within the pipe or the concept."""
    on_key: bool = False
    """Whether a field's name is at fault rather than its value."""
    names: tuple[str, ...] = ()
    """Names written at the place, the most telling first."""
    otherwise: str | None = None
    """The field it is in where none of the above is found."""
    in_template: bool = False
    """Whether a template does not parse."""
    line: int | None = None
    column: int | None = None
    """One-based; the column counts characters."""


@dataclass(frozen=True)
class Spot:
    """A place in a file. `path` is the key path it belongs to, empty where none is known."""

    file: str
    span: Span
    path: Path


@dataclass(frozen=True)
class Locator:
    """Finds places in the files of one method. Never fails: the last resort is the start of the first bundle."""

    files: Mapping[str, TomlText]
    """Each file that a fault may be in, the bundles first."""
    _known: dict[str, set[Path]] = field(default_factory=dict)

    def locate(self, clues: Clues) -> Spot:
        """The most precise place the clues allow."""
        file = self._file_of(clues)
        if file is None:
            names = (*_packages(clues.file), *clues.names)
            return self._by_names_anywhere(names) or self._start_of(next(iter(self.files)))
        if clues.line is not None:
            return self._at_line(file, clues.line, clues.column or 1)
        base = self._base_of(file, clues)
        return (
            self._by_fields(file, base, clues)
            or self._by_template(file, base, clues)
            or self._by_names(file, base, clues.names)
            or self._key(file, (*base, clues.otherwise or ""))
            or self._header(file, base)
        )

    def bundles(self) -> Iterator[tuple[str, TomlText]]:
        """The bundles, in order."""
        return ((file, toml) for file, toml in self.files.items() if file.endswith(BUNDLE_SUFFIX))

    def _file_of(self, clues: Clues) -> str | None:
        if clues.file is not None:
            # One that is not here is a dependency's, and so are the pipe and the concept.
            return clues.file if clues.file in self.files else None
        for kind, name in (("pipe", clues.pipe), ("concept", clues.concept)):
            if name is not None:
                for file, toml in self.bundles():
                    domain = toml.string_at(("domain",))
                    if (kind, name) in self._paths(file) and clues.domain in (None, domain):
                        return file
        return None

    def _base_of(self, file: str, clues: Clues) -> Path:
        for kind, name in (("pipe", clues.pipe), ("concept", clues.concept)):
            if name is not None and (kind, name) in self._paths(file):
                return (kind, name)
        return ()

    def _by_fields(self, file: str, base: Path, clues: Clues) -> Spot | None:
        """The first of the fields that exists, else the nearest to one that is missing."""
        resolved = [self._resolve(file, base, steps) for steps in clues.fields]
        toml = self.files[file]
        for path, is_whole in sorted(resolved, key=lambda one: not one[1]):
            if path in ((), base):
                continue
            place = self._place(file, path)
            value = _content(toml, place)
            if not is_whole or clues.on_key or value is None:
                return Spot(file, place.key, path)
            tokens = (_token(toml, value, spelling) for spelling in _spellings(clues.names))
            return Spot(file, next(filter(None, tokens), value), path)
        return None

    def _resolve(self, file: str, base: Path, wanted: str | Path) -> tuple[Path, bool]:
        """The deepest existing path of a wanted one, and whether its last step exists. Unknown steps are skipped."""
        paths = self._paths(file)
        steps: Path = tuple(_FIELD_STEP.findall(wanted)) if isinstance(wanted, str) else wanted
        path = () if steps[:1] in (("pipe",), ("concept",)) else base
        is_whole = False
        for step in steps:
            candidates = [(*path, step), (*path, int(step) if str(step).isdigit() else step)]
            found = next((candidate for candidate in candidates if candidate in paths), None)
            is_whole = found is not None
            path = found or path
        return path, is_whole

    def _key(self, file: str, path: Path) -> Spot | None:
        return Spot(file, self._place(file, path).key, path) if path in self._paths(file) else None

    def _by_template(self, file: str, base: Path, clues: Clues) -> Spot | None:
        if not clues.in_template:
            return None
        toml = self.files[file]
        for path, span in toml.strings_under(base):
            broken = _broken_template_line(toml, span)
            if broken is not None:
                return Spot(file, broken, path)
        return None

    def _by_names(self, file: str, base: Path, names: tuple[str, ...]) -> Spot | None:
        """Where one of the names is written as a value under `base`, else as a key."""
        toml = self.files[file]
        strings = [(path, span) for path, span in toml.strings_under(base) if path[-1] not in _NO_REFERENCES]
        for spelling, may_be_field in [
            (one, may_be_field) for may_be_field in (False, True) for one in _spellings(names)
        ]:
            for path, span in strings:
                token = _token(toml, span, spelling, may_be_field=may_be_field)
                if token is not None:
                    return Spot(file, token, path)
        for name in names:
            for path, place in toml.places.items():
                if path[-1] == name and path[: len(base)] == base and len(path) > len(base):
                    return Spot(file, place.key, path)
        return None

    def _by_names_anywhere(self, names: tuple[str, ...]) -> Spot | None:
        for name in names:
            domain, _, code = name.rpartition(".")
            for file, toml in reversed(list(self.bundles())):
                declared = [path for path in (("pipe", code), ("concept", code)) if path in self._paths(file)]
                if declared and domain in ("", toml.string_at(("domain",))):
                    return self._header(file, declared[0])
        for file, _ in self.bundles():
            spot = self._by_names(file, (), names)
            if spot is not None:
                return spot
        return None

    def _at_line(self, file: str, line: int, column: int) -> Spot:
        toml = self.files[file]
        start = toml.offset_of(line, column)
        line_start, end = toml.line_span(toml.line_and_column(start)[0] - 1)
        return Spot(file, Span(start if start < end else line_start, end), ())

    def _header(self, file: str, base: Path) -> Spot:
        if base == ():
            return self._start_of(file)
        return Spot(file, self._place(file, base).key, base)

    def _start_of(self, file: str) -> Spot:
        """The first line that says something."""
        toml = self.files[file]
        if toml.statements:
            start = toml.statements[0].start
            return Spot(file, Span(start, toml.line_span(toml.line_and_column(start)[0] - 1)[1]), ())
        return Spot(file, Span(*toml.line_span(0)), ())

    def _place(self, file: str, path: Path) -> Place:
        """The place of a path, or of the first thing below it where a table has no header of its own."""
        places = self.files[file].places
        return places.get(path) or next(place for known, place in places.items() if known[: len(path)] == path)

    def _paths(self, file: str) -> set[Path]:
        """Every path of a file, those of tables without a header of their own too."""
        if file not in self._known:
            places = self.files[file].places
            self._known[file] = {path[:length] for path in places for length in range(1, len(path) + 1)}
        return self._known[file]


def _content(toml: TomlText, place: Place) -> Span | None:
    """A value, without its quotes if it is a string of one line that is not empty."""
    value = place.value
    if value is None or not place.is_string or toml.text[value.start : value.start + 2] in ('""', "''"):
        return value
    return Span(value.start + 1, value.end - 1)


def _packages(file: str | None) -> Iterator[str]:
    """The addresses a dependency's file may belong to, the longest first."""
    while file and "/" in file:
        file = file.rpartition("/")[0]
        yield file


def _spellings(names: tuple[str, ...]) -> Iterator[str]:
    """Each name as it is, then without its package, then without its domain."""
    for name in names:
        yield from dict.fromkeys((name, name.rsplit("->", 1)[-1], name.rsplit(".", 1)[-1]))


def _token(toml: TomlText, span: Span, name: str, *, may_be_field: bool = False) -> Span | None:
    """The first place within a span where a name is written as a whole word, after a dot only if it may be a field."""
    before = r"(?<!\w)" if may_be_field else r"(?<![\w.])"
    match = re.compile(rf"{before}{re.escape(name)}(?!\w)").search(toml.text, span.start, span.end) if name else None
    return Span(*match.span()) if match else None


def _broken_template_line(toml: TomlText, span: Span) -> Span | None:
    """The line of a string on which its Jinja2 template stops to parse; None if it parses."""
    raw = toml.text[span.start : span.end]
    quotes = 3 if raw[:3] in ('"""', "'''") else 1
    content = raw[quotes:-quotes]
    start = span.start + quotes
    if quotes == 3:
        unindented = content.removeprefix("\r").removeprefix("\n")
        start += len(content) - len(unindented)
        content = unindented
    try:
        # Only parsed, never rendered.
        jinja2.Environment(autoescape=True).parse(content)
    except jinja2.TemplateSyntaxError as error:
        if quotes == 1:
            return span
        first_line, _ = toml.line_and_column(start)
        line_start, line_end = toml.line_span(first_line - 1 + error.lineno - 1)
        indent = len(toml.text[line_start:line_end]) - len(toml.text[line_start:line_end].lstrip())
        return Span(max(line_start + indent, span.start), min(line_end, span.end))
    return None
