"""The short form of the hostile campaigns; `make hostile` is the long one.

A fault is repeated, and made small, by `python -m tests.fault.hostile` with the seed and the number of the session.
"""

import pytest

from tests.fault.hostile_ends import ENDS, run_brief
from tests.fault.hostile_messages import Session
from tests.fault.hostile_sessions import Report, run_session
from tests.fault.hostile_workspaces import run_workspaces

SEED = 1


def told(report: Report) -> dict[str, object]:
    return {signature: (finding.fault.detail, finding.bodies[:3]) for signature, finding in report.findings.items()}


@pytest.mark.parametrize("number", [0, 9], ids=["plain, lines", "2025-11-25, headers"])
def test_a_server_answers_each_id_once_whatever_it_is_sent(number: int) -> None:
    report = run_session(Session(SEED, number, 2_500))

    assert told(report) == {}
    assert report.servers == 1
    assert report.messages >= 2_500


@pytest.mark.parametrize("number", range(len(ENDS)), ids=[end.__name__.strip("_") for end in ENDS])
def test_a_session_ends_in_order_however_it_begins_and_ends(number: int) -> None:
    # Framings take turns.
    report = run_brief(Session(SEED, 2 * number + number % 2, 0))

    assert told(report) == {}


def test_every_file_is_listed_and_none_ends_the_server() -> None:
    report = run_workspaces(Session(SEED, 0, 200))

    assert told(report) == {}
    assert report.servers == 1
    assert report.files >= 200
