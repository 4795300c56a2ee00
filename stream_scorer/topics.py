"""Reads a topic outside any group: what it holds now, and what comes after."""

from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import KafkaTrouble

# Seconds without an answer after which the broker is given up.
READ_TIMEOUT_S = 10.0
FROM_THE_BEGINNING: Mapping[int, int] = {}


class TopicReader:
    """All partitions of one topic, read committed; no group, no commit."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        *,
        last: int | None = None,
        starts: Mapping[int, int] = FROM_THE_BEGINNING,
    ) -> None:
        """Start at the beginning, at the `last` records, or at a partition's own `starts`.

        The end of a transaction takes an offset as a record does, so twice as many are read.

        Raises KafkaTrouble if the topic or the broker is not to be had.
        """
        partitions = clients.require_topics(settings, [topic])[topic]
        self._topic = topic
        self._reader: Consumer = clients.consumer(
            settings,
            {"group.id": f"{settings.group_id}-reader", "enable.partition.eof": "true"},
        )
        self.bounds: dict[int, tuple[int, int]] = {}  # of each partition: first offset, and the end
        self._unread: dict[int, int] = {}  # the end that each partition had, until it is reached
        places = []
        try:
            for number in range(partitions):
                each = TopicPartition(topic, number)
                low, high = clients.bounds(self._reader, each, READ_TIMEOUT_S)
                self.bounds[number] = (low, high)
                each.offset = max(low, starts.get(number, low) if last is None else high - 2 * last)
                places.append(each)
                if high > each.offset:
                    self._unread[number] = high
        except KafkaException as exc:
            raise KafkaTrouble(f"topic {topic!r} cannot be read: {exc.args[0].str()}") from exc
        self._reader.assign(places)

    def held(self) -> Iterator[Message]:
        """Yield what the topic held when it was opened, as it arrives, then return.

        On a topic that is being written, some of what is newer comes along.
        """
        while self._unread:
            batch = self._reader.consume(1000, 0.2) or self._reader.consume(1, READ_TIMEOUT_S)
            if not batch:
                raise KafkaTrouble(f"topic {self._topic!r}: no answer for {READ_TIMEOUT_S:.0f} s")
            yield from self._records(batch)

    def arriving(self, timeout_s: float) -> Iterator[Message]:
        """Yield what has come since, waiting at most `timeout_s` for the first."""
        first = self._reader.poll(timeout_s)
        if first is not None:
            yield from self._records([first, *self._reader.consume(999, 0)])

    def close(self) -> None:
        """Let the connection go."""
        self._reader.close()

    def _records(self, batch: list[Message]) -> Iterator[Message]:
        """Yield the records of a batch; note the partitions whose end is reached."""
        for message in batch:
            error = message.error()
            if error is None:
                yield message
                self._reached(message, behind=1)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                self._reached(message, behind=0)
            else:
                raise KafkaTrouble(f"topic {self._topic!r} cannot be read: {error.str()}")

    def _reached(self, message: Message, *, behind: int) -> None:
        """Note a partition as read if the place of `message`, or the one behind it, is its end.

        Both are needed: the last places of a partition may be held by marks of transactions.
        """
        number, offset = message.partition(), message.offset()
        if number in self._unread and (offset or 0) + behind >= self._unread[number]:
            del self._unread[number]
