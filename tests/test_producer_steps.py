"""The rules by which rows become steps, and steps get their moment."""

from collections.abc import Callable, Iterable
from functools import partial

import pytest

from producer.pacing import at_once, at_rate, at_speed
from producer.steps import Rows, Step, Way, missing, to_steps
from stream_scorer.events import to_event
from stream_scorer.tables import Cell, Malformed, Row


def table(*rows: dict[str, Cell] | str) -> Rows[Row]:
    def read() -> Iterable[Row | Malformed]:
        for number, row in enumerate(rows, start=1):
            if isinstance(row, str):
                yield Malformed(number, number + 1, row)
            else:
                yield Row(number, number + 1, row)

    return Rows(read, partial(to_event, stem="f"))


def sent(steps: Iterable[Step | Malformed], limit: int = 100) -> list[Step]:
    found = []
    for step in steps:
        if isinstance(step, Step):
            found.append(step)
        if len(found) == limit:
            break
    return found


def test_the_key_is_the_transaction_id_unless_a_column_is_named() -> None:
    rows = table({"card": 17, "V1": 1.5})
    assert [step.key for step in sent(to_steps(rows, Way()))] == ["f-000000001"]
    assert [step.key for step in sent(to_steps(rows, Way(key="card")))] == ["17"]


def test_a_row_without_key_is_malformed() -> None:
    assert list(to_steps(table({"card": None}), Way(key="card"))) == [
        Malformed(1, 2, "card, the key, is empty")
    ]


def test_a_loop_goes_on_with_new_ids_growing_numbers_and_growing_time() -> None:
    rows = table({"Time": 10}, {"Time": 40})
    steps = sent(to_steps(rows, Way(timed=True, loop=True)), limit=5)
    assert [step.transaction_id for step in steps] == [
        "f-000000001",
        "f-000000002",
        "f-000000001-pass2",
        "f-000000002-pass2",
        "f-000000001-pass3",
    ]
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert [step.time_s for step in steps] == [10, 40, 41, 71, 72]


def test_a_loop_over_no_rows_ends() -> None:
    assert list(to_steps(table(), Way(loop=True))) == []


def test_the_limit_counts_rows_over_all_passes() -> None:
    rows = table({"a": 1}, "bad")
    assert len(list(to_steps(rows, Way(loop=True, limit=5)))) == 5


def test_a_resume_begins_with_its_row_and_the_same_ids() -> None:
    rows = table({"Time": 1}, {"Time": 2}, "bad")
    whole = list(to_steps(rows, Way(timed=True, loop=True, limit=9)))
    for first in range(1, 10):
        rest = list(to_steps(rows, Way(timed=True, loop=True, limit=9), first=first))
        assert rest == whole[first - 1 :]


def test_record_timestamps_are_start_plus_time() -> None:
    steps = sent(to_steps(table({"Time": 1.5}), Way(timed=True, start_at_ms=1_000_000)))
    assert [step.timestamp_ms for step in steps] == [1_001_500]


@pytest.mark.parametrize("time", [None, "soon", 1e300, -1e11])
def test_a_time_that_is_none_is_malformed_where_it_is_needed(time: Cell) -> None:
    assert list(to_steps(table({"Time": time}), Way(timed=True))) == [
        Malformed(1, 2, f"Time is {time!r}, want seconds as a number")
    ]
    assert len(sent(to_steps(table({"Time": time}), Way()))) == 1


def test_a_timestamp_before_1970_is_malformed() -> None:
    (row,) = to_steps(table({"Time": -5}), Way(timed=True, start_at_ms=1000))
    assert isinstance(row, Malformed)
    assert "before 1970" in row.reason


@pytest.mark.parametrize(
    ("way", "labels", "column"),
    [
        (Way(timed=True), False, "Time"),
        (Way(key="card"), False, "card"),
        (Way(), True, "Class"),
        (Way(), False, None),
    ],
)
def test_a_column_that_is_needed_and_lacks_is_named(
    *, way: Way, labels: bool, column: str | None
) -> None:
    assert missing(way, ["V1", "Amount"], labels=labels) == column


def test_a_rate_is_kept_exactly_however_long_it_runs() -> None:
    pace = at_rate(50_000)
    dues = [pace(None) for _ in range(1_000_001)]
    assert dues[0] == 0
    assert dues[-1] == 20.0


def test_a_speed_counts_from_the_first_event() -> None:
    pace = at_speed(60)
    assert [pace(time) for time in (1000.0, 1060.0, 1030.0, 4600.0)] == [0, 1, 0.5, 60]


def test_a_speed_needs_times() -> None:
    with pytest.raises(ValueError, match="without a time"):
        at_speed(1)(None)


def test_at_once_has_no_moment() -> None:
    pace: Callable[[float | None], float | None] = at_once
    assert pace(5.0) is None
