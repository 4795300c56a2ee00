"""The end of a topic: which rows a dead run put there without hearing Kafka's confirmation."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicPartition,
)

from producer.sender import RUN_HEADER, Headers
from stream_scorer import clients
from stream_scorer.errors import KafkaTrouble

# Seconds. The last request of a run that was killed may still be on its way through the broker.
SETTLE_S = 1.0
# Seconds without any answer, then we give up.
SILENCE_S = 30.0


class Held(Protocol):
    """What we need of a `confluent_kafka.Message`."""

    def error(self) -> KafkaError | None: ...
    def headers(self) -> Headers | dict[str, str | bytes | None] | None: ...
    def partition(self) -> int | None: ...


class Reader(clients.Bounded, Protocol):
    """What we need of a `confluent_kafka.Consumer`."""

    def assign(self, places: list[TopicPartition], /) -> None: ...
    def consume(self, count: int, timeout_s: float, /) -> Sequence[Held]: ...
    def unassign(self) -> None: ...


def ends(consumer: Reader, topic: str, *, partitions: int) -> dict[int, int]:
    """Return the next offset of each partition."""
    try:
        return {
            number: clients.bounds(consumer, TopicPartition(topic, number), SILENCE_S)[1]
            for number in range(partitions)
        }
    except KafkaException as exc:
        raise KafkaTrouble(f"cannot read the end of {topic!r}: {exc.args[0].str()}") from exc


def rows_there(
    consumer: Reader,
    topic: str,
    *,
    next_offsets: Mapping[int, int],
    partitions: int,
    run: str,
) -> set[int]:
    """Return the numbers of the run's rows from the given offsets to the end of the topic.

    The consumer reports partition ends (`enable.partition.eof`) and reads uncommitted records, or
    somebody else's open transaction would hide ours.
    """
    starts = [TopicPartition(topic, p, next_offsets.get(p, 0)) for p in range(partitions)]
    consumer.assign(starts)
    left, found = set(range(partitions)), set()
    mark = f"{run}:".encode()
    while left:
        # `consume` waits its whole time for the whole count, so a short time first.
        messages = consumer.consume(10_000, 0.2) or consumer.consume(1, SILENCE_S)
        if not messages:
            raise KafkaTrouble(
                f"no answer for {SILENCE_S:.0f} s while reading the end of {topic!r}"
            )
        for message in messages:
            error = message.error()
            if error is None:
                found |= {
                    int(each[len(mark) :]) for each in marks(message) if each[: len(mark)] == mark
                }
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                left.discard(message.partition() or 0)
            else:
                raise KafkaTrouble(f"cannot read the end of {topic!r}: {error.str()}")
    consumer.unassign()
    return found


def marks(message: Held) -> list[bytes]:
    """Return the values of a record's run header."""
    headers = message.headers() or []
    if isinstance(headers, dict):  # what the stubs allow and the client never gives
        return []
    return [value for name, value in headers if name == RUN_HEADER and isinstance(value, bytes)]
