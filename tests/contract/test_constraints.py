"""constraints.txt, by which every environment of this project is made."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)==[0-9][A-Za-z0-9.]*")


def pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_every_line_is_one_exact_version_and_nothing_else() -> None:
    assert [line for line in pins() if not PIN.fullmatch(line)] == []


def test_every_package_is_pinned_once_in_order() -> None:
    names = [line.split("==")[0] for line in pins()]

    assert names == sorted(set(names))


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    declared = {re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in [*project["dependencies"], *extras]}

    names = {re.sub(r"[-_.]+", "-", name).lower() for name in declared} - {project["name"]}
    missing = names - {line.split("==")[0] for line in pins()}

    assert missing == set()
