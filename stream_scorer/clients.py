"""Kafka clients made of the settings, and Kafka's errors in a person's words."""

import contextlib
import difflib
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata

from stream_scorer import __version__
from stream_scorer.client_log import DEBUG_GROUP, DEBUG_LEVEL, ClientLog
from stream_scorer.config import KNOWN_KEYS, Settings, variable
from stream_scorer.errors import BadInput, KafkaTrouble
from stream_scorer.logs import event

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds. A wrong address, password or topic must be known within 15 s of the start.
CONNECT_TIMEOUT_S = 8.0
SAME_ERROR_S = 10.0
COMMON: Mapping[str, str] = {
    "bootstrap.servers": "127.0.0.1:9092",
    "client.id": f"stream-scorer-{__version__}-{socket.gethostname()}-{os.getpid()}",
    "log_level": "2",  # what it has to say comes through the error callback
    "reconnect.backoff.max.ms": "1000",  # 10,000 is how long an outage that is over would go on
}
CONSUMER: Mapping[str, str] = {
    "enable.auto.commit": "false",  # we commit what is done, not what was handed over
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "check.crcs": "true",
    "allow.auto.create.topics": "false",
    "topic.metadata.refresh.interval.ms": "30000",  # when partitions that were added are noticed
    "fetch.queue.backoff.ms": "10",  # 1000 starves a loop of more than 100,000 rows/s
    "queued.max.messages.kbytes": "16384",  # bounds memory; the default is 64 MB
    "fetch.max.bytes": "8388608",
    "max.poll.interval.ms": "120000",
    "session.timeout.ms": "15000",
    "statistics.interval.ms": "0",
}
PRODUCER: Mapping[str, str] = {
    "enable.idempotence": "true",
    "acks": "all",
    "linger.ms": "0",  # alerts leave at once
    "compression.type": "lz4",
    "queue.buffering.max.kbytes": "65536",
    "delivery.timeout.ms": "120000",
    "message.max.bytes": "10000000",  # the topic's own limit decides
}
# The broker aborts what is open for longer than this, so a dead scorer holds readers up no longer;
# it is well below the session time-out, after which others read on.
TRANSACTIONAL: Mapping[str, Any] = {
    "retry.backoff.ms": 5,  # the one before is still ending: 100 is what each would wait for that
    "transaction.timeout.ms": 10_000,
    "delivery.timeout.ms": 10_000,
}
NO_OVERRIDES: Mapping[str, Any] = {}
# The levels of librdkafka's log, as `logging` has them; what is graver is CRITICAL.
SYSLOG_LEVELS = {
    "3": logging.ERROR,
    "4": logging.WARNING,
    "5": logging.INFO,
    "6": logging.INFO,
    "7": logging.DEBUG,
}
# The broker sets these for the consumer protocol (KIP-848) and refuses a client that does.
CLASSIC_ONLY = ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy")


def consumer_config(settings: Settings) -> dict[str, Any]:
    """Return the consumer's librdkafka configuration."""
    both, consumer, _ = settings.sides
    defaults = {**COMMON, **CONSUMER}
    if {**both, **consumer}.get("group.protocol") == "consumer":
        defaults = {key: value for key, value in defaults.items() if key not in CLASSIC_ONLY}
    return {**defaults, "group.id": settings.group_id, **both, **consumer}


def producer_config(settings: Settings) -> dict[str, Any]:
    """Return the producer's librdkafka configuration."""
    both, _, producer = settings.sides
    return {**COMMON, **PRODUCER, **both, **producer}


def producer(settings: Settings, overrides: Mapping[str, Any] = NO_OVERRIDES) -> Producer:
    """Return a producer; `overrides` are librdkafka keys that a person cannot change."""
    return build(
        Producer, settings, {**producer_config(settings), "error_cb": log_error, **overrides}
    )


def output_producer(settings: Settings, client_log: ClientLog) -> Producer:
    """Return a producer for what `run` writes; in exactly-once a transactional one."""
    if settings.guarantee != "exactly-once":
        return producer(settings)
    replica = settings.replica or socket.gethostname()
    return transactional_producer(settings, f"{settings.group_id}-{replica}", client_log)


