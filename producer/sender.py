"""The way into Kafka: events and labels go to the client, and its reports are counted."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException

from producer.deliveries import Deliveries, Placed
from producer.steps import Step
from producer.summary import explain

RUN_HEADER = "replay"  # record header, `<run>:<row number>`: whose row a record is

Headers = list[tuple[str, str | bytes | None]]
encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Route:
    """Where events and labels go."""

    topic: str
    labels_topic: str | None = None  # None: no labels
    label_delay_s: float = 0.0
    run: str | None = None  # marks each record, so that a resume finds it; None: no mark

    @property
    def topics(self) -> list[str]:
        """Return the topics that must exist."""
        return [self.topic, *([self.labels_topic] if self.labels_topic else [])]

    def marked(self, run: str) -> "Route":
        """Return the route with its records marked."""
        return replace(self, run=run)


class Client(Protocol):
    """What we need of a `confluent_kafka.Producer`."""

    def produce(
        self,
        topic: str,
        value: bytes,
        key: str,
        *,
        on_delivery: Callable[[KafkaError | None, Placed], None],
        timestamp: int,
        headers: Headers | None,
    ) -> None: ...
    def poll(self, timeout: float, /) -> int: ...
    def purge(self, *, in_flight: bool) -> None: ...
    def __len__(self) -> int: ...


class Label(msgspec.Struct, frozen=True, gc=False):
    """A label and when it is due."""

    due_s: float  # on the loop's clock
    number: int  # of its row
    transaction_id: str
    label: int
    timestamp_ms: int

    def value(self) -> bytes:
        """Return the JSON for the labels topic."""
        return encode(
            {
                "schema_version": 1,
                "transaction_id": self.transaction_id,
                "label": self.label,
                "source": "replay",
            }
        )


@dataclass(slots=True)
class Sender:
    """One producer and what it was told by Kafka."""

    producer: Client
    route: Route
    events: Deliveries = field(default_factory=Deliveries)
    labels: Deliveries = field(default_factory=Deliveries)
    produced: int = 0  # events
    refused: str | None = None  # why the client itself took no more

    def send_event(self, step: Step, timestamp_ms: int) -> bool:
        """Hand over an event; False: the client's queue is full, or the sender has failed."""
        report = partial(self.events.report, step.number)
        key, value = step.key, step.value
        done = self._produce(self.route.topic, key, value, step.number, timestamp_ms, report)
        self.produced += done
        return done

    def send_label(self, label: Label) -> bool:
        """Hand over a label; False: the client's queue is full, or the sender has failed."""
        topic, key = self.route.labels_topic or "", label.transaction_id
        report = partial(self.labels.report, label.number)
        return self._produce(topic, key, label.value(), label.number, label.timestamp_ms, report)

    @property
    def has_failed(self) -> bool:
        """Tell whether a record was not delivered: then no more may follow it."""
        return bool(self.refused or self.events.failed or self.labels.failed)

    @property
    def failed(self) -> int:
        """Return the events and labels that were handed over and are not to be confirmed."""
        return self.events.failed + self.labels.failed + bool(self.refused)

    @property
    def failure(self) -> str | None:
        """Return the first reason why something was not delivered."""
        error = self.events.failure or self.labels.failure
        return explain(error) if error else self.refused

    def _produce(
        self,
        topic: str,
        key: str,
        value: bytes,
        number: int,
        timestamp_ms: int,
        report: Callable[..., None],
    ) -> bool:
        run = self.route.run
        headers: Headers | None = None  # an empty list would cost 1 us a record
        if run is not None:
            headers = [(RUN_HEADER, f"{run}:{number}".encode())]
        try:
            self.producer.produce(
                topic, value, key, on_delivery=report, timestamp=timestamp_ms, headers=headers
            )
        except BufferError:
            return False
        except KafkaException as exc:
            self.refused = self.refused or f"row {number}: {explain(exc.args[0])}"
            return False
        return True
