"""A release after this one, made of this one: it adds to the ledger, and writes what this one does not know."""

import shutil
import sys
import sysconfig
from pathlib import Path

from tests.support.client import ROOT

RELEASE = "99.0.0"
_PACKAGES = ("rpc_server", "orchestrators", "schemas")
_CHANGES = {
    "orchestrators/dbos/migration.py": [
        ("VERSION = 2\n", "VERSION = 3\n"),
        ('_RELEASE = version("mthds-rpc")', f'_RELEASE = "{RELEASE}"'),
        (
            "_STEPS: tuple",
            "def _add(connection: sa.Connection) -> None:\n"
            '    if "priority" not in _columns(connection, runs):\n'
            '        connection.exec_driver_sql("ALTER TABLE mthds_runs ADD COLUMN priority INTEGER")\n\n\n'
            "_STEPS: tuple",
        ),
        ("(lambda _: None, _count_hand_backs)", "(lambda _: None, _count_hand_backs, _add)"),
    ],
    "orchestrators/dbos/transitions.py": [
        (
            "    _change(connection, claim.run_id, values, [run_events.started(claim.run_id, now, claim.attempt)])\n"
            "    return claim\n",
            "    started = run_events.started(claim.run_id, now, claim.attempt)\n"
            '    news = {"kind": "run_considered", "message": "the run was considered"}\n'
            "    _change(connection, claim.run_id, values, [started, started.model_copy(update=news)])\n"
            "    return Claim(claim.run_id, claim.attempt, executor, claim.event_count + 1)\n",
        ),
    ],
    "rpc_server/versions.py": [('SERVER = "0.', 'SERVER = "99.')],
}
"""Each file with what is put in the place of what."""


def make_newer_release(folder: Path) -> Path:
    """Install it below `folder`, beside what it needs; its Python."""
    source = folder / "source"
    for package in _PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    shutil.copy(ROOT / "api.toml", source)
    for name, changes in _CHANGES.items():
        text = (source / name).read_text()
        for before, after in changes:
            assert before in text, f"{name} no longer holds {before!r}"
            text = text.replace(before, after, 1)
        (source / name).write_text(text)
    return _python_that_sees(folder, source)


def _python_that_sees(folder: Path, source: Path) -> Path:
    """A virtual environment whose packages are those of this one, but for the copy."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    base = Path(sys.executable).resolve().parent
    (folder / "pyvenv.cfg").write_text(f"home = {base}\ninclude-system-site-packages = false\n")
    site = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    site.mkdir(parents=True)
    (site / "newer.pth").write_text(f"{source}\nimport site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return python
