"""Whatever a row of the ledger holds: no worker is lost, no list is lost, and the good runs beside it complete.

`make soak` tries every kind of row; here it is a part of them that holds each column.
"""

from pathlib import Path

import pytest

from tests.fault.odd_campaign import try_odd_rows
from tests.fault.odd_rows import some_oddities

SEED = 1


@pytest.mark.parametrize(("dialect", "most"), [("sqlite", 150), ("postgres", 60)])
def test_odd_rows_cost_no_worker_no_list_and_no_good_run(tmp_path: Path, dialect: str, most: int) -> None:
    report = try_odd_rows(tmp_path, dialect, some_oddities(dialect, SEED, most))

    assert report.faults == []
    assert report.rows > report.refused
