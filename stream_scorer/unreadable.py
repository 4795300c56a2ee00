"""Finds where a batch ends that the client cannot unpack: the records behind it can be read."""

from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import KafkaTrouble
from stream_scorer.records import Partition

# What the client says of such a batch: there are no bytes that could be dead-lettered. zstd that
# unpacks to more than the client takes (receive.message.max.bytes, 100 MB) is one.
UNREADABLE = KafkaError._BAD_COMPRESSION  # noqa: SLF001 - librdkafka's own name
# Seconds for one answer of the reader.
ANSWER_S = 10.0


def find_end(is_inside: Callable[[int], bool], begin: int) -> int | None:
    """Return the first offset behind the batch that `begin` lies in, None if it is readable now.

    `is_inside` tells whether an offset lies in that batch. About 2 log2(n) questions for n offsets.
    """
    if not is_inside(begin):
        return None
    inside, step = begin, 1
    while is_inside(begin + step):
        inside, step = begin + step, 2 * step
    behind = begin + step
    while behind - inside > 1:
        middle = (inside + behind) // 2
        if is_inside(middle):
            inside = middle
        else:
            behind = middle
    return behind


def end_of_batch(settings: Settings, partition: Partition, base: int, begin: int) -> int | None:
    """Ask a reader of its own where the unreadable batch ends that has `base` as first offset.

    `begin` is an offset in it. None: it is readable now. Raises KafkaTrouble if the broker does not
    tell.
    """
    own = {"enable.partition.eof": "true", "auto.offset.reset": "error", "fetch.wait.max.ms": 10}
    reader = clients.consumer(settings, own)
    try:
        _, high = clients.bounds(reader, TopicPartition(*partition), ANSWER_S)
        return find_end(
            lambda offset: offset < high and is_inside(reader, partition, base, offset), begin
        )
    except KafkaException as exc:
        raise KafkaTrouble(f"cannot tell where the batch ends: {exc.args[0].str()}") from exc
    finally:
        reader.close()


def is_inside(reader: Consumer, partition: Partition, base: int, offset: int) -> bool:
    """Tell whether reading from an offset meets the unreadable batch that begins at `base`.

    The client names the first offset of the batch, wherever in it the reading began.
    """
    reader.assign([TopicPartition(*partition, offset)])
    message = reader.poll(ANSWER_S)
    error = message.error() if message is not None else None
    if message is None or (
        error and error.code() not in {UNREADABLE, KafkaError._PARTITION_EOF}  # noqa: SLF001
    ):
        why = error.str() if error else "no answer"
        place = f"{partition[0]}[{partition[1]}]@{offset}"
        raise KafkaTrouble(f"cannot tell where the unreadable batch ends, at {place}: {why}")
    return error is not None and error.code() == UNREADABLE and message.offset() == base
