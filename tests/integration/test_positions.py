"""Where reading begins on a real Kafka: nothing is ever jumped over without a word."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from numpy.typing import NDArray

from producer.generate import generate
from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.records import NextOffsets
from stream_scorer.source import KafkaSource
from tests.integration.stream import Stream, fresh_stream, wait_for
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


def forget(stream: Stream) -> None:
    """Delete the group with its offsets, as Kafka does after a week without a member."""
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})

    def forgotten() -> bool:
        (answer,) = admin.delete_consumer_groups([stream.settings.group_id]).values()
        try:
            answer.result(30)
        except KafkaException as exc:  # its last member has just left
            return bool(exc.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
        return True

    wait_for("the group to be forgotten", forgotten)


@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_group_whose_offsets_are_forgotten_says_so_and_where_it_begins(
    stream: Stream, rows: NDArray[np.float64], guarantee: str
) -> None:
    stream.send(events(rows))
    for run in range(2):
        scorer = stream.start(SCORER_GUARANTEE=guarantee)
        stream.wait_committed(ROWS)
        assert scorer.stop() == 0
        topic, group = stream.settings.transactions_topic, stream.settings.group_id
        says = f"Group {group} has committed nothing here and begins {topic}[0] at 0 of 1,000"
        assert scorer.text().count(says) == 1, run
        forget(stream)
    assert set(ids(stream.scores()).values()) == {2}


def test_group_that_may_begin_nowhere_stops_when_its_offsets_are_forgotten(
    stream: Stream, rows: NDArray[np.float64]
) -> None:
    commit(stream, 0)
    stream.send(events(rows))
    error = {"SCORER_KAFKA_CONSUMER_AUTO_OFFSET_RESET": "error"}
    scorer = stream.start(**error)
    stream.wait_committed(ROWS)
    assert scorer.stop() == 0
    forget(stream)
    scorer = stream.start(**error)
    assert scorer.process.wait(60) == 1
    last = scorer.text().splitlines()[-1]
    assert "has committed nothing, or Kafka has forgotten it" in last
    assert "--reset-offsets --to-earliest --execute" in last
    assert set(ids(stream.scores()).values()) == {1}


@pytest.mark.parametrize("reset", ["earliest", "error"])
def test_records_of_partitions_that_are_added_are_scored_from_the_first(
    stream: Stream, rows: NDArray[np.float64], reset: str
) -> None:
    commit(stream, 0)
    soon = {
        "SCORER_KAFKA_CONSUMER_TOPIC_METADATA_REFRESH_INTERVAL_MS": "1000",
        "SCORER_KAFKA_CONSUMER_AUTO_OFFSET_RESET": reset,
    }
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


@pytest.mark.parametrize(
    "protocol",
    [
        {},
        {"SCORER_KAFKA_CONSUMER_PARTITION_ASSIGNMENT_STRATEGY": "cooperative-sticky"},
        {"SCORER_KAFKA_CONSUMER_GROUP_PROTOCOL": "consumer"},
    ],
    ids=["eager", "cooperative", "KIP-848"],
)
def test_partition_whose_beginning_cannot_be_committed_at_first_is_read_once_it_can(
    stream: Stream, rows: NDArray[np.float64], protocol: dict[str, str]
) -> None:
    settings = Settings.load(
        environ={"SCORER_KAFKA_BOOTSTRAP_SERVERS": stream.bootstrap, **stream.names(), **protocol}
    )
    consumer = clients.consumer(settings, {"auto.offset.reset": "error"})
    source = KafkaSource(consumer, settings.transactions_topic, group=settings.group_id)
    stream.send(events(rows))
    refused = iter(range(30))

    def commit(offsets: NextOffsets) -> bool:
        """Refuse for longer than the client takes to see that there is no offset."""
        return next(refused, None) is None and source.commit(offsets)

    source.subscribe(lambda *_: None, commit)
    read: list[int | None] = []

    def all_is_read() -> bool:
        read.extend(record.offset() for record in source.poll(100, 0.1))
        return len(read) >= ROWS

    wait_for("all records", all_is_read)
    source.close()
    assert next(refused, None) is None
    assert read == list(range(ROWS))
    assert stream.committed() == 0
