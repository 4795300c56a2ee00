"""One run of a redrive with all its parts, as the command and the console begin it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import ConfigResource, ResourceType
from msgspec.structs import replace

from stream_scorer import clients
from stream_scorer.client_log import ClientLog
from stream_scorer.config import Settings
from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.dead_letters.marks import Ledger
from stream_scorer.dead_letters.redriving import Redriver, Route
from stream_scorer.dead_letters.walk import Batch, Fate, Task
from stream_scorer.errors import BadInput
from stream_scorer.topic_id import TopicId, describe
from stream_scorer.topics import TopicReader
from stream_scorer.transaction import ExactlyOnce

# What has failed so often is parked.
MAX_ATTEMPTS = 3
ANSWER_S = 10.0
# Minutes. Kafka's own default of offsets.retention.minutes, where we may not ask for it.
KEPT_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asks for."""

    choice: Choice
    to: str | None = None  # topic; None: the transactions, and only what came from there
    limit: int | None = None  # of records that are redriven or parked
    rate: float | None = None  # records a second
    max_attempts: int = MAX_ATTEMPTS
    dry_run: bool = False


@contextmanager
def redriver(
    settings: Settings, order: Order, *, counts: Counter[Fate], tell: Callable[[Batch], None]
) -> Iterator[Redriver]:
    """Give what redrives as ordered; it counts in `counts` and tells of each transaction.

    Raises BadInput for a target that has another use, KafkaTrouble if a topic is not to be had.
    """
    target = settings.transactions_topic if order.to is None else order.to
    refuse_target(settings, target)
    topics = [settings.dead_letters_topic, target, *filter(None, [settings.parking_topic])]
    partitions = clients.require_topics(settings, topics)
    choice = replace(order.choice, topic=target) if order.to is None else order.choice
    with closing(Ledger(settings, partitions[topics[0]])) as ledger:
        ask = partial(describe, clients.admin(settings), topics[0])
        letters_topic = TopicId(topics[0], ask, group=ledger.group)
        transaction = None
        if not order.dry_run:
            client_log = clients.client_log(clients.producer_config(settings))
            make = partial(make_producer, settings, client_log)
            transaction = ExactlyOnce(
                make(),
                make,
                ledger,
                client_log,
                most_fenced=0,
                if_fenced="another redrive has begun and goes on from here",
            )
        yield Redriver(
            task=Task(
                choice=choice,
                max_attempts=order.max_attempts,
                may_park=order.dry_run or bool(settings.parking_topic),
                limit=order.limit,
                forgotten_before_ms=int(time.time() * 1000) - marks_kept_ms(settings),
            ),
            route=Route(
                topics[0],
                target,
                partitions[target],
                settings.parking_topic,
                source_id=letters_topic.id,
            ),
            open_from=lambda starts: TopicReader(settings, topics[0], starts=starts),
            read_marks=ledger.marks,
            transaction=transaction,
            tell=tell,
            rate=None if order.dry_run else order.rate,
            counts=counts,
        )


def refuse_target(settings: Settings, target: str) -> None:
    """Raise BadInput for a topic that nothing must be fed into."""
    taken = {*settings.outputs, settings.labels_topic, settings.parking_topic}
    if target in taken:
        raise BadInput(f"--to is {target!r}: want a topic of transactions, that one has its use")


def make_producer(settings: Settings, client_log: ClientLog) -> Producer:
    """Return the producer; by its `transactional.id` it ends what an earlier run left open.

    No scorer can have that id: SCORER_REPLICA holds no slash.
    """
    name = f"{settings.group_id}-redrive/{settings.dead_letters_topic}"
    return clients.transactional_producer(settings, name, client_log)


def marks_kept_ms(settings: Settings) -> int:
    """Return for how long Kafka keeps a group's offsets, in ms."""
    minutes = KEPT_MINUTES
    broker = min(clients.describe_cluster(settings).brokers)
    asked = ConfigResource(ResourceType.BROKER, str(broker))
    admin = clients.admin(settings)  # kept: one that goes takes its answers with it
    try:
        (answer,) = admin.describe_configs([asked], request_timeout=ANSWER_S).values()
        minutes = int(answer.result()["offsets.retention.minutes"].value)
    except (KafkaException, KeyError):  # no right to ask, or a broker that does not say
        pass
    return minutes * 60_000
