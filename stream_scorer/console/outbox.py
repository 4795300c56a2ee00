"""Sends the labels that are saved, in their order, and notes which Kafka has taken."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message
from sqlalchemy import func, select

from stream_scorer.console import lease, schema
from stream_scorer.console.database import Database
from stream_scorer.logs import event

logger = logging.getLogger(__name__)

# Labels in one round; of each transaction one, so that a later never overtakes an earlier.
MOST = 500
# Seconds that a round waits for Kafka; what it has not taken by then is sent again.
ROUND_S = 5.0
NAME = "outbox"
# Milliseconds between two renewals of the lease: it is a write, and must not run out between them.
RENEW_MS = lease.LEASE_MS // 5


class Sends(Protocol):
    """What is needed of a `confluent_kafka.Producer`."""

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        *,
        on_delivery: Callable[[KafkaError | None, Message], None],
    ) -> None: ...
    def flush(self, timeout: float) -> int: ...
    def purge(self) -> None: ...


class Outbox:
    """The labels that wait for Kafka."""

    def __init__(
        self,
        database: Database,
        producer: Sends,
        topic: str,
        *,
        holder: str,
        clock: Callable[[], int],
    ) -> None:
        """Send to `topic`; `holder` names this console among several."""
        self._database = database
        self._producer = producer
        self._topic = topic
        self._holder = holder
        self._clock = clock
        self._ours, self._asked_at = False, -RENEW_MS

    def round(self) -> int:
        """Send what waits; return how many labels Kafka has taken.

        A label that is sent and not noted, as the process ended between, is sent again with the
        same `label_id`.
        """
        rows = self._waiting() if self._is_ours() else ()
        if not rows:
            return 0
        taken: list[int] = []
        for row_id, key, value in rows:
            try:
                self._producer.produce(
                    self._topic,
                    value.encode(),
                    key.encode(),
                    on_delivery=partial(took, taken, row_id),
                )
            except (BufferError, KafkaException) as exc:
                logger.warning("A label waits: %s", exc, extra=event("label_waits"))
                break
        if self._producer.flush(ROUND_S):
            self._producer.purge()  # or it would be sent beside the next round's
            self._producer.flush(ROUND_S)
        if taken:
            with self._database.writing() as connection:
                connection.execute(
                    schema.outbox.update()
                    .where(schema.outbox.c.id.in_(taken))
                    .values(sent_at=self._clock())
                )
        return len(taken)

    def _is_ours(self) -> bool:
        """Tell whether this console is the one that sends; asked for, and renewed, now and then."""
        now = self._clock()
        if now - self._asked_at >= RENEW_MS:
            with self._database.writing() as connection:
                self._ours = lease.hold(connection, NAME, self._holder, now)
            self._asked_at = now
        return self._ours

    def waiting(self) -> int:
        """Return how many labels wait for Kafka."""
        with self._database.reading() as connection:
            found: int = connection.scalars(
                select(func.count())
                .select_from(schema.outbox)
                .where(schema.outbox.c.sent_at.is_(None))
            ).one()
        return found

    def _waiting(self) -> Sequence[tuple[int, str, str]]:
        """Return the oldest label that waits of each transaction: id, key, value."""
        table = schema.outbox
        oldest = select(func.min(table.c.id)).where(table.c.sent_at.is_(None)).group_by(table.c.key)
        with self._database.reading() as connection:
            rows = connection.execute(
                select(table.c.id, table.c.key, table.c.value)
                .where(table.c.id.in_(oldest))
                .order_by(table.c.id)
                .limit(MOST)
            )
            return [(row.id, row.key, row.value) for row in rows]


def took(taken: list[int], row_id: int, error: KafkaError | None, _: Message) -> None:
    """Note a delivery report."""
    if error is None:
        taken.append(row_id)
    else:
        logger.warning("A label waits: %s", error.str(), extra=event("label_waits"))
