"""Pauses between tries."""

from orchestrators.durable.backoff import Backoff


def test_each_pause_is_twice_as_long_up_to_the_longest() -> None:
    backoff = Backoff(first_s=0.5, longest_s=1.5)

    assert [backoff.next_s() for _ in range(4)] == [0.5, 1.0, 1.5, 1.5]


def test_a_reset_begins_again_with_the_first_pause() -> None:
    backoff = Backoff(first_s=0.5, longest_s=1.5)
    backoff.next_s()

    backoff.reset()

    assert backoff.next_s() == 0.5