def transactional_producer(
    settings: Settings, transactional_id: str, client_log: ClientLog
) -> Producer:
    """Return a transactional producer; `client_log` counts those of its connections that break.

    It is connected, unless no broker answers: without a connection `init_transactions` waits for
    half a second before it asks (librdkafka 2.16).
    """
    debug = producer_config(settings).get("debug", "")
    made = producer(
        settings,
        {
            **TRANSACTIONAL,
            "transactional.id": transactional_id,
            "logger": client_log,
            "debug": ",".join(filter(None, [debug, DEBUG_GROUP])),
            "log_level": DEBUG_LEVEL,
        },
    )
    with contextlib.suppress(KafkaException):
        made.list_topics(settings.transactions_topic, CONNECT_TIMEOUT_S / 2)
    return made


def client_log(config: Mapping[str, Any]) -> ClientLog:
    """Return what takes the log of a client with this configuration."""
    wanted = DEBUG_LEVEL if config.get("debug") else str(config["log_level"])
    return ClientLog(shown=SYSLOG_LEVELS.get(wanted, logging.CRITICAL))


def consumer(settings: Settings, overrides: Mapping[str, Any] = NO_OVERRIDES) -> Consumer:
    """Return a consumer; `overrides` are librdkafka keys that a person cannot change."""
    return build(
        Consumer, settings, {**consumer_config(settings), "error_cb": log_error, **overrides}
    )


def admin(settings: Settings, overrides: Mapping[str, Any] = NO_OVERRIDES) -> AdminClient:
    """Return an admin client; `overrides` are librdkafka keys that a person cannot change."""
    both, _, _ = settings.sides
    return build(AdminClient, settings, {**COMMON, **both, "error_cb": log_error, **overrides})


def build(client: Callable[[dict[str, Any]], T], settings: Settings, config: dict[str, Any]) -> T:
    """Make a client; raise BadInput that names the setting librdkafka refuses."""
    if config.get("debug") or str(config["log_level"]) in SYSLOG_LEVELS:
        config = {"logger": client_log(config), **config}
    try:
        return client(config)
    except (TypeError, ValueError) as exc:  # a callback that is none; the value may be a secret
        raise BadInput(f"the Kafka client refuses its settings: {type(exc).__name__}") from None
    except KafkaException as exc:
        text = exc.args[0].str() if exc.args else str(exc)
        found = re.search(r'property:? ["`]([a-z0-9._]+)', text)
        if found is None:
            raise BadInput(f"librdkafka says: {text}") from None
        key = found[1]
        given = [k for k in settings.kafka if k.removeprefix("consumer.").endswith(key)]
        near = difflib.get_close_matches(key, KNOWN_KEYS, n=1, cutoff=0.6)
        hint = f"; did you mean {variable(near[0])}?" if near and "No such" in text else ""
        raise BadInput(f"{variable((given or [key])[0])}: librdkafka says: {text}{hint}") from None


class ErrorLog:
    """Logs what librdkafka reports from its own threads; never raises.

    A broker that is away is reported ten times a second: each kind is logged once in a while.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Log the error unless one of its kind was logged lately."""
        now = self._clock()
        if now - self._logged.get(error.code(), -SAME_ERROR_S) >= SAME_ERROR_S:
            self._logged[error.code()] = now
            logger.warning("Kafka: %s", error.str(), extra=event("kafka_error", code=error.name()))


log_error = ErrorLog()


def require_topics(
    settings: Settings, names: Iterable[str], *, timeout_s: float = CONNECT_TIMEOUT_S
) -> dict[str, int]:
    """Return the number of partitions of each topic; raise KafkaTrouble if one is not to be had."""
    metadata = describe_cluster(settings, timeout_s=timeout_s)
    return {name: count_partitions(metadata, name, settings) for name in names}


