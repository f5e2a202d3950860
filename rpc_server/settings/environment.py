"""The environment a server works in: what is really set, then --env-file, then the home's `.env`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rpc_server.settings.layers import ConfigurationFault

HOME_VARIABLE = "PIPELEX_HOME"
ENVIRONMENT_VARIABLE = "PIPELEX_ENV"
_ENVIRONMENTS = ("local", "dev", "staging", "prod")


@dataclass(frozen=True)
class Environment:
    """Variables and what follows from them."""

    name: str
    """`PIPELEX_ENV`, which picks the `<name>_{PIPELEX_ENV}.toml` files."""
    home_dir: Path
    """`PIPELEX_HOME`, else ~/.pipelex, absolute; may not exist."""
    added: Mapping[str, str]
    """The variables that files bring in."""


def read_environment(real: Mapping[str, str], env_files: Sequence[Path]) -> Environment:
    """Raises `ConfigurationFault` for a --env-file that is missing or broken, and for an unknown `PIPELEX_ENV`."""
    added: dict[str, str] = {}
    for path in env_files:
        added.update(_read_given(path))
    home_dir = _home_dir(real.get(HOME_VARIABLE) or added.get(HOME_VARIABLE))
    # Pipelex takes PIPELEX_HOME from outside the home alone, so that the home cannot point elsewhere.
    home = {name: value for name, value in _read_tolerantly(home_dir / ".env").items() if name != HOME_VARIABLE}
    added = {name: value for name, value in {**home, **added}.items() if name not in real}
    name = real.get(ENVIRONMENT_VARIABLE) or added.get(ENVIRONMENT_VARIABLE) or "dev"
    if name not in _ENVIRONMENTS:
        raise ConfigurationFault(ENVIRONMENT_VARIABLE, f"'{name}' is none of {', '.join(_ENVIRONMENTS)}")
    return Environment(name=name, home_dir=home_dir, added=added)


def _home_dir(configured: str | None) -> Path:
    try:
        return Path(configured).expanduser().resolve() if configured else Path.home() / ".pipelex"
    except RuntimeError as error:
        raise ConfigurationFault("HOME", "no home directory is known; set HOME or PIPELEX_HOME") from error


def _read_given(path: Path) -> dict[str, str]:
    text = _text(path.expanduser())
    if text is None:
        raise ConfigurationFault(path, "there is no such file (--env-file)")
    from io import StringIO

    from dotenv.parser import parse_stream

    for binding in parse_stream(StringIO(text)):
        if binding.error:
            raise ConfigurationFault(path, "this is not a line of the form NAME=value", line=binding.original.line)
    return _values(text)


def _read_tolerantly(path: Path) -> dict[str, str]:
    """The good lines of a file that Pipelex reads the same way."""
    text = _text(path)
    return {} if text is None else _values(text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigurationFault(path, "the file is not UTF-8 text") from error
    except OSError as error:
        raise ConfigurationFault(path, f"the file cannot be read: {error.strerror}") from error


def _values(text: str) -> dict[str, str]:
    from io import StringIO

    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}


def user_home() -> Path | None:
    """The user's home directory, resolved, or None where none is known."""
    try:
        return Path.home().resolve()
    except RuntimeError:
        return None
