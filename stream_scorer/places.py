"""Fetches records by topic, partition and offset, outside any group."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import KafkaTrouble
from stream_scorer.records import Place, Record
from stream_scorer.topics import READ_TIMEOUT_S

# Gives each place once, with its record or with why there is none.
Fetch = Callable[[Collection[Place]], Iterator[tuple[Place, Record | str]]]

# Records. A seek takes 1 to 2 ms on a local broker; so many records of 0.8 kB are read in 1.2 ms.
READ_ON = 1000
NO_RECORD = "no record is there: compacted away, or never committed"


class PlaceReader:
    """Reads single records of any topics; no group, no commit."""

    def __init__(self, settings: Settings, *, read_on: int = READ_ON) -> None:
        """Connect; raise KafkaTrouble if the broker is not to be had."""
        self._read_on = read_on
        metadata = clients.describe_cluster(settings)
        self.cluster_id = str(metadata.cluster_id)
        self._topics = metadata.topics
        self._reader: Consumer = clients.consumer(
            settings,
            {
                "group.id": f"{settings.group_id}-reader",
                "enable.partition.eof": "true",
                "auto.offset.reset": "earliest",  # of a place that went while we came
                "fetch.wait.max.ms": "10",  # a seek waits for the fetch before it: 500 at the end
            },
        )

    def fetch(self, places: Iterable[Place]) -> Iterator[tuple[Place, Message | str]]:
        """Yield each place once, in order, with its record or with why there is none.

        One partition after the other, forwards, and over large gaps by a seek. Raises KafkaTrouble
        if the broker does not answer or refuses.
        """
        for (topic, number), group in groupby(sorted(set(places)), key=lambda place: place[:2]):
            offsets = [offset for _, _, offset in group]
            for offset, found in self._fetch_partition(topic, number, offsets):
                yield (topic, number, offset), found
        self._reader.unassign()

    def close(self) -> None:
        """Let the connection go."""
        self._reader.close()

    def _fetch_partition(
        self, topic: str, number: int, offsets: Sequence[int]
    ) -> Iterator[tuple[int, Message | str]]:
        """Yield each of one partition's ascending offsets with its record or why there is none."""
        lacking = self._lacking(topic, number)
        if lacking:
            yield from ((offset, lacking) for offset in offsets)
            return
        first, end = self._bounds(topic, number)
        wanted: deque[int] = deque()
        for offset in offsets:
            if offset < first:
                yield offset, f"deleted: the partition begins at {first} by now"
            elif offset >= end:
                yield offset, f"the partition ends at {end}: was the topic made anew?"
            else:
                wanted.append(offset)
        while wanted:
            reached = end
            for message in self._records_from(topic, number, wanted[0]):
                reached = message.offset() or 0
                while wanted and wanted[0] < reached:
                    yield wanted.popleft(), NO_RECORD
                if wanted and wanted[0] == reached:
                    yield wanted.popleft(), message
                if not wanted or wanted[0] - reached > self._read_on:
                    break
            else:  # the end of the partition
                yield from ((offset, NO_RECORD) for offset in wanted)
                return

    def _lacking(self, topic: str, number: int) -> str:
        """Say which of topic and partition is not there; nothing if both are."""
        found = self._topics.get(topic)
        if found is None or (
            found.error and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        ):
            return "the topic is not there"
        if found.error is not None:
            raise KafkaTrouble(f"topic {topic!r} cannot be read: {found.error.str()}")
        return "" if number in found.partitions else "the topic has no such partition"

    def _bounds(self, topic: str, number: int) -> tuple[int, int]:
        """Return the first offset of a partition and the one behind its last record."""
        try:
            return clients.bounds(self._reader, TopicPartition(topic, number), READ_TIMEOUT_S)
        except KafkaException as exc:
            raise KafkaTrouble(f"topic {topic!r} cannot be read: {exc.args[0].str()}") from exc

    def _records_from(self, topic: str, number: int, offset: int) -> Iterator[Message]:
        """Yield a partition's records from an offset on, until its end."""
        self._reader.assign([TopicPartition(topic, number, offset)])
        while True:
            first = self._reader.poll(READ_TIMEOUT_S)
            if first is None:
                raise KafkaTrouble(f"topic {topic!r}: no answer for {READ_TIMEOUT_S:.0f} s")
            for message in (first, *self._reader.consume(999, 0)):
                error = message.error()
                if error is None:
                    if (message.topic(), message.partition()) == (topic, number):
                        yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                    if (message.topic(), message.partition()) == (topic, number):
                        return
                else:
                    raise KafkaTrouble(f"topic {topic!r} cannot be read: {error.str()}")
