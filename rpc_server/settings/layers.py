"""Settings documents: one TOML file with defaults, the files that change it, and where each value came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.foreign_toml import BadToml, parse_toml
from schemas.overlay import lay_over

Table = dict[str, Any]
Key = tuple[str, ...]


class ConfigurationFault(Exception):
    """A setting that cannot be used. `line` is one-based; `file` is a path, or the name of a flag or variable."""

    def __init__(self, file: Path | str, message: str, *, line: int | None = None, key: str | None = None) -> None:
        self.file = str(file)
        self.line = line
        self.key = key
        self.message = message
        place = self.file if line is None else f"{self.file}:{line}"
        super().__init__(": ".join(part for part in (place, key, message) if part))


@dataclass(frozen=True)
class Layer:
    """Values from one place, laid over those before it."""

    origin: str
    """The file's path, or the flag."""
    values: Table
    text: str | None = None
    """The file's text, to find a key's line in."""
    prefix: Key = ()
    """The table of the file that holds `values`."""

    def fault(self, key: Key, message: str) -> ConfigurationFault:
        """The fault of `key` in this layer, with its line."""
        return ConfigurationFault(self.origin, message, line=self.line_of(key), key=".".join(self.prefix + key))

    def line_of(self, key: Key) -> int | None:
        """The one-based line of a value, or None where it comes from no file."""
        return None if self.text is None else line_of(self.text, self.prefix + key)


@dataclass(frozen=True)
class Document:
    """The merged values, and the layer each leaf came from."""

    values: Table
    origins: Mapping[Key, Layer]

    def fault(self, key: Key, message: str) -> ConfigurationFault:
        """The fault of a merged value, where it was set."""
        return self.origins[key].fault(key, message)


def read_layer(path: Path) -> Layer | None:
    """The layer of a file, or None where there is none. Raises `ConfigurationFault` for one that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigurationFault(path, "the file is not UTF-8 text") from error
    except OSError as error:
        raise ConfigurationFault(path, f"the file cannot be read: {error.strerror}") from error
    try:
        return Layer(origin=str(path), values=parse_toml(text), text=text)
    except BadToml as error:
        raise ConfigurationFault(path, f"this is not TOML: {error.reason}", line=error.line) from error


def merge(defaults: Layer, layers: Sequence[Layer]) -> Document:
    """Lay `layers` over `defaults`, deeply, the last one winning.

    The defaults say what may be set: a key they lack, or a value of another type than theirs, is a
    `ConfigurationFault`. A table that is empty in the defaults takes any key.
    """
    values: Table = {}
    lay_over(values, defaults.values)
    origins = {key: defaults for key, _ in _leaves(defaults.values)}
    for layer in layers:
        _check(layer, layer.values, defaults.values, ())
        lay_over(values, layer.values)
        origins.update({key: layer for key, _ in _leaves(layer.values)})
    return Document(values=values, origins=origins)


def line_of(text: str, key: Key) -> int | None:
    """The one-based line where `key` is set in a TOML text that parses, or None where it is not set."""
    # Only a fault and `mthds-rpc config` ask for lines.
    from schemas.toml_positions import TomlText

    positions = TomlText(text)
    starts = [place.key.start for path, place in positions.places.items() if path[: len(key)] == key]
    return positions.line_and_column(min(starts))[0] if starts else None


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for an unknown name: the known one most like it, else all of them."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known here: {', '.join(sorted(known))}" if known else "nothing can be set here"


def _check(layer: Layer, values: Table, defaults: Table, above: Key) -> None:
    for name, value in values.items():
        key = (*above, name)
        if name not in defaults:
            raise layer.fault(key, f"unknown key; {nearest(name, list(defaults))}")
        default = defaults[name]
        if not _same_type(value, default):
            raise layer.fault(key, f"expected {_type_name(default)}, found {_type_name(value)}")
        if isinstance(default, dict) and default:
            _check(layer, value, default, key)


def _same_type(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, type(default))


def _type_name(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a string",
        dict: "a table",
    }
    if isinstance(value, list):
        return "a list of strings" if all(isinstance(item, str) for item in value) else "a list of other values"
    return names.get(type(value), "a date or time")


def _leaves(table: Table, above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value
