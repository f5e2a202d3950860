"""The short form of servers of several releases on one file; `python -m tests.fault.releases` is the long one."""

from pathlib import Path

from tests.fault.releases import try_releases


def test_servers_of_two_releases_run_each_others_runs_on_one_file(tmp_path: Path) -> None:
    report = try_releases(tmp_path, {}, servers=3, runs=40, kills=1)

    assert report.faults == []
    assert (report.acknowledged, report.ended) == (40, {"COMPLETED": 40})
    assert set(report.read_by) == {"present", "newer"}
