"""The project around a workspace, found as Pipelex finds it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from rpc_server.settings.environment import user_home
from rpc_server.settings.trust import is_trusted

CONFIG_DIR_NAME = ".pipelex"
_MARKERS = (CONFIG_DIR_NAME, ".git", "pyproject.toml", "setup.py", "setup.cfg", "package.json", ".hg")


@dataclass(frozen=True)
class Project:
    """A folder with settings of its own, in `.pipelex`. Paths are absolute and resolved."""

    directory: Path
    config_dir: Path
    trusted: bool

    @property
    def notice(self) -> str | None:
        """One line for the user where settings are ignored for want of trust."""
        if self.trusted or not self._has_settings():
            return None
        return (
            f"the settings in {self.config_dir} are ignored, since this project is not trusted; "
            f"to trust it: mthds-rpc trust {shlex.quote(str(self.directory))}"
        )

    def _has_settings(self) -> bool:
        return any(
            next(self.config_dir.glob(pattern), None) is not None for pattern in ("*.toml", "inference/**/*.toml")
        )


def find_project(start: Path | None, home_dir: Path, *, trust: bool = False) -> Project | None:
    """The project that holds `start`, where it has a `.pipelex` other than `home_dir`; `trust` trusts it this once."""
    directory = None if start is None else project_root(start)
    if directory is None:
        return None
    config_dir = directory / CONFIG_DIR_NAME
    if not config_dir.is_dir() or config_dir.resolve() == home_dir.resolve():
        return None
    return Project(directory=directory, config_dir=config_dir, trusted=trust or is_trusted(directory))


def project_root(start: Path) -> Path | None:
    """The nearest folder at or above `start` that looks like a project's; the home directory never does."""
    home = user_home()
    for directory in (start, *start.parents):
        if directory == home:
            return None
        if any(_exists(directory / marker) for marker in _MARKERS):
            return directory
    return None


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True
