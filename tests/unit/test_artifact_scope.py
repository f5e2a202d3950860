"""Where the files of a run are."""

import re

from orchestrators.artifact_scope import artifact_scope
from schemas.params import RUN_ID_PATTERN
from schemas.times import iso_time


def test_a_kept_run_has_the_folder_of_its_id() -> None:
    assert artifact_scope("run-1", "dbos", iso_time(1.5)) == "run-1"


def test_executions_of_one_id_have_a_folder_each_which_no_run_of_another_mode_can_have() -> None:
    first, second = (artifact_scope("run-1", "temporal", iso_time(1.5), letter * 32) for letter in "ab")

    assert first == f"_temporal/run-1/{'a' * 32}"
    assert second == f"_temporal/run-1/{'b' * 32}"
    assert not re.match(RUN_ID_PATTERN, first.partition("/")[0])


def test_runs_of_direct_with_one_id_have_a_folder_each_which_no_kept_run_can_have() -> None:
    first = artifact_scope("run-1", "direct", iso_time(1_800_000_000.000001))
    second = artifact_scope("run-1", "direct", iso_time(1_800_000_000.000002))

    assert first == "_direct/run-1/20270115T080000000001"
    assert second != first
    assert not re.match(RUN_ID_PATTERN, first.partition("/")[0])
