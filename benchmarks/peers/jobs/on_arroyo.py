"""Arroyo: BatchStep, the model, Unfold, Produce, and offsets committed behind what is produced."""

from collections.abc import Mapping
from typing import Any

import orjson
from alike import ALERTS, BOOTSTRAP, COMMIT_S, GROUP, SOURCE, score
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, KafkaProducer
from arroyo.backends.kafka.configuration import (
    build_kafka_consumer_configuration,
    build_kafka_producer_configuration,
)
from arroyo.commit import CommitPolicy
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import (
    BatchStep,
    CommitOffsets,
    ProcessingStrategyFactory,
    Produce,
    RunTask,
    Unfold,
)
from arroyo.types import FILTERED_PAYLOAD, Commit, Message, Partition, Topic, Value

producer = KafkaProducer(
    build_kafka_producer_configuration({"linger.ms": 0}, bootstrap_servers=[BOOTSTRAP])
)


def alerts_of(message: Message[Any]) -> list[Value[Any]]:
    """Return the alerts of one batch, then its offsets."""
    events = []
    for each in message.payload:
        try:
            events.append(orjson.loads(each.payload.value))
        except ValueError:
            continue
    alerts: list[Value[Any]] = [
        Value(KafkaPayload(found["transaction_id"].encode(), orjson.dumps(found), []), {})
        for found in score(events)
    ]
    return [*alerts, Value(FILTERED_PAYLOAD, message.committable)]


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    """Makes the steps."""

    def create_with_partitions(self, commit: Commit, partitions: Mapping[Partition, int]) -> Any:  # noqa: ANN401, ARG002
        """Return them, the first holding the rest."""
        produce = Produce(producer, Topic(ALERTS), CommitOffsets(commit))
        unfold = Unfold(lambda values: values, produce)
        return BatchStep(512, 0.005, RunTask(alerts_of, unfold))


consumer = KafkaConsumer(
    build_kafka_consumer_configuration(
        {},
        group_id=GROUP,
        auto_offset_reset="earliest",
        bootstrap_servers=[BOOTSTRAP],
        queued_min_messages=100_000,
        queued_max_messages_kbytes=200_000,
    )
)
StreamProcessor(consumer, Topic(SOURCE), Factory(), CommitPolicy(COMMIT_S, None)).run()
