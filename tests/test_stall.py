"""A partition that silently stops is noticed; one that has nothing, moves or is away is not."""

import pytest

from stream_scorer.errors import KafkaTrouble
from stream_scorer.stall import CONFIRM_S, STALL_S, Stalls
from tests.fakes import Clock
from tests.records import P0


class Bench:
    """Looks at one partition, which has records or not."""

    def __init__(self, *, records: bool | None) -> None:
        self.clock = Clock()
        self.asked: list[int] = []
        self.records = records
        self.stalls = Stalls(self.has_records, self.clock)

    def has_records(self, _: object, position: int) -> bool | None:
        self.asked.append(position)
        return self.records

    def after(self, seconds: float, position: int = 7, drains: int = 0) -> None:
        self.clock.now += seconds
        self.stalls.look({P0: position}, drains=drains)


def test_partition_that_has_records_and_gives_none_is_told_of() -> None:
    bench = Bench(records=True)
    bench.after(0)
    bench.after(STALL_S - 1)
    bench.after(1)
    bench.after(CONFIRM_S - 1)
    with pytest.raises(KafkaTrouble, match="has records from offset 7 on and has given none"):
        bench.after(1)
    assert bench.asked == [7], "once is enough"


def test_record_that_comes_while_it_is_looked_for_is_no_stall() -> None:
    bench = Bench(records=True)
    bench.after(0)
    bench.after(STALL_S)
    for position in (8, 9):
        bench.after(CONFIRM_S, position)
        bench.after(STALL_S - 1, position)
    assert bench.asked == [7]


def test_record_that_waits_behind_others_is_no_stall_until_they_are_handed_out() -> None:
    bench = Bench(records=True)
    bench.after(0, drains=1)
    bench.after(STALL_S, drains=1)
    for _ in range(20):
        bench.after(CONFIRM_S, drains=1)
    with pytest.raises(KafkaTrouble, match=r"has given none for 320 s"):
        bench.after(0, drains=2)


def test_partition_that_has_nothing_may_stand_and_is_not_asked_all_the_time() -> None:
    bench = Bench(records=False)
    for _ in range(25):
        bench.after(STALL_S / 10)
    assert bench.asked == [7, 7]


def test_end_is_known_while_a_partition_stands_where_no_record_was_found() -> None:
    bench = Bench(records=False)
    bench.after(0)
    assert not bench.stalls.at_end(P0, 7), "nobody has looked"
    bench.after(STALL_S)
    assert bench.stalls.at_end(P0, 7)
    assert not bench.stalls.at_end(P0, 8), "it has moved"


def test_end_is_not_known_where_the_broker_does_not_answer_nor_where_records_came() -> None:
    bench = Bench(records=False)
    bench.after(0)
    for answer in (None, True):
        bench.records = False
        bench.after(STALL_S)
        bench.records = answer
        bench.after(STALL_S)
        assert not bench.stalls.at_end(P0, 7)


def test_partition_that_moves_is_not_asked() -> None:
    bench = Bench(records=True)
    for position in range(5):
        bench.after(STALL_S - 1, position)
    assert bench.asked == []


def test_partition_that_went_and_came_back_begins_anew() -> None:
    bench = Bench(records=True)
    bench.after(0)
    bench.stalls.look({})
    bench.after(STALL_S)
    bench.after(STALL_S - 1)
    assert bench.asked == []
