"""Reads the topics into the database, from where it has come to; no group, no commit in Kafka."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from sqlalchemy import select
from sqlalchemy.exc import DataError

from stream_scorer.console import schema
from stream_scorer.console.database import Database
from stream_scorer.console.ingest import Take, forget, pass_over, place, store
from stream_scorer.errors import KafkaTrouble
from stream_scorer.logs import event

logger = logging.getLogger(__name__)

BATCH = 500
# Seconds: to fill a batch, to wait for the cluster, between two looks for new partitions.
WAIT_S, ANSWER_S, LOOK_S = 0.2, 5.0, 5.0
# What the client says while it tries again by itself.
AWAY = {
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - librdkafka's own names
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
}
# What a database says to a text, or a number, that it cannot hold; trying again does not help.
UNFIT = (DataError, OverflowError)


class Reader:
    """One consumer over all partitions of some topics."""

    def __init__(
        self,
        consumer: Consumer,
        database: Database,
        takes: dict[str, Take],
        topic_ids: Callable[[Collection[str]], Mapping[str, str]],
        clock: Callable[[], float],
    ) -> None:
        """Read the topics of `takes`; `clock` gives seconds.

        `topic_ids` asks the cluster for the ids of topics, by name.
        """
        self._consumer = consumer
        self._database = database
        self._takes = takes
        self._ask_ids = topic_ids
        self._topic_ids: Mapping[str, str] = {}
        self._clock = clock
        self._assigned: set[tuple[str, int]] = set()
        self._looked_at: float | None = None

    def turn(self) -> int:
        """Store one batch, empty after a short wait; return how many records it had.

        Raises KafkaTrouble if the cluster does not answer. If it raises, the next turn begins where
        the database is.
        """
        try:
            return self._turn()
        except BaseException:
            self._consumer.unassign()
            self._assigned.clear()
            self._looked_at = None
            raise

    def _turn(self) -> int:
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= LOOK_S:
            self._look()
            self._looked_at = now
        try:
            first = self._consumer.poll(WAIT_S)  # one that comes alone does not wait for others
            found = [first, *self._consumer.consume(BATCH - 1, 0)] if first else []
        except KafkaException as exc:
            raise KafkaTrouble(f"the topics cannot be read: {exc.args[0].str()}") from exc
        batch = [message for message in found if not trouble(message)]
        if batch:
            try:
                self._store(batch)
            except UNFIT:
                self._store_one_by_one(batch)
        return len(batch)

    def _store(self, batch: Sequence[Message]) -> None:
        with self._database.writing() as connection:
            store(connection, batch, self._takes, self._topic_ids)

    def _store_one_by_one(self, batch: Sequence[Message]) -> None:
        """Store what the database takes; note what it does not, or nothing would come after it."""
        for message in batch:
            try:
                self._store([message])
            except UNFIT as exc:
                where = place(message)
                logger.warning(
                    "%s/%s/%s is passed over: %s",
                    *where,
                    type(exc).__name__,
                    extra=event("record_passed_over", topic=where[0]),
                )
                problem = f"the database refuses it: {type(exc).__name__}"
                with self._database.writing() as connection:
                    pass_over(connection, message, problem, self._topic_ids)

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()

    def _look(self) -> None:
        """Assign the partitions that are there and not read yet; a topic may come later.

        One that was made anew is read from its beginning: the old one's offsets mean nothing in it.
        """
        try:
            there = self._consumer.list_topics(timeout=ANSWER_S).topics
            names = [name for name in self._takes if name in there and there[name].error is None]
            self._topic_ids = self._ask_ids(names)
        except KafkaException as exc:
            raise KafkaTrouble(f"Kafka does not answer: {exc.args[0].str()}") from exc
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.ingest)).all()
        old = {
            row.topic: row.topic_id
            for row in rows
            if row.topic_id and row.topic_id != self._topic_ids.get(row.topic, row.topic_id)
        }
        for each in sorted(old.items()):
            self._let_go(*each)
        new = {(name, number) for name in names for number in there[name].partitions}
        new -= self._assigned
        if not new:
            return
        held = {(row.topic, row.partition): row.next_offset for row in rows if row.topic not in old}
        self._consumer.incremental_assign(
            [TopicPartition(*each, held.get(each, 0)) for each in sorted(new)]
        )
        self._assigned |= new

    def _let_go(self, topic: str, topic_id: str) -> None:
        """Read a topic no longer that was deleted, and forget how far it was read."""
        with self._database.writing() as connection:
            if forget(connection, topic, topic_id):
                logger.warning(
                    "%s was made anew: it is read from its beginning",
                    topic,
                    extra=event("topic_made_anew", topic=topic),
                )
        stale = {each for each in self._assigned if each[0] == topic}
        if stale:
            self._consumer.incremental_unassign([TopicPartition(*each) for each in stale])
            self._assigned -= stale


def trouble(message: Message) -> bool:
    """Tell an error from a record; raise KafkaTrouble if it is one to tell people of."""
    error = message.error()
    if error is None:
        return False
    if error.code() in AWAY or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
        return True
    raise KafkaTrouble(f"{message.topic()} cannot be read: {error.str()}")
