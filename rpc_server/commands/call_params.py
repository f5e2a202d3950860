"""From the command line of `mthds-rpc call` to the params of the method it calls."""

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from schemas.foreign_toml import BadToml, parse_toml


class ArgumentError(Exception):
    """An argument that says nothing usable; the message is for the one who typed it."""


def params_of(
    *,
    method: str | None,
    inputs_file: str | None,
    input_items: Iterable[str],
    param_items: Iterable[str],
    named: Mapping[str, Any],
    workspace: Path | None,
) -> dict[str, Any]:
    """The params, those not given left out; a file outside `workspace` is read here. Raises `ArgumentError`."""
    params: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if method is not None:
        params["method"] = method
    inputs = _inputs(inputs_file, input_items, workspace)
    if inputs is not None:
        params["inputs"] = inputs
    for item in param_items:
        name, text = _split(item, "--param")
        params[name] = _json_or_text(text)
    return params


def _inputs(file: str | None, items: Iterable[str], workspace: Path | None) -> dict[str, Any] | None:
    inputs = None if file is None else _read_inputs(file)
    for item in items:
        inputs = {**(inputs or {}), **_input(item, workspace)}
    return inputs


def _input(item: str, workspace: Path | None) -> dict[str, Any]:
    name, text = _split(item, "--input")
    if name.endswith(":"):
        try:
            return {name[:-1]: json.loads(text)}
        except (ValueError, RecursionError) as error:
            raise ArgumentError(f"--input {name}=… is not JSON: {error}") from error
    if text.startswith("@"):
        return {name: _file(_path(text[1:]), workspace)}
    return {name: text}


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ArgumentError(f"--input: {text} leads nowhere: {error}") from error


def _file(path: Path, workspace: Path | None) -> dict[str, str]:
    """A file for the server to read, or its bytes where the server may not: a person who types a path may read it."""
    if workspace is not None and path.is_relative_to(workspace):
        return {"path": path.relative_to(workspace).as_posix()}
    from rpc_server.workspace.input_files import document_of

    try:
        return document_of(path.name, path.read_bytes())
    except OSError as error:
        raise ArgumentError(f"--input: {path} cannot be read: {error.strerror}") from error


def _split(item: str, flag: str) -> tuple[str, str]:
    name, equals, text = item.partition("=")
    if not equals or not name:
        raise ArgumentError(f"{flag} takes NAME=VALUE, found '{item}'")
    return name, text


def _read_inputs(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        inputs = _toml(text) if file.endswith(".toml") else json.loads(text)
    except OSError as error:
        raise ArgumentError(f"--inputs: {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, BadToml) as error:
        raise ArgumentError(f"--inputs: {file} cannot be understood: {error}") from error
    if not isinstance(inputs, dict):
        raise ArgumentError(f"--inputs: {file} must hold one object, input name -> value")
    return inputs


def _toml(text: str) -> Any:
    return _without_dates(parse_toml(text))


def _without_dates(value: Any) -> Any:
    """TOML's dates as JSON has them: ISO 8601 text."""
    if isinstance(value, dict):
        return {key: _without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
