"""Installing packages for real, without an index and without a build tool: a wheel is put together and pip takes it."""

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = Path(__file__).parents[1] / "packages"


def install(projects: list[Path], target: Path) -> Path:
    """Install the projects into `target`, which then goes on a PYTHONPATH."""
    wheels = target.with_name(f"{target.name}-wheels")
    wheels.mkdir(parents=True)
    built = [str(build_wheel(project, wheels)) for project in projects]
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), *built], check=True)
    return target


def write_project(directory: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], code: str) -> Path:
    """Write a project of one module, called as the project is."""
    groups = "\n".join(
        f'[project.entry-points."{group}"]\n' + "\n".join(f'{key} = "{value}"' for key, value in entries.items())
        for group, entries in entry_points.items()
    )
    module = name.replace("-", "_")
    (directory / module).mkdir(parents=True)
    (directory / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n\n{groups}\n')
    (directory / module / "__init__.py").write_text(code)
    return directory


def build_wheel(project: Path, directory: Path) -> Path:
    """A wheel of every folder in `project`, with the metadata of its pyproject.toml."""
    facts = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    stem = f"{facts['name'].replace('-', '_')}-{facts['version']}"
    wheel = directory / f"{stem}-py3-none-any.whl"
    files = {str(path.relative_to(project)): path.read_bytes() for path in _files(project)}
    files |= {f"{stem}.dist-info/{name}": text.encode() for name, text in _metadata(facts).items()}
    record = f"{stem}.dist-info/RECORD"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(record, "".join(f"{name},,\n" for name in [*files, record]))
    return wheel


def _files(project: Path) -> list[Path]:
    return sorted(path for path in project.glob("*/**/*") if path.is_file() and path.suffix != ".pyc")


def _metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in facts["entry-points"].items()
    ]
    return {
        "METADATA": f"Metadata-Version: 2.1\nName: {facts['name']}\nVersion: {facts['version']}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "\n".join(groups),
    }
