"""Dead letters are fed in again: the copies, and how far it is, are one Kafka transaction."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream_scorer.clients import PURGED
from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.marks import Mark
from stream_scorer.dead_letters.walk import (
    LOOK_BACK,
    MOST_COPIES,
    MOVED,
    Batch,
    Copy,
    Fate,
    Task,
    Walk,
)
from stream_scorer.errors import BadInput, DeliveryError
from stream_scorer.guarantee import Commit
from stream_scorer.records import NextOffsets, Partition


class Held(Protocol):
    """The dead letters there are, from some offset of each partition on."""

    bounds: dict[int, tuple[int, int]]

    def held(self) -> Iterator[Message]: ...
    def close(self) -> None: ...


class Transaction(Protocol):
    """What `transaction.ExactlyOnce` is here."""

    def begin(self) -> Producer: ...
    def commit(self, offsets: NextOffsets, notes: Mapping[Partition, str]) -> Commit: ...
    def undo(self, *, failed: Exception | None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where."""

    source: str  # topic of the dead letters
    target: str
    target_partitions: int
    parking: str  # topic; empty: none
    source_id: str = ""  # the id of the topic of dead letters


@dataclass(slots=True)
class Redriver:
    """Redrives what the task chooses, in one run."""

    task: Task
    route: Route
    open_from: Callable[[Mapping[int, int]], Held]  # the offset of each partition
    read_marks: Callable[[], Mapping[int, Mark]]
    transaction: Transaction | None  # None: only look, write nothing
    tell: Callable[[Batch], None]  # of each transaction that counts
    rate: float | None = None  # records a second
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    counts: Counter[Fate] = field(default_factory=Counter)
    _failure: str = ""

    def run(self) -> None:
        """Redrive to the end of what is there now, or to the limit.

        Raises DeliveryError if Kafka does not take a record, BadInput if one would have to be
        parked and there is no topic for that. What is told of by then is done, nothing else.
        """
        began = self.clock()
        try:
            while not self._pass(began):
                pass
        except KeyboardInterrupt:
            if self.transaction is not None:
                self.transaction.undo(failed=None)  # or readers wait until the broker does it
            raise

    def _pass(self, began: float) -> bool:
        """Go from the marks to the end; False: a transaction was undone, so they say where."""
        marks = self.read_marks()
        starts = {n: mark.begin(self.task.choice) - LOOK_BACK for n, mark in marks.items()}
        source = self.open_from(starts)
        try:
            topic, topic_id = self.route.source, self.route.source_id
            walk = Walk(self.task, topic, marks, source.bounds, topic_id=topic_id)
            return self._go(walk, source, began)
        finally:
            source.close()

    def _go(self, walk: Walk, source: Held, began: float) -> bool:
        """Write batch after batch; False: one was undone."""
        most_copies = max(1, min(MOST_COPIES, int(self.rate or MOST_COPIES)))
        moved = self._moved()
        for batch in walk.batches(source.held(), moved=moved, most_copies=most_copies):
            if not self._write(batch, walk.marks()):
                return False
            self.counts.update(batch.counts)
            self.tell(batch)
            if batch.unparked is not None:
                raise BadInput(
                    f"the record {batch.unparked.id} has failed {batch.unparked.attempt} times: "
                    "want --parking-topic TOPIC for such ones, or a larger --max-attempts"
                )
            if self.rate and batch.copies:
                self.sleep(max(0.0, began + self._moved() / self.rate - self.clock()))
        return True

    def _moved(self) -> int:
        """Return how many records this run has redriven or parked."""
        return sum(self.counts[fate] for fate in MOVED)

    def _write(self, batch: Batch, marks: Mapping[int, Mark]) -> bool:
        """Copy a batch and keep the marks, both or neither; tell whether it counts."""
        if self.transaction is None:
            return True
        topic = self.route.source
        offsets = {(topic, number): mark.low for number, mark in marks.items()}
        notes = {(topic, number): mark.note() for number, mark in marks.items()}
        producer = self.transaction.begin()
        now_ms = int(time.time() * 1000)
        try:
            for copy in batch.copies:
                self._produce(producer, copy, now_ms)
        except DeliveryError:
            self.transaction.undo(failed=None)
            raise
        committed = self.transaction.commit(offsets, notes) is Commit.DONE
        if self._failure:
            raise DeliveryError(self._failure)
        return committed

    def _produce(self, producer: Producer, copy: Copy, now_ms: int) -> None:
        """Hand one record over: redriven as it was, or parked as it is."""
        message, letter = copy.message, copy.letter

        def acknowledged(error: KafkaError | None, sent: Message) -> None:
            if error is not None and error.code() not in PURGED and not self._failure:
                self._failure = f"{sent.topic()} does not take {letter.id}: {error.str()}"

        if copy.fate is Fate.PARK:
            topic, headers, partition = self.route.parking, copy.headers, -1
            time_ms = letters.timestamp(message.timestamp()[1], now_ms=now_ms)
        else:
            topic, headers = self.route.target, letters.redriven(copy.headers, letter)
            partition = letter.partition if letter.partition < self.route.target_partitions else -1
            time_ms = letters.timestamp(letter.timestamp_ms, now_ms=now_ms)
        try:
            producer.produce(
                topic,
                message.value(),
                message.key(),
                partition,
                headers=headers,  # type: ignore[arg-type] # it is not changed
                timestamp=time_ms,
                on_delivery=acknowledged,
            )
        except BufferError:
            raise DeliveryError(
                f"the producer's queue is full at {letter.id}: want a larger queue.buffering.max."
                "messages and queue.buffering.max.kbytes"
            ) from None
        except KafkaException as exc:
            if exc.args[0].fatal():
                return  # the commit finds out, and what was written does not count
            raise DeliveryError(f"{topic} does not take {letter.id}: {exc.args[0].str()}") from exc
