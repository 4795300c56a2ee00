"""How far the scorer's group is: asked with two questions, however many partitions there are."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

LATEST, EARLIEST = OffsetSpec.latest(), OffsetSpec.earliest()  # type: ignore[no-untyped-call]
ANSWER_S = 2.0
# Seconds between two looks at how many partitions there are.
PARTITIONS_S = 10.0


class Reads(Protocol):
    """What is needed of a `confluent_kafka.Consumer` of the group that reads nothing."""

    def list_topics(self, topic: str, timeout: float) -> Any: ...  # noqa: ANN401 - no types
    def committed(
        self, partitions: list[TopicPartition], timeout: float
    ) -> list[TopicPartition]: ...


class Asks(Protocol):
    """What is needed of a `confluent_kafka.admin.AdminClient`."""

    def list_offsets(
        self, topic_partition_offsets: dict[TopicPartition, OffsetSpec], **kwargs: float
    ) -> dict[TopicPartition, Future[Any]]: ...


@dataclass
class Group:
    """The scorer's group on the topic of transactions."""

    topic: str
    reads: Reads
    asks: Asks
    clock: Callable[[], float] = time.monotonic
    _places: list[TopicPartition] = field(default_factory=list)
    _counted_at: float = 0.0

    def progress(self) -> tuple[int, int] | None:
        """Return how many records are done and how many are not; None if Kafka does not say."""
        try:
            if not self._places or self.clock() - self._counted_at >= PARTITIONS_S:
                found = self.reads.list_topics(self.topic, ANSWER_S).topics[self.topic].partitions
                self._places = [TopicPartition(self.topic, number) for number in found]
                self._counted_at = self.clock()
            committed = self.reads.committed(self._places, ANSWER_S)
            ends = self._offsets(committed, LATEST)
            fresh = [place for place in committed if place.offset < 0]
            begins = self._offsets(fresh, EARLIEST)
        except KafkaException:
            return None
        done = behind = 0
        for place in committed:
            at = place.offset if place.offset >= 0 else begins[place.partition]
            done += at
            behind += max(0, ends[place.partition] - at)
        return done, behind

    def _offsets(self, places: Collection[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        """Return an offset of each partition."""
        if not places:
            return {}
        asked = {TopicPartition(place.topic, place.partition): spec for place in places}
        answers = self.asks.list_offsets(asked, request_timeout=ANSWER_S)
        return {place.partition: answer.result().offset for place, answer in answers.items()}
