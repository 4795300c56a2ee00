"""What Live says of the scorer's progress: the sums of its partitions, or that it is not known."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from stream_scorer.console.lag import LATEST, PARTITIONS_S, Group
from tests.fakes import Clock

NONE_YET = -1001


@dataclass
class Kafka:
    """A topic whose partitions each have a beginning, an end and what the group has committed."""

    begins: list[int]
    ends: list[int]
    committed_to: list[int]
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def list_topics(self, topic: str, _: float) -> Any:
        self._ask("partitions")
        return SimpleNamespace(
            topics={topic: SimpleNamespace(partitions=dict.fromkeys(range(len(self.ends))))}
        )

    def committed(self, partitions: list[TopicPartition], _: float) -> list[TopicPartition]:
        self._ask("committed")
        return [
            TopicPartition(each.topic, each.partition, self.committed_to[each.partition])
            for each in partitions
        ]

    def list_offsets(
        self, topic_partition_offsets: dict[TopicPartition, OffsetSpec], **kwargs: float
    ) -> dict[TopicPartition, Future[Any]]:
        assert kwargs["request_timeout"] > 0
        self._ask("offsets")
        found = {}
        for place, spec in topic_partition_offsets.items():
            of = self.ends if spec is LATEST else self.begins
            answer: Future[Any] = Future()
            answer.set_result(SimpleNamespace(offset=of[place.partition]))
            found[place] = answer
        return found

    def _ask(self, what: str) -> None:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        self.asked.append(what)


def test_progress_is_the_sum_of_the_partitions_with_two_questions_for_all() -> None:
    kafka = Kafka(begins=[0] * 50, ends=[100] * 50, committed_to=[90] * 50)
    group = Group("transactions", kafka, kafka, Clock())
    assert group.progress() == (4500, 500)
    kafka.asked.clear()
    assert group.progress() == (4500, 500)
    assert kafka.asked == ["committed", "offsets"]


def test_partition_without_a_commit_is_behind_by_all_it_holds() -> None:
    kafka = Kafka(begins=[7, 0], ends=[10, 5], committed_to=[NONE_YET, 5])
    assert Group("transactions", kafka, kafka, Clock()).progress() == (12, 3)


def test_partitions_that_are_added_are_counted_before_long() -> None:
    kafka, clock = Kafka([0], [5], [5]), Clock()
    group = Group("transactions", kafka, kafka, clock)
    assert group.progress() == (5, 0)
    kafka.begins, kafka.ends, kafka.committed_to = [0, 0], [5, 3], [5, NONE_YET]
    clock.now += PARTITIONS_S
    assert group.progress() == (5, 3)


def test_progress_is_unknown_and_not_nought_where_kafka_does_not_say() -> None:
    kafka = Kafka([0], [5], [5], away=True)
    assert Group("transactions", kafka, kafka, Clock()).progress() is None
