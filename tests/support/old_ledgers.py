"""Ledgers that releases wrote, as files that a test may open."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.contract import ledgers

FOLDER = Path(ledgers.__file__).parent
_LATER = 9_999_999_999.0
_DEADLINE = re.compile(r'("deadline": ?)\d+(?:\.\d+)?')


def write_ledger(release: str, file: Path) -> None:
    """Make the file that a release left, with time left for its runs."""
    text = (FOLDER / f"{release}.sql").read_text()
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_DEADLINE.sub(rf"\g<1>{_LATER}", text))
        with connection:
            connection.execute("UPDATE mthds_runs SET deadline = ? WHERE deadline IS NOT NULL", (_LATER,))
        connection.execute("PRAGMA journal_mode = WAL")
