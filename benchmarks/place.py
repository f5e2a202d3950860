"""Where everything is measured: the same working directory, home and environment for all."""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

METHODS = Path(__file__).parent / "methods"


@dataclass(frozen=True)
class Place:
    """A directory that holds the methods, and the environment of every process measured in it."""

    directory: Path
    environment: dict[str, str]


@contextmanager
def prepared_place() -> Iterator[Place]:
    """A place of its own, removed at the end. Its PIPELEX_HOME has every model backend off, so no key is needed."""
    with tempfile.TemporaryDirectory(prefix="mthds-rpc-bench-") as name:
        directory = Path(name) / "work"
        shutil.copytree(METHODS, directory)
        home = Path(name) / "home"
        _prepare_pipelex_home(home / ".pipelex")
        yield Place(
            directory=directory,
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PIPELEX_HOME": str(home / ".pipelex"),
                "DO_NOT_TRACK": "1",
            },
        )


def _prepare_pipelex_home(home: Path) -> None:
    shipped = resources.files("pipelex").joinpath("kit/configs/inference/backends.toml").read_text(encoding="utf-8")
    backends = [
        name for name, table in tomllib.loads(shipped).items() if isinstance(table, dict) and name != "internal"
    ]
    inference = home / "inference"
    inference.mkdir(parents=True)
    override = "".join(f"[{name}]\nenabled = false\n" for name in backends)
    inference.joinpath("backends_override.toml").write_text(override, encoding="utf-8")
