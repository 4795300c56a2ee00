"""Which rows of one topic Kafka has confirmed."""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from confluent_kafka import KafkaError


class Position(msgspec.Struct, frozen=True):
    """Where a topic stands: all before it is confirmed, none of what follows is counted on."""

    next_number: int = 1  # the first row that is not confirmed
    next_offsets: dict[int, int] = {}  # by partition: rows from next_number on are not before it


class Placed(Protocol):
    """What we need of a delivered `confluent_kafka.Message`."""

    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...


@dataclass(slots=True)
class Deliveries:
    """Counts of one topic, fed by delivery reports; only a partition's come in order."""

    next_number: int = 1
    next_offsets: dict[int, int] = field(default_factory=dict)
    there: Container[int] = frozenset()  # rows that an earlier run has put there already
    confirmed: int = 0
    failed: int = 0
    failure: KafkaError | None = None  # the first one
    _ahead: dict[int, tuple[int, int] | None] = field(default_factory=dict)

    def wants(self, number: int) -> bool:
        """Tell whether the row is still to be sent."""
        return number >= self.next_number and number not in self.there

    def report(self, number: int, error: KafkaError | None, message: Placed) -> None:
        """Take Kafka's word on one row; librdkafka calls this, so it must never raise."""
        if error is not None:
            self.failed += 1
            self.failure = self.failure or error
            return
        self.confirmed += 1
        self._done(number, (message.partition() or 0, message.offset() or 0))

    def skip(self, number: int) -> None:
        """Count a row as done that needs no sending: malformed, or there already."""
        if number >= self.next_number:
            self._done(number, None)

    def position(self) -> Position:
        """Return what is safe to remember."""
        return Position(self.next_number, dict(self.next_offsets))

    def _done(self, number: int, place: tuple[int, int] | None) -> None:
        if number != self.next_number:
            self._ahead[number] = place
            return
        while True:
            if place is not None:
                self.next_offsets[place[0]] = place[1] + 1
            self.next_number += 1
            if self.next_number not in self._ahead:
                return
            place = self._ahead.pop(self.next_number)