def count_partitions(metadata: ClusterMetadata, name: str, settings: Settings) -> int:
    """Return a topic's number of partitions; raise KafkaTrouble if it is not there or not ours."""
    topic = metadata.topics.get(name)
    if topic is None or (topic.error and topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
        raise KafkaTrouble(
            f"topic {name!r} does not exist at {bootstrap(settings)}, or may not be seen by this "
            f"user: create it (kafka-topics --create --topic {name} --partitions 6), grant it, or "
            "set another name"
        )
    if topic.error is not None:
        raise KafkaTrouble(f"topic {name!r} at {bootstrap(settings)}: {topic.error.str()}")
    return len(topic.partitions)


def describe_cluster(
    settings: Settings, *, timeout_s: float = CONNECT_TIMEOUT_S
) -> ClusterMetadata:
    """Return the cluster's metadata; raise KafkaTrouble with the cause if it does not answer."""
    said: list[KafkaError] = []
    client = admin(settings, {"error_cb": said.append, "log_level": "0"})
    deadline = time.monotonic() + timeout_s
    while True:
        left = deadline - time.monotonic()
        try:
            return client.list_topics(timeout=max(0.1, min(1.0, left)))
        except KafkaException as exc:
            client.poll(0)
            refused = [e for e in said if e.code() in REFUSALS]
            if left <= 0 or refused:
                raise KafkaTrouble(
                    f"Kafka at {bootstrap(settings)} does not answer: "
                    f"{why_silent(refused or said or [exc.args[0]], settings)}; see "
                    "SCORER_KAFKA_BOOTSTRAP_SERVERS, and `stream-scorer kafka` for a local one"
                ) from exc


def why_silent(said: Sequence[KafkaError], settings: Settings) -> str:
    """Return what the client's errors tell of a cluster that does not answer."""
    for error in said:
        closed = any(word in error.str().lower() for word in CLOSED)
        if error.code() != KafkaError._ALL_BROKERS_DOWN and not closed:  # noqa: SLF001 - its name
            return first_line(error)
    # It says no more where a broker that wants TLS, or SASL, closes what comes without.
    protocol = settings.sides[0].get("security.protocol", "plaintext")
    return f"it closes the connection, does it want another security.protocol than {protocol}?"


def reach(client: Consumer | Producer, topic: str, side: str) -> None:
    """Raise KafkaTrouble unless a client, with the settings of its side only, reaches a topic."""
    try:
        client.list_topics(topic, CONNECT_TIMEOUT_S / 2)
    except KafkaException as exc:
        raise KafkaTrouble(
            f"the {side} does not reach topic {topic!r}: {first_line(exc.args[0])}; see the "
            f"SCORER_KAFKA_ and SCORER_KAFKA_{side.upper()}_ settings"
        ) from exc


# Answers that change by waiting a little.
NOT_YET = {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}


def settled(ask: Callable[[], T], *, timeout_s: float, not_yet: AbstractSet[int] = NOT_YET) -> T:
    """Return the answer of `ask`, asked again while the cluster says: not yet.

    So it speaks of what has just been made (a topic) or has just started (its coordinator).
    Raises KafkaException as `ask` does: for anything else at once, for this after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as exc:
            if exc.args[0].code() not in not_yet or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def reset_command(group: str, place: str, how: str) -> str:
    """Return the command by which a person says where a group goes on, `how` being its option.

    `place` is a topic, or a topic and a partition as topic:0.
    """
    return (
        f"kafka-consumer-groups --bootstrap-server BROKERS --group {group} --topic {place} "
        f"--reset-offsets {how} --execute"
    )


class Bounded(Protocol):
    """What `bounds` needs of a `confluent_kafka.Consumer`."""

    def get_watermark_offsets(
        self, place: TopicPartition, timeout_s: float, /
    ) -> tuple[int, int]: ...


def bounds(consumer: Bounded, partition: TopicPartition, timeout_s: float) -> tuple[int, int]:
    """Return the first offset of a partition and the one behind its last record."""
    return settled(
        lambda: consumer.get_watermark_offsets(partition, timeout_s), timeout_s=timeout_s
    )


def error_of(exc: KafkaException | SystemError) -> KafkaError:
    """Return Kafka's error in what a call of the client has raised.

    On a fatal error the client raises instead of calling the error callback, and goes on calling
    the delivery callbacks meanwhile. That turns its exception into the cause of a SystemError, or
    loses it on the way ("returned NULL without setting an exception"): then it is fatal, no more
    is known (confluent-kafka 2.16.1).
    """
    found = exc.__cause__ if isinstance(exc, SystemError) else exc
    if isinstance(found, KafkaException):
        error: KafkaError = found.args[0]
        return error
    return KafkaError(KafkaError._FATAL, str(exc), fatal=True)  # noqa: SLF001 - librdkafka's name


def bootstrap(settings: Settings) -> str:
    """Return the address that is asked first."""
    return settings.sides[0].get("bootstrap.servers", COMMON["bootstrap.servers"])


def first_line(error: KafkaError) -> str:
    """Return what librdkafka says of an error, in one line."""
    return " ".join(error.str().split())[:300]


# What a transaction's abort throws away is no failure.
PURGED = {
    KafkaError._PURGE_QUEUE,  # noqa: SLF001 - librdkafka's own names
    KafkaError._PURGE_INFLIGHT,  # noqa: SLF001
}
# How librdkafka says that the other side has ended a connection.
CLOSED = ("disconnect", "closed by peer", "in state up")
# Answers that will not change by waiting.
REFUSALS = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own name
    KafkaError._SSL,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
