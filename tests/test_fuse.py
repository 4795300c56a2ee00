"""The fuse blows before too many records are dead-lettered, and not before."""

import pytest

from stream_scorer.errors import TooManyDeadLetters
from stream_scorer.fuse import FEWEST, WINDOW, Fuse
from stream_scorer.model import Model
from stream_scorer.scorer import Scorer
from tests.records import GOOD, record
from tests.test_scorer import make_scorer

BAD = b"{"


@pytest.fixture
def scorer(tiny: Model) -> Scorer:
    return make_scorer(tiny)


def pass_through(fuse: Fuse, scorer: Scorer, *values: bytes) -> None:
    records = [record(i, value) for i, value in enumerate(values)]
    fuse.check(records, scorer(records))


def test_as_many_in_a_row_as_allowed_pass_and_one_more_does_not(scorer: Scorer) -> None:
    fuse = Fuse(in_a_row=5, ratio=1)
    pass_through(fuse, scorer, GOOD, *[BAD] * 5, GOOD, *[BAD] * 5)
    with pytest.raises(TooManyDeadLetters, match=r"6 records in a row.*@0: DECODE"):
        pass_through(fuse, scorer, BAD)


def test_run_goes_on_over_batches_and_a_good_record_ends_it(scorer: Scorer) -> None:
    fuse = Fuse(in_a_row=5, ratio=1)
    for _ in range(10):
        pass_through(fuse, scorer, BAD, BAD, BAD)
        pass_through(fuse, scorer, BAD, BAD, GOOD)
    pass_through(fuse, scorer, *[GOOD, BAD, BAD, BAD])
    pass_through(fuse, scorer, *[GOOD] * 3)
    pass_through(fuse, scorer, *[BAD] * 5)
    with pytest.raises(TooManyDeadLetters, match="allows 5"):
        pass_through(fuse, scorer, BAD, GOOD)


def test_share_is_judged_over_the_last_records_once_there_are_enough(scorer: Scorer) -> None:
    fuse = Fuse(in_a_row=0, ratio=0.5)
    batch = [GOOD, BAD, BAD, BAD] * 25
    for _ in range(FEWEST // 100 - 1):
        pass_through(fuse, scorer, *batch)
    with pytest.raises(TooManyDeadLetters, match=f"750 of the last {FEWEST} records.*allows 0.5"):
        pass_through(fuse, scorer, *batch)


def test_what_is_long_ago_no_longer_counts(scorer: Scorer) -> None:
    fuse = Fuse(in_a_row=0, ratio=0.5)
    pass_through(fuse, scorer, *[BAD] * (FEWEST - 1))
    for _ in range(2 * WINDOW // 1000):
        pass_through(fuse, scorer, *[GOOD] * 1000)
    pass_through(fuse, scorer, *[BAD] * (WINDOW // 2 - 1000))
    with pytest.raises(TooManyDeadLetters):
        pass_through(fuse, scorer, *[BAD] * 2000)


def test_fuse_that_is_off_never_blows(scorer: Scorer) -> None:
    fuse = Fuse(in_a_row=0, ratio=1)
    for _ in range(20):
        pass_through(fuse, scorer, *[BAD] * 1000)
