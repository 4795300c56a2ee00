"""Quality: a share has its count and its interval, or is not told."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.config import Settings
from stream_scorer.console.database import Database
from stream_scorer.console.pages.quality import cell, in_words, picture, status
from stream_scorer.console.quality import (
    FEWEST_LABELS,
    Figures,
    Report,
    Reports,
    Share,
    decode,
    report,
    wilson,
)
from stream_scorer.monitor import board
from stream_scorer.monitor.figures import figures as monitored
from tests.console.conftest import Milliseconds
from tests.console.test_flow import alert, record, store

HOUR_MS = 3_600_000
NOW = 1_700_000_000_000


def counts(caught: int, false: int, missed: int, passed: int, waiting: int = 3) -> dict[str, int]:
    """Return counts as the monitor has them: by rank of the score, and by alert and truth."""
    return {
        "fraud.900": caught,
        "genuine.850": false,
        "unlabelled.840": waiting,
        "fraud.200": missed,
        "genuine.100": passed,
        "alerted.fraud": caught,
        "alerted.genuine": false,
        "alerted.unlabelled": waiting,
        "label.600": caught + false + missed + passed,
        "label.ms": 60_000 * (caught + false + missed + passed),
    }


def published(window: tuple[str, int, str], said: dict[str, int], offset: int = 0) -> Any:
    """Return the record that the monitor would write."""
    key, value = board.record(window, monitored(said, top_k=100 if window[0] == "day" else None))
    return record(Settings().quality_topic, offset, value, key=key, at=NOW)


def figures(*said: int) -> Figures:
    return decode(published(("all", 0, "ab"), counts(*said)).value())


def test_monitors_own_records_are_read_and_say_the_same(database: Database) -> None:
    said = counts(58, 12, 9, 821)
    windows = [("all", 0, "ab"), ("day", 0, "ab"), ("hour", HOUR_MS, "ab"), ("hour", 0, "ab")]
    store(database, *(published(each, said, n) for n, each in enumerate(windows)))
    with database.reading() as connection:
        found = report(connection)
    (overall,) = found.overall
    theirs = monitored(said)
    assert overall.precision.value == theirs.precision
    assert overall.recall.value == theirs.recall
    assert overall.f1.value == pytest.approx(theirs.f1)
    assert [each.start_ms for each in found.of("hour", "ab")] == [0, HOUR_MS]
    assert found.of("day", "ab")[0].top_k is not None
    assert (found.seen_at, found.unread) == (NOW, 0)
    assert found.of("hour", "another") == []


def test_record_with_other_figures_is_counted_and_stops_nothing(database: Database) -> None:
    topic = Settings().quality_topic
    odd = [
        {"window": "all", "start_ms": 0},
        {**json.loads(published(("all", 0, "x"), counts(1, 1, 1, 1)).value()), "caught": -1},
    ]
    store(database, *(record(topic, n, each, key=b"k%d" % n) for n, each in enumerate(odd)))
    store(database, published(("all", 0, "ab"), counts(1, 1, 1, 1), 5))
    with database.reading() as connection:
        found = report(connection)
    assert (len(found.overall), found.unread) == (1, 2)


def test_oldest_open_alert_is_the_age_of_the_backlog(database: Database) -> None:
    for number, at in ((1, 800), (2, 500), (3, 900)):
        source = {"topic": "t", "partition": 0, "offset": number, "timestamp_ms": at}
        store(database, record(Settings().alerts_topic, number, alert(number, source=source)))
    with database.reading() as connection:
        assert report(connection).oldest_open == 500


def test_all_who_watch_ask_the_database_once_in_two_seconds(
    database: Database, clock: Milliseconds
) -> None:
    reports = Reports(database, clock)
    first = reports.latest()
    assert first.seen_at is None
    store(database, published(("all", 0, "ab"), counts(1, 1, 1, 1)))
    assert reports.latest() is first
    clock.now += 2000
    assert reports.latest().seen_at == NOW


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_ends_of_the_interval_are_the_shares_that_a_score_test_just_does_not_reject(
    of: tuple[int, int],
) -> None:
    part, whole = of
    for end in wilson(part, whole):
        if 0 < end < 1:
            deviations = (part / whole - end) / math.sqrt(end * (1 - end) / whole)
            assert abs(deviations) == pytest.approx(1.959964, rel=1e-4)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_is_within_its_interval_and_both_within_nought_and_one(of: tuple[int, int]) -> None:
    for harmonic in (False, True):
        share = Share(*of, harmonic=harmonic)
        assert share.interval is not None
        low, high = share.interval
        assert share.value is not None
        assert 0 <= low <= share.value <= high <= 1
        assert low < high


def test_share_is_never_told_without_its_count() -> None:
    assert in_words("precision", Share(58, 70)) == ("0.83 (58 of 70 labelled alerts; 0.72 to 0.90)")
    assert in_words("precision", Share(0, 0)) == "- (no labelled alert)"
    assert in_words("recall", Share(0, 0)) == "- (no known fraud)"
    drawn = json.dumps(picture([figures(58, 12, 9, 21)], "hours"))
    assert "58 of 70 labelled alerts" in drawn
    assert "58 of 67 known frauds" in drawn


def test_below_thirty_labels_nothing_is_judged() -> None:
    assert cell("precision", figures(4, 4, 2, 2)) == "Not enough labels yet (12 of 30)."
    few = picture([figures(4, 4, 2, 2)], "hours")
    assert few["series"][0]["data"] == [[0, None, None, None, ""]]
    enough = figures(FEWEST_LABELS, 0, 0, 0)
    assert cell("precision", enough).startswith("1.00 (30 of 30 labelled alerts; 0.89 to")


def test_silent_monitor_is_said_after_a_minute() -> None:
    known = Report(overall=[figures(40, 4, 2, 2)], seen_at=NOW)
    assert status(known, NOW + 60_000) == "Figures of 2023-11-14 22:13:20 UTC."
    assert status(known, NOW + 60_001) == (
        "No figures since 2023-11-14 22:13:20 UTC. Is `stream-scorer monitor` running?"
    )
    assert status(Report(), NOW).startswith("No figures yet.")
