"""The workload is the same for the same seed, and what must come of it is known."""

import json
from itertools import islice

import numpy as np

from tests.faults.oracle import ALERT, EDGE_EVERY, LETTER, SCORE, THRESHOLD, Workload, number_of


def test_workload_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    one, same, other = (list(Workload(seed, 2000, 6).events(0, 2000)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_key_says_which_record_it_is() -> None:
    events = list(Workload(1, 2000, 6).events(10, 20))
    assert [number_of(key.encode()) for key, _ in events] == list(range(10, 20))
    assert number_of(b"someone's") is None
    assert number_of(None) is None


def test_about_two_in_a_hundred_alert_and_one_is_bad() -> None:
    workload = Workload(1, 20_000, 6)
    kinds = [workload.expected(n) for n in range(20_000)]
    assert 0.01 < sum(ALERT in each for each in kinds) / 20_000 < 0.03
    assert 0.005 < sum(each == (LETTER,) for each in kinds) / 20_000 < 0.015
    assert all(SCORE in each or each == (LETTER,) for each in kinds)
    assert {code for code, _ in workload.bad.values()} >= {"DECODE", "TOMBSTONE", "RANGE", "TYPE"}


def test_some_rows_have_exactly_the_threshold_and_must_alert() -> None:
    workload = Workload(1, 3000, 6)
    edge = [n for n in range(0, 3000, EDGE_EVERY) if n not in workload.bad]
    assert edge
    for n in edge:
        assert workload.probability_of(n) == THRESHOLD
        assert ALERT in workload.expected(n)


def test_longer_workload_begins_like_a_shorter_one_in_its_good_rows() -> None:
    workload = Workload(1, 2000, 6)
    good = (value for n, (_, value) in enumerate(workload.events(0, 50)) if n not in workload.bad)
    for value in islice(good, 5):
        assert value is not None
        assert all(np.isfinite(number) for number in json.loads(value).values())
