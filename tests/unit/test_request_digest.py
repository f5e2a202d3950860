"""What makes two requests the same run: the same text in every release, since runs outlive releases."""

import pytest

from schemas.canonical import request_digest
from schemas.method_source import MethodSource
from schemas.runs import RunRequest

DIGEST = "12bb938fdccd5e811ccb220ffea42cf60f15132b63568fdfae2d568110aae38b"


def run(**more: object) -> RunRequest:
    return RunRequest.model_validate(
        {
            "run_id": "a",
            "method": MethodSource(mthds_contents=["x"]),
            "orchestration_mode": "m",
            "inputs": {"a": None, "b": {"c": None, "f": 1.0, "big": 2**70}},
            "created_at": 1,
            **more,
        }
    )


def test_a_digest_is_what_it_was_in_the_release_before() -> None:
    """A worker refuses a request with another digest than its run has: a new member has to stay out while unset."""
    assert request_digest(run()) == DIGEST


def test_a_request_has_the_same_digest_once_it_was_written_and_read() -> None:
    written = run(include=["graph"], deadline=5).model_dump(mode="json", exclude_none=True)

    assert request_digest(RunRequest.model_validate(written)) == DIGEST


@pytest.mark.parametrize("other", [{"inputs": {}}, {"pipe_code": "d.p"}, {"run_mode": "dry"}], ids=repr)
def test_another_request_has_another_digest(other: dict[str, object]) -> None:
    assert request_digest(run(**other)) != DIGEST
