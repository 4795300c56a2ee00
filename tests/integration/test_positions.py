"""Where reading begins on a real Kafka: nothing is ever jumped over without a word."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from numpy.typing import NDArray

from producer.generate import generate
from tests.integration.stream import Stream, fresh_stream
from tests.integration.test_stream import events, ids

pytestmark = pytest.mark.integration

ROWS = 1000


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, partitions=1) as each:
        yield each


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float64]:
    return np.concatenate(list(generate(ROWS, seed=17)))[:, :-1]


def commit(stream: Stream, offset: int) -> None:
    """Set the group's offset of partition 0, as a tool would while nobody runs."""
    place = TopicPartition(stream.settings.transactions_topic, 0, offset)
    client = Consumer({"bootstrap.servers": stream.bootstrap, "group.id": stream.settings.group_id})
    client.commit(offsets=[place], asynchronous=False)
    client.close()


def test_records_that_are_gone_stop_the_scorer_with_how_many_and_how_to_go_on(
    stream: Stream, rows: NDArray[np.float64]
) -> None:
    stream.send(events(rows))
    commit(stream, 100)
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    place = TopicPartition(stream.settings.transactions_topic, 0, 400)
    for each in admin.delete_records([place]).values():
        each.result(30)
    scorer = stream.start()
    assert scorer.process.wait(60) == 1
    last = scorer.text().splitlines()[-1]
    assert "done everything before 100, and 300 records are gone: it begins at 400" in last
    assert "--reset-offsets" in last
    assert stream.committed() == 100
    assert not stream.scores()


def test_offset_beyond_the_end_stops_the_scorer(stream: Stream, rows: NDArray[np.float64]) -> None:
    stream.send(events(rows))
    commit(stream, ROWS + 5)
    scorer = stream.start()
    assert scorer.process.wait(60) == 1
    assert f"it ends at {ROWS}: was the topic made anew?" in scorer.text().splitlines()[-1]
    assert stream.committed() == ROWS + 5


def test_group_that_starts_at_the_end_loses_nothing_from_then_on(
    stream: Stream, rows: NDArray[np.float64]
) -> None:
    latest = {"SCORER_KAFKA_CONSUMER_AUTO_OFFSET_RESET": "latest"}
    stream.send(events(rows))
    first = stream.start(**latest)
    first.wait_assigned()
    first.kill()  # before it has scored anything: where it began is committed already
    assert stream.committed() == ROWS
    stream.send(events(rows, start=ROWS))
    scorer = stream.start(SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS="6000", **latest)
    stream.wait_committed(2 * ROWS)
    assert scorer.stop() == 0
    assert ids(stream.scores()) == Counter(f"t{i}" for i in range(ROWS, 2 * ROWS))


def test_records_of_partitions_that_are_added_are_scored_from_the_first(
    stream: Stream, rows: NDArray[np.float64]
) -> None:
    soon = {"SCORER_KAFKA_CONSUMER_TOPIC_METADATA_REFRESH_INTERVAL_MS": "1000"}
    scorer = stream.start(**soon)
    scorer.wait_assigned()
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    new = [NewPartitions(stream.settings.transactions_topic, 4)]
    for each in admin.create_partitions(new).values():
        each.result(30)
    stream.partitions = 4
    stream.send(events(rows))
    stream.wait_committed(ROWS)
    assert scorer.stop() == 0
    assert ids(stream.scores()) == Counter(f"t{i}" for i in range(ROWS))
