"""Kafka in: hands out batches of owned partitions, commits what is done, tells of rebalances."""

import contextlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import (
    OFFSET_STORED,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream_scorer import clients
from stream_scorer.errors import KafkaTrouble, Unfit
from stream_scorer.logs import event
from stream_scorer.records import NextOffsets, Partition, Rebalanced, Record, UnreadableBatch
from stream_scorer.stall import Stalls
from stream_scorer.topic_id import TopicId
from stream_scorer.unreadable import UNREADABLE

logger = logging.getLogger(__name__)

# The group is on the move or its coordinator is: what is done stays noted, the commit is tried
# again. If the partitions are lost meanwhile, `on_lost` forgets it and their new owner repeats.
TRY_AGAIN = {
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError._TIMED_OUT,  # noqa: SLF001 - librdkafka's own names
    KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._WAIT_COORD,  # noqa: SLF001
    KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
    KafkaError._STATE,  # noqa: SLF001
}
# A partition that was just assigned may be news to the broker that is asked about it.
NOT_KNOWN_YET = {
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - librdkafka's own name
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
# Seconds. A rebalance waits for the answer; after this the group goes on without us.
ANCHOR_S = 10.0
# Seconds. Offsets in a transaction that is not yet ended are waited for, up to its time-out.
GO_BACK_S = 30.0
# Records that the client may hold: 16 MB of the smallest that anybody sends (see CONSUMER).
MOST_QUEUED = 200_000
HARMLESS = {
    KafkaError._PARTITION_EOF,  # noqa: SLF001
    KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - a rebalance follows and says what we own
}
# A checksum is wrong: it may be right next time. The client loses its place in the partition by it
# (librdkafka 2.16, rdkafka_msgset_reader.c), so that only a new start reads on.
DAMAGED = KafkaError._BAD_MSG  # noqa: SLF001 - librdkafka's own name
# How the client tells the size of a batch that it cannot unpack, in its text of the error.
BATCH_BYTES = re.compile(r"of (\d+) bytes")
# Gives the offset behind an unreadable batch, by its partition, its first offset and one in it.
EndOfBatch = Callable[[Partition, int, int], int | None]


@dataclass(slots=True)
class Unreadable:
    """A batch that the client could not unpack, as it was met."""

    base: int  # its first offset
    said: str  # by the client
    next_offset: int | None  # behind what was handed out before it; None: to be asked for


class KafkaSource:
    """One consumer in a group.

    librdkafka throws away the fetched batch if a callback raises, so ours do not: an error in one
    is kept and raised by the next `poll`.
    """

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        consumer: Consumer,
        topic: str,
        *,
        group: str = "GROUP",
        first: str = "earliest",
        stalls: Stalls | None = None,
        topic_id: TopicId | None = None,
        end_of_batch: EndOfBatch | None = None,
    ) -> None:
        """Read `topic` with `consumer`, once subscribed.

        `group` is what its hints name. `first` is where a group starts that has committed nothing:
        "earliest", "latest" or "error".
        `end_of_batch` finds the end of a batch that cannot be unpacked, which is then handed out as
        an UnreadableBatch; without it such a batch is an error.
        `stalls` looks for partitions that give nothing, `topic_id` for another topic of this name,
        if there is one.
        """
        self._consumer = consumer
        self._topic = topic
        self._group = group
        self._first = first
        self._on_rebalance: Rebalanced
        self._commit_beginnings: Callable[[NextOffsets], bool] = self.commit
        self._owned: set[Partition] = set()
        self._gone: set[Partition] = set()  # revoked or lost since the present poll began
        self._unanchored: set[Partition] = set()  # the group's offset is not yet looked at
        self._unbegun: set[Partition] = set()  # without an offset to begin at, as nobody answered
        self._rewind = False
        self._failure: Unfit | None = None
        self._starts: dict[Partition, int] = {}  # of the assignment, where it was asked for
        self._stalls = stalls
        self._end_of_batch = end_of_batch
        self._unreadable: dict[Partition, Unreadable] = {}
        self._sought: dict[
            Partition, int
        ] = {}  # where the client was sent: it has no position then
        self._empty_polls = self._handed = 0
        self._topic_id = topic_id
        self._note = topic_id.note if topic_id else ""

    def subscribe(
        self, on_rebalance: Rebalanced, commit: Callable[[NextOffsets], bool] | None = None
    ) -> None:
        """Join the group; `on_rebalance` gets "assigned", "revoked" or "lost" and the partitions.

        On "revoked" the partitions are still ours: it is the last moment to commit them. `commit`
        commits where partitions begin of which nothing was read, False: try again later.
        """
        self._on_rebalance = on_rebalance
        self._commit_beginnings = commit or self.commit
        self._consumer.subscribe(
            [self._topic],
            on_assign=partial(self._told, "assigned"),
            on_revoke=partial(self._told, "revoked"),
            on_lost=partial(self._told, "lost"),
        )

    def poll(self, limit: int, timeout_s: float) -> Sequence[Record]:
        """Return up to `limit` records, none if `timeout_s` passes without one.

        A batch that cannot be unpacked comes alone, as an UnreadableBatch.

        The first is waited for; the rest is what has been fetched already. So at one record a
        second no record waits for others, and under backlog batches are full.
        (`consume(limit, timeout)` would wait the whole timeout for the last one.)
        """
        self._gone.clear()
        if self._unanchored:
            self._anchor()
        for partition in tuple(self._unbegun):
            self._begin_or_stop(TopicPartition(*partition))
        if self._rewind:
            self._go_back()
        if self._unreadable:
            return self._pass_over()
        try:
            first = self._consumer.poll(timeout_s)
            batch = [] if first is None else [first]
            if batch and limit > 1:
                batch += self._consumer.consume(limit - 1, 0)
            self._handed += len(batch)
            self._empty_polls += not batch
        except KafkaException as exc:  # fatal: the client is done for
            raise KafkaTrouble(f"the consumer is done for: {exc.args[0].str()}") from exc
        if self._failure is not None:
            raise self._failure
        if any(map(Message.error, batch)):
            batch = self._without_errors(batch)
        if self._rewind:  # a rebalance within this call undid what was written
            return []
        unfit = self._gone | self._unanchored
        return self._without(unfit, batch) if unfit else batch

    def commit(self, offsets: NextOffsets) -> bool:
        """Commit; tell whether it is done (False: the group is on the move, try again later)."""
        wanted = [TopicPartition(*each, offset, self._note) for each, offset in offsets.items()]
        try:
            committed = self._consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as exc:
            errors = [exc.args[0]]
        else:
            errors = [each.error for each in committed or () if each.error is not None]
        for error in errors:
            if error.fatal() or error.code() not in TRY_AGAIN:
                raise KafkaTrouble(f"the commit was refused: {error.str()}")
        if errors:
            about = event("commit_retried", code=errors[0].name())
            logger.warning("Commit not done yet, trying again: %s", errors[0].str(), extra=about)
        return not errors

    def rewind(self) -> None:
        """Go back to the offsets that the broker holds, before anything more is handed out."""
        self._rewind = True

    def membership(self) -> object | None:
        """Return the live group metadata, None if we are no member now."""
        return self._consumer.consumer_group_metadata() if self._consumer.memberid() else None

    def lag(self) -> dict[Partition, int]:
        """Return, for each owned partition read from, how many records are still ahead.

        Ends of transactions take offsets and count as records, until a partition has stood for a
        while and nothing else was found there.
        Raise KafkaTrouble if one of them has some and has given none for a long time, or if the
        topic was made anew.
        """
        if self._topic_id:
            self._topic_id.look()
        positions = self._consumer.position([TopicPartition(*p) for p in self._owned])
        self._learn_starts([each for each in positions if each.offset < 0])
        found: dict[Partition, int] = {}
        at_now: dict[Partition, int] = {}
        for each in positions:
            low_high = self._consumer.get_watermark_offsets(each, cached=True)
            low, high = low_high or (-1, -1)  # not known until something was fetched
            start = self._starts.get((each.topic, each.partition), -1)
            at = next(offset for offset in (each.offset, start, low, 0) if offset >= 0)
            at_now[each.topic, each.partition] = at
            if high >= 0:
                ended = self._stalls and self._stalls.at_end((each.topic, each.partition), at)
                found[each.topic, each.partition] = 0 if ended else max(0, high - at)
        if self._stalls:
            drains = 1 + self._empty_polls + self._handed // MOST_QUEUED
            self._stalls.look(at_now, drains=drains)
        return found

    def _learn_starts(self, unread: Sequence[TopicPartition]) -> None:
        """Note where partitions begin from which nothing was read yet; each is asked for once."""
        asked = [each for each in unread if (each.topic, each.partition) not in self._starts]
        if not asked:
            return
        with contextlib.suppress(KafkaException):  # not known now; asked for again
            for each in self._consumer.committed(asked, 1.0):
                self._starts[each.topic, each.partition] = each.offset

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _without_errors(self, batch: list[Message]) -> list[Message]:
        """Return the records among error events; raise for an error to stop for.

        What follows an unreadable batch in its partition waits until its end is known.
        """
        records: list[Message] = []
        for message in batch:
            partition = (message.topic() or "", message.partition() or 0)
            waits = self._unreadable.get(partition)
            if self._is_error(message):
                if partition in self._unreadable and waits is None:
                    self._unreadable[partition].next_offset = next_offset(records, partition)
            elif waits is None:
                records.append(message)
            elif waits.next_offset is None:  # the client has gone back to where it was
                waits.next_offset = message.offset()
        return records

    def _is_error(self, message: Message) -> bool:
        """Tell an error event from a record; raise if it is one to stop for."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - librdkafka's name
            self._begin_or_stop(TopicPartition(message.topic() or "", message.partition() or 0))
            return True
        if error.code() in HARMLESS:
            logger.warning("Kafka: %s", error.str(), extra=event("kafka_error", code=error.name()))
            return True
        partition = (message.topic() or "", message.partition() or 0)
        if error.code() == DAMAGED or (error.code() == UNREADABLE and not self._end_of_batch):
            raise self._unreadable_error(partition, message.offset(), error)
        if error.code() == UNREADABLE:
            met = Unreadable(message.offset() or 0, error.str(), None)
            self._unreadable.setdefault(partition, met)
            return True
        raise KafkaTrouble(f"reading {self._topic!r} failed: {error.str()}")

    def _unreadable_error(
        self, partition: Partition, offset: int | None, error: KafkaError
    ) -> KafkaTrouble:
        """Return the error that says where a batch cannot be read, and the ways on."""
        topic, number = partition
        reset = clients.reset_command(self._group, f"{topic}:{number}", "--to-offset NEXT")
        ways = (
            "a new start asks for it again; if it stays so, "
            if error.code() == DAMAGED
            else "SCORER_UNREADABLE=dead-letter puts it aside and goes on behind it; or, "
        )
        return KafkaTrouble(
            f"{topic}[{number}]: what begins at offset {offset} cannot be read: {error.str()}; "
            f"{ways}with all scorers stopped and the right READ on group and topic, NEXT being the "
            f"first offset behind it: {reset}"
        )

    def _pass_over(self) -> Sequence[UnreadableBatch]:
        """Find the end of one batch that cannot be unpacked, and go on behind it.

        What was fetched before it has been handed out by then.
        """
        partition, met = self._unreadable.popitem()
        if self._end_of_batch is None or partition not in self._owned:
            return []
        if met.next_offset is None:
            met.next_offset = self._next_offset(partition, met.base)
        begin = max(met.base, met.next_offset)
        end = self._end_of_batch(partition, met.base, begin)
        self._seek(TopicPartition(*partition, begin if end is None else end))
        if end is None:  # it is readable by now
            return []
        size = BATCH_BYTES.search(met.said)
        return [UnreadableBatch(partition, begin, end, int(size[1]) if size else -1, met.said)]

    def _next_offset(self, partition: Partition, otherwise: int) -> int:
        """Return the offset behind what was handed out of a partition, or is committed."""
        place = TopicPartition(*partition)
        (position,) = self._consumer.position([place])
        if position.offset >= 0:
            return position.offset
        if partition in self._sought:
            return self._sought[partition]
        try:
            (held,) = self._consumer.committed([place], ANCHOR_S)
        except KafkaException as exc:
            raise KafkaTrouble(f"cannot tell where to go on: {exc.args[0].str()}") from exc
        return held.offset if held.offset >= 0 else otherwise

    def _begin_or_stop(self, partition: TopicPartition) -> None:
        """Begin where nothing was ever committed; raise KafkaTrouble where records are gone.

        The client asks for no offset but a committed one, so that it never jumps by itself.
        """
        number = (partition.topic, partition.partition)
        self._unbegun.add(number)
        try:
            (held,) = self._consumer.committed([partition], ANCHOR_S)
            low, high = clients.bounds(self._consumer, partition, ANCHOR_S)
            may_begin = held.offset >= 0 or self._may_begin()
        except KafkaException as exc:
            stop_unless_transient(exc)
            return  # the next poll asks again
        self._unbegun.discard(number)
        place = f"{partition.topic}[{partition.partition}]"
        at = f"{partition.topic}:{partition.partition}"
        if held.offset < 0 and may_begin:  # a rebalance kept it from being anchored
            held.offset = self._beginning((low, high))
            self._warn_of_beginnings({number: (held.offset, low, high)})
            self._seek(held)
            return
        if held.offset < 0:
            raise KafkaTrouble(
                f"{place}: group {self._group!r} has committed nothing, or Kafka has forgotten it "
                "(after a week without a member, by default), and "
                "SCORER_KAFKA_CONSUMER_AUTO_OFFSET_RESET=error lets it begin nowhere; to begin by "
                f"intent: {clients.reset_command(self._group, at, '--to-earliest')}"
            )
        what = (
            f"{low - held.offset} records are gone: it begins at {low}"
            if held.offset < low
            else f"it ends at {high}: was the topic made anew?"
        )
        raise KafkaTrouble(
            f"{place}: the group has done everything before {held.offset}, and {what}; to go on by "
            f"intent: {clients.reset_command(self._group, at, '--to-earliest')}"
        )

    def _anchor(self) -> None:
        """Commit where a partition begins that the group has never committed.

        So whoever goes back, or takes over, begins at the same place: with "latest" a crash before
        the first commit would else skip what came meanwhile. Raises KafkaTrouble where what is
        committed is of another topic of this name. Until it is known nothing is handed out.
        """
        partitions = [TopicPartition(*each) for each in self._unanchored]
        try:
            places = clients.settled(
                partial(self._consumer.committed, partitions, ANCHOR_S), timeout_s=ANCHOR_S
            )
            for place in places:
                if self._topic_id:
                    self._topic_id.compare(place.partition, place.offset, place.metadata)
            new = [place for place in places if place.offset < 0]
            bounds = {}
            if new and self._may_begin():
                for place in new:
                    low, high = clients.bounds(self._consumer, place, ANCHOR_S)
                    begins = self._beginning((low, high))
                    bounds[place.topic, place.partition] = (begins, low, high)
            beginnings = {partition: begins for partition, (begins, _, _) in bounds.items()}
            if not beginnings or self._commit_beginnings(beginnings):
                self._warn_of_beginnings(bounds)
                self._unanchored.clear()
        except KafkaException as exc:
            stop_unless_transient(exc)

    def _may_begin(self) -> bool:
        """Tell whether a partition may be read of which the group has committed nothing.

        With "error" only if the group has committed something in another partition: Kafka forgets
        all offsets of a group at once, so this one is new. Raises KafkaException.
        """
        if self._first != "error":
            return True
        metadata = self._consumer.list_topics(self._topic, ANCHOR_S).topics[self._topic]
        places = [TopicPartition(self._topic, number) for number in metadata.partitions]
        held = self._consumer.committed(places, ANCHOR_S) if places else []
        return any(place.offset >= 0 for place in held)

    def _warn_of_beginnings(self, bounds: Mapping[Partition, tuple[int, int, int]]) -> None:
        """Warn of partitions that hold records and are begun, or passed over, without an offset.

        `bounds` gives the offset at which each begins, its first one and the one behind its last.
        """
        begins = ", ".join(
            f"{topic}[{number}] at {begin:,} of {high:,}"
            for (topic, number), (begin, low, high) in sorted(bounds.items())
            if high > low
        )
        if not begins:
            return
        logger.warning(
            "Group %s has committed nothing here and begins %s; if it has scored these records "
            "before, Kafka has forgotten its offsets",
            self._group,
            begins,
            extra=event("begins_without_offset", group=self._group, begins=begins),
        )

    def _seek(self, place: TopicPartition) -> None:
        """Go on reading a partition at an offset."""
        self._sought[place.topic, place.partition] = place.offset
        try:
            self._consumer.seek(place)
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError._STATE:  # noqa: SLF001 - librdkafka's name
                raise KafkaTrouble(f"cannot go on at {place.offset}: {exc.args[0].str()}") from exc
            self._fetch_again(place)

    def _fetch_again(self, place: TopicPartition) -> None:
        """Let the client fetch a partition that it has given up, as it had no offset to begin at.

        Such a partition cannot be sought. The group does not notice that it is assigned again.
        """
        try:
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])
        except KafkaException:  # the protocol is eager: all partitions are assigned at once
            self._consumer.assign(
                [
                    TopicPartition(*partition, self._sought.get(partition, OFFSET_STORED))
                    if held.offset < 0
                    else held
                    for partition, held in self._positions().items()
                ]
            )

    def _positions(self) -> dict[Partition, TopicPartition]:
        """Return the client's position in every owned partition; negative where it has none."""
        owned = [TopicPartition(*partition) for partition in self._owned]
        places = self._consumer.position(owned)
        return {(place.topic, place.partition): place for place in places}

    def _beginning(self, bounds: tuple[int, int]) -> int:
        """Return where a group begins in a partition that reaches from low to high.

        With "error" it is a partition that was added: its first record is where it begins.
        """
        low, high = bounds
        return high if self._first == "latest" else low

    def _go_back(self) -> None:
        """Seek every partition that has been read from to the offset that the broker holds."""
        read = [
            place
            for partition, place in self._positions().items()
            if place.offset >= 0 or partition in self._sought
        ]
        try:
            for each in clients.settled(
                partial(self._consumer.committed, read, GO_BACK_S), timeout_s=GO_BACK_S
            ):
                self._seek(each)
        except KafkaException as exc:
            raise KafkaTrouble(f"cannot go back: {exc.args[0].str()}") from exc
        self._rewind = False
        self._unreadable.clear()  # what was met meanwhile is met again

    def _without(
        self, unfit: AbstractSet[Partition], batch: Sequence[Message]
    ) -> Sequence[Message]:
        """Drop the records of partitions that went away while the batch was fetched.

        One that is still ours, or came back within the call, is read again from the first record
        dropped.
        """
        first_dropped: dict[Any, Any] = {}
        rest = []
        for message in batch:
            partition = (message.topic(), message.partition())
            if partition in unfit:
                first_dropped.setdefault(partition, message.offset())
            else:
                rest.append(message)
        for (topic, number), offset in first_dropped.items():
            if (topic, number) in self._owned:
                self._seek(TopicPartition(topic, number, offset))
                self._unreadable.pop((topic, number), None)  # it is met again behind these
        return rest

    def _told(self, what: str, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Note a rebalance and pass it on; keep an error for the next `poll`."""
        changed = {(each.topic, each.partition) for each in partitions}
        if what == "assigned":
            self._unanchored |= changed
        else:
            self._unanchored -= changed
            self._unbegun -= changed
        try:
            if what == "assigned" and self._unanchored:
                self._anchor()
            self._on_rebalance(what, changed)
        except Unfit as exc:
            self._failure = exc
        self._starts.clear()
        if what == "assigned":
            self._owned |= changed
        else:
            self._owned -= changed
            self._gone |= changed
            for partition in changed:
                self._unreadable.pop(partition, None)
                self._sought.pop(partition, None)


def next_offset(records: Sequence[Message], partition: Partition) -> int | None:
    """Return the offset behind the last record of a partition, None if there is none of it."""
    for record in reversed(records):
        if (record.topic(), record.partition()) == partition:
            return (record.offset() or 0) + 1
    return None


def stop_unless_transient(exc: KafkaException) -> None:
    """Log an error that may pass, raise KafkaTrouble for any other: where to begin is not known."""
    error = exc.args[0]
    if error.code() not in TRY_AGAIN | NOT_KNOWN_YET | clients.NOT_YET:
        raise KafkaTrouble(f"cannot tell where to begin: {error.str()}") from exc
    logger.warning("Kafka: %s", error.str(), extra=event("kafka_error", code=error.name()))
