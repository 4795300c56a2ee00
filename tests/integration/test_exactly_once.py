"""Exactly once on a real Kafka where it is hardest: two of one name, and what is left open."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from producer.generate import generate
from stream_scorer.topics import TopicReader
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_stream import events, ids

pytestmark = pytest.mark.integration

ROWS = 6000


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, SCORER_GUARANTEE="exactly-once") as each:
        yield each


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float64]:
    return np.concatenate(list(generate(ROWS, seed=13, fraud_rate=0.05)))[:, :-1]


def endless(rows: NDArray[np.float64]) -> Iterator[tuple[str, bytes]]:
    return chain.from_iterable(events(rows, start=k * ROWS) for k in count())


def test_two_scorers_of_one_name_repeat_nothing(stream: Stream, rows: NDArray[np.float64]) -> None:
    with stream.load(endless(rows)) as sent:
        first = stream.start(SCORER_REPLICA="same")
        first.wait_assigned()
        second = stream.start(SCORER_REPLICA="same")
        second.wait_assigned()
        before = stream.committed()
        scorers = (first, second)
        # Each fences the other until one gives up; the other goes on.
        given_up = lambda: any(each.process.poll() for each in scorers)  # noqa: E731
        wait_for("one to give up", given_up, timeout_s=180)
        wait_for("the other to go on", lambda: stream.committed() > before + ROWS)
    left = first if first.process.poll() is None else second
    gone = second if left is first else first
    assert gone.process.returncode == 1
    assert "SCORER_REPLICA of its own" in gone.text()
    stream.wait_committed(len(sent))
    assert left.stop() == 0
    assert ids(stream.scores()) == Counter(sent)


def test_dead_letters_and_scores_of_a_killed_scorer_are_there_once(
    stream: Stream, rows: NDArray[np.float64]
) -> None:
    bad = [(f"bad-{i}", b"{") for i in range(500)]
    good = list(events(rows))
    stream.send(chain.from_iterable(zip(good[::12], bad, strict=True)))
    soon = {"SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "6000"}  # how long the dead keep partitions
    scorer = stream.start(SCORER_REPLICA="one", SCORER_MAX_BATCH_ROWS="1", **soon)
    wait_for("dead letters", lambda: stream.written(stream.settings.dead_letters_topic) > 20)
    scorer.kill()
    again = stream.start(SCORER_REPLICA="one")
    stream.wait_committed(1000)
    assert again.stop() == 0
    last = TopicReader(stream.settings, stream.settings.dead_letters_topic, last=1)
    assert list(last.held()), "the end of a transaction hides no record"
    last.close()
    assert ids(stream.scores()) == Counter(key for key, _ in good[::12])
    assert ids(stream.dead_letters()) == Counter(key for key, _ in bad)
