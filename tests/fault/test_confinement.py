"""The short form of the confinement campaign."""

from pathlib import Path

import pytest

from tests.fault.confinement import race


@pytest.mark.anyio
async def test_nothing_outside_the_workspace_is_read_while_its_folders_become_links(tmp_path: Path) -> None:
    report = await race(tmp_path, swaps=800, seed=1)

    assert not report.leaked, str(report)
    # It was a race: each kind of read was refused at times, and at times not.
    assert min(report.read.values()) > 0, str(report)
    assert sum(report.refused.values()) > 0, str(report)
