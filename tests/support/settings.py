"""Settings files in a home and a project of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpc_server.settings.settings import Flags, Settings, load_settings


@dataclass(frozen=True)
class Machine:
    """A user's home, Pipelex's home in it, and a project; nothing outside is read."""

    home: Path
    project: Path

    @property
    def pipelex_home(self) -> Path:
        return self.home / ".pipelex"

    @property
    def project_config(self) -> Path:
        return self.project / ".pipelex"

    def write(self, directory: Path, name: str, text: str) -> Path:
        """A file of `directory`, which is made where it is missing."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, flags: Flags | None = None, environ: Mapping[str, str] | None = None, **kwargs: Any) -> Settings:
        """The settings of a server that is started in the project."""
        return load_settings(flags or Flags(), **{"cwd": self.project, "environ": environ or {}, **kwargs})
