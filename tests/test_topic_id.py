"""A topic that was deleted and made anew is noticed, while it is read and at the next start."""

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid
from confluent_kafka.admin import TopicDescription

from stream_scorer.errors import KafkaTrouble
from stream_scorer.source import KafkaSource
from stream_scorer.topic_id import LOOK_S, TopicId
from tests.fakes import Clock
from tests.records import P0, TOPIC
from tests.test_source import ListClient


class Cluster:
    """Answers with the topic's id, when it is told to."""

    def __init__(self) -> None:
        self.number = 1
        self.asked: list[Future[TopicDescription]] = []
        self.error: KafkaException | None = None
        self.slow = False

    def describe(self) -> "Future[TopicDescription]":
        self.asked.append(Future())
        if not self.slow:
            self.answer()
        return self.asked[-1]

    def answer(self) -> None:
        if self.error:
            self.asked[-1].set_exception(self.error)
        else:
            self.asked[-1].set_result(
                TopicDescription(TOPIC, Uuid(0, self.number), is_internal=False, partitions=[])
            )


def begin() -> tuple[Cluster, Clock, TopicId]:
    cluster, clock = Cluster(), Clock()
    return cluster, clock, TopicId(TOPIC, cluster.describe, group="g", clock=clock)


def look_twice(clock: Clock, topic_id: TopicId) -> None:
    """Let a question be asked and its answer be read."""
    clock.now += LOOK_S
    topic_id.look()
    topic_id.look()


def test_topic_that_stays_is_asked_for_now_and_then() -> None:
    cluster, clock, topic_id = begin()
    for _ in range(10):
        topic_id.look()
    assert len(cluster.asked) == 1, "at the beginning only"
    look_twice(clock, topic_id)
    look_twice(clock, topic_id)
    assert len(cluster.asked) == 3


def test_topic_made_anew_while_it_is_read_ends_the_process() -> None:
    cluster, clock, topic_id = begin()
    cluster.number = 2
    with pytest.raises(KafkaTrouble, match=f"{TOPIC}' was deleted and made anew"):
        look_twice(clock, topic_id)


def test_looking_never_waits_and_asks_once_at_a_time() -> None:
    cluster, clock, topic_id = begin()
    cluster.slow, cluster.number = True, 2
    for _ in range(5):
        clock.now += LOOK_S
        topic_id.look()
    assert len(cluster.asked) == 2
    cluster.answer()
    with pytest.raises(KafkaTrouble):
        topic_id.look()


def test_broker_that_is_away_says_nothing_of_the_topic() -> None:
    cluster, clock, topic_id = begin()
    cluster.error = KafkaException(KafkaError(KafkaError._TRANSPORT))
    look_twice(clock, topic_id)
    cluster.error, cluster.number = None, 2
    with pytest.raises(KafkaTrouble):
        look_twice(clock, topic_id)


def test_topic_that_cannot_be_described_at_the_start_is_named() -> None:
    cluster = Cluster()
    cluster.error = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no right"))
    with pytest.raises(KafkaTrouble, match=f"{TOPIC}' cannot be described: no right"):
        TopicId(TOPIC, cluster.describe, group="g")


def attach(client: ListClient, topic_id: TopicId) -> KafkaSource:
    source = KafkaSource(client, TOPIC, topic_id=topic_id)  # type: ignore[arg-type]
    source.subscribe(lambda _, __: None)
    return source


def test_every_commit_carries_the_topics_id() -> None:
    client, (_, _, topic_id) = ListClient(), begin()
    attach(client, topic_id).commit({P0: 7})
    assert [place.metadata for place in client.commits[0]] == [topic_id.note]


@pytest.mark.parametrize("note", ["", "a person's", "own"])
def test_offset_of_this_topic_or_of_a_persons_intent_is_gone_on_from(note: str) -> None:
    client, (_, _, topic_id) = ListClient(held={0: 40}), begin()
    client.note = topic_id.note if note == "own" else note
    source = attach(client, topic_id)
    client.tell("assign", 0)()
    assert source.poll(10, 0) == []


def test_offset_of_a_deleted_topic_is_not_gone_on_from() -> None:
    client, (_, _, topic_id) = ListClient(held={0: 40}), begin()
    client.note = "topic-id=another"
    source = attach(client, topic_id)
    client.tell("assign", 0)()
    with pytest.raises(KafkaTrouble, match=r"offset 40 is of .*--group g .*--to-earliest"):
        source.poll(10, 0)
    assert client.commits == []
