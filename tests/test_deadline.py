"""A call that never returns does not hold its caller."""

import threading

import pytest

from stream_scorer.deadline import HungError, within


def test_call_that_returns_in_time_is_as_if_made_here() -> None:
    seen: list[int] = []
    within(lambda: seen.append(1), 5)
    assert seen == [1]


def test_error_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        within(fail, 5)


def test_call_that_hangs_is_given_up() -> None:
    never = threading.Event()
    with pytest.raises(HungError):
        within(never.wait, 0.01)
    never.set()
