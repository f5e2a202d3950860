"""Who counts as a worker, by what workers have said of themselves and by who has asked for work."""

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.taskqueue.v1 import PollerInfo
from temporalio.api.worker.v1 import WorkerHeartbeat

from orchestrators.temporal.liveness import _asks_for_work, _is_working

NOW = 1_700_000_000.0
RUNNING = WorkerStatus.WORKER_STATUS_RUNNING
STOPPING = WorkerStatus.WORKER_STATUS_SHUTTING_DOWN


def at(ago: float) -> Timestamp:
    return Timestamp(seconds=int(NOW - ago), nanos=int((NOW - ago) % 1 * 1e9))


def beat(ago: float, identity: str = "1@a runs", status: WorkerStatus.ValueType = RUNNING) -> WorkerHeartbeat:
    return WorkerHeartbeat(worker_identity=identity, status=status, heartbeat_time=at(ago))


def poller(ago: float, identity: str = "1@a runs") -> PollerInfo:
    return PollerInfo(identity=identity, last_access_time=at(ago))


def test_a_worker_counts_while_it_says_that_it_works() -> None:
    assert _is_working(beat(1), NOW)
    assert not _is_working(beat(1, status=STOPPING), NOW)
    assert not _is_working(beat(9), NOW)


def test_one_that_has_asked_for_work_counts_before_its_first_beat() -> None:
    others = [beat(60, "1@b runs"), beat(1, "2@b runs", STOPPING)]

    assert _asks_for_work([poller(0.1)], others, NOW)
    assert not _asks_for_work([poller(9)], others, NOW)


def test_one_that_stopped_or_was_killed_does_not_count_for_the_question_it_asked_before() -> None:
    for last in (beat(0.5, status=STOPPING), beat(9)):
        assert not _asks_for_work([poller(0.4)], [beat(0.5, status=STOPPING)], NOW)
        assert not _asks_for_work([poller(10)], [last], NOW)


def test_one_that_began_again_under_the_same_name_counts_once_it_asks() -> None:
    assert _asks_for_work([poller(0.1)], [beat(20), beat(3, status=STOPPING)], NOW)


def test_without_any_heartbeat_the_last_minute_of_polls_counts() -> None:
    assert _asks_for_work([poller(60)], [], NOW)
    assert not _asks_for_work([poller(80)], [], NOW)
    assert not _asks_for_work([], [], NOW)
