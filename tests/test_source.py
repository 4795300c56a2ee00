"""What is handed out, committed and dropped, by a client that does what it is told."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from confluent_kafka import (
    OFFSET_STORED,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import ClusterMetadata, PartitionMetadata, TopicMetadata

from stream_scorer.errors import DeliveryError, KafkaTrouble
from stream_scorer.records import UnreadableBatch
from stream_scorer.source import KafkaSource
from stream_scorer.stall import CONFIRM_S, STALL_S, Stalls
from stream_scorer.unreadable import find_end
from tests.fakes import Clock
from tests.records import GOOD, P0, TOPIC, record

Callback = Callable[["ListClient", list[TopicPartition]], None]


@dataclass
class ListClient:
    """A consumer that gives out what it was given; a callable among it is run inside the call."""

    ready: list[Message | Callable[[], None]] = field(default_factory=list)
    commits: list[list[TopicPartition]] = field(default_factory=list)
    commit_error: KafkaError | None = None
    raises: bool = False
    seeks: list[tuple[int, int]] = field(default_factory=list)
    callbacks: dict[str, Callback] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)  # what the broker holds, by partition
    ends: tuple[int, int] = (3, 90)
    partitions: int = 2  # of the topic
    unknown: list[KafkaError] = field(default_factory=list)  # answers before the ends are known
    positions: dict[int, int] = field(default_factory=dict)
    refuses: KafkaError | None = None  # to tell what it holds
    note: str = ""  # what it holds beside each offset
    eager: bool = False  # the group's protocol
    given_up: list[int] = field(default_factory=list)  # partitions that are not fetched
    assigned: dict[int, int] = field(default_factory=dict)  # where they are fetched from again
    asked: list[int] = field(default_factory=list)  # of how many partitions it was asked

    def subscribe(self, _: list[str], **callbacks: Callback) -> None:
        self.callbacks = callbacks

    def poll(self, _: float) -> Message | None:
        return next(iter(self.consume(1, 0)), None)

    def consume(self, limit: int, _: float) -> list[Message]:
        batch: list[Message] = []
        while self.ready and len(batch) < limit:
            each = self.ready.pop(0)
            if isinstance(each, Message):
                batch.append(each)
            else:
                each()
        return batch

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        self.commits.append(offsets)
        if self.commit_error and self.raises:
            raise KafkaException(self.commit_error)
        if self.commit_error:
            return [Answer(self.commit_error)]  # type: ignore[list-item]
        return offsets

    def committed(self, places: list[TopicPartition], _: float) -> list[TopicPartition]:
        self.asked.append(len(places))
        if self.refuses:
            raise KafkaException(self.refuses)
        return [
            TopicPartition(p.topic, p.partition, self.held.get(p.partition, -1001), self.note)
            for p in places
        ]

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        if self.unknown:
            raise KafkaException(self.unknown.pop(0))
        return self.ends

    def list_topics(self, topic: str, _: float) -> ClusterMetadata:
        metadata = ClusterMetadata()
        described = TopicMetadata()
        described.partitions = {number: PartitionMetadata() for number in range(self.partitions)}
        metadata.topics = {topic: described}
        return metadata

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(p.topic, p.partition, self.positions.get(p.partition, -1001))
            for p in places
        ]

    def seek(self, place: TopicPartition) -> None:
        if place.partition in self.given_up:
            raise KafkaException(KafkaError(KafkaError._STATE, "Erroneous state"))
        self.seeks.append((place.partition, place.offset))

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        if self.eager:
            raise KafkaException(KafkaError(KafkaError._STATE, "must be made using assign()"))
        assert [place.partition for place in places] == self.given_up

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.assign(places)

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned = {place.partition: place.offset for place in places}

    def tell(self, what: str, *partitions: int) -> Callable[[], None]:
        """Return a rebalance for the list of what is ready."""
        places = [TopicPartition(TOPIC, number) for number in partitions]
        return lambda: self.callbacks[f"on_{what}"](self, places)


@dataclass
class Answer:
    """A partition's answer to a commit."""

    error: KafkaError


def attach(client: ListClient) -> tuple[KafkaSource, list[tuple[str, list[int]]]]:
    told: list[tuple[str, list[int]]] = []
    source = KafkaSource(client, TOPIC)  # type: ignore[arg-type]
    source.subscribe(lambda kind, partitions: told.append((kind, sorted(p for _, p in partitions))))
    return source, told


def offsets(batch: object) -> list[int]:
    return [message.offset() for message in batch]  # type: ignore[attr-defined]


def test_batch_is_what_is_ready_and_no_more_than_the_limit() -> None:
    client = ListClient([record(i, GOOD) for i in range(5)])
    source, _ = attach(client)
    assert [offsets(source.poll(3, 0)) for _ in range(3)] == [[0, 1, 2], [3, 4], []]


def test_commit_names_the_next_offsets() -> None:
    client = ListClient()
    source, _ = attach(client)
    assert source.commit({P0: 7})
    assert [(t.topic, t.partition, t.offset) for t in client.commits[0]] == [(TOPIC, 0, 7)]


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize(
    "code", [KafkaError.REBALANCE_IN_PROGRESS, KafkaError.NOT_COORDINATOR, KafkaError._TIMED_OUT]
)
def test_commit_while_the_group_moves_is_to_be_tried_again(code: int, *, raises: bool) -> None:
    client = ListClient(commit_error=KafkaError(code), raises=raises)
    assert attach(client)[0].commit({P0: 7}) is False


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED),
        KafkaError(KafkaError.OFFSET_METADATA_TOO_LARGE),
        KafkaError(KafkaError._TIMED_OUT, "fenced", fatal=True),
    ],
)
def test_refused_commit_stops_the_process(error: KafkaError, *, raises: bool) -> None:
    client = ListClient(commit_error=error, raises=raises)
    with pytest.raises(KafkaTrouble, match="commit was refused"):
        attach(client)[0].commit({P0: 7})


def test_records_of_a_partition_that_went_away_meanwhile_are_dropped() -> None:
    client = ListClient()
    source, told = attach(client)
    client.ready = [client.tell("assign", 0, 1), record(0, GOOD), record(0, GOOD, partition=1)]
    assert len(source.poll(10, 0)) == 2
    client.ready = [record(1, GOOD), record(1, GOOD, partition=1), client.tell("revoke", 1)]
    assert [(m.partition(), m.offset()) for m in source.poll(10, 0)] == [(0, 1)]
    assert told == [("assigned", [0, 1]), ("revoked", [1])]
    assert not client.seeks


def test_partition_that_went_and_came_back_is_read_again_from_the_first_dropped_record() -> None:
    client = ListClient()
    source, _ = attach(client)
    client.ready = [client.tell("assign", 0)]
    source.poll(10, 0)
    back = [client.tell("revoke", 0), client.tell("assign", 0)]
    client.ready = [record(4, GOOD), *back, record(4, GOOD), record(5, GOOD)]
    assert source.poll(10, 0) == []
    assert client.seeks == [(0, 4)]


def test_error_in_a_rebalance_is_raised_after_the_call_not_inside_it() -> None:
    client = ListClient()
    source = KafkaSource(client, TOPIC)  # type: ignore[arg-type]

    def fail(kind: str, _: object) -> None:
        if kind == "revoked":
            raise DeliveryError("not acknowledged")

    source.subscribe(fail)
    client.ready = [client.tell("assign", 0), client.tell("revoke", 0)]
    with pytest.raises(DeliveryError):
        source.poll(10, 0)


def test_harmless_events_are_no_records() -> None:
    event = Message(topic=TOPIC, partition=0, error=KafkaError(KafkaError._PARTITION_EOF))
    client = ListClient([event, record(0, GOOD)])
    assert offsets(attach(client)[0].poll(10, 0)) == [0]


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    ],
)
def test_any_other_event_stops_the_process(code: int) -> None:
    event = Message(topic=TOPIC, partition=0, error=KafkaError(code))
    with pytest.raises(KafkaTrouble, match="reading 'transactions' failed"):
        attach(ListClient([event]))[0].poll(10, 0)


def test_partition_without_a_commit_is_committed_where_it_begins() -> None:
    client = ListClient(held={1: 40})
    attach(client)
    client.tell("assign", 0, 1)()
    (places,) = client.commits
    assert [(each.partition, each.offset) for each in places] == [(0, 3)]


UNPACKED = "Decompression (codec 0x4) of message at 7 of 4980 bytes failed: Local: Invalid"


def unreadable(offset: int) -> Message:
    return record(offset, None, error=KafkaError(KafkaError._BAD_COMPRESSION, UNPACKED))


def test_batch_that_cannot_be_unpacked_stops_and_names_the_ways_on() -> None:
    source, _ = attach(ListClient([record(6, GOOD), unreadable(7)]))
    with pytest.raises(KafkaTrouble) as raised:
        source.poll(10, 0)
    text = str(raised.value)
    assert f"{TOPIC}[0]: what begins at offset 7 cannot be read: Decompression" in text
    assert "SCORER_UNREADABLE=dead-letter" in text
    assert "the right READ on group and topic" in text
    assert "--to-offset NEXT --execute" in text


def passing(client: ListClient, end: int | None, asked: list[object] | None = None) -> KafkaSource:
    """Return a source that passes over unreadable batches, which end as told."""

    def end_of_batch(*place: object) -> int | None:
        if asked is not None:
            asked.append(place)
        return end

    source = KafkaSource(client, TOPIC, end_of_batch=end_of_batch)  # type: ignore[arg-type]
    source.subscribe(lambda *_: None)
    client.tell("assign", 0, 1)()
    client.commits.clear()
    client.seeks.clear()
    return source


def test_batch_that_cannot_be_unpacked_comes_alone_behind_the_records_before_it() -> None:
    client = ListClient([record(6, GOOD), unreadable(7), unreadable(7)], held={0: 6})
    asked: list[object] = []
    source = passing(client, 11, asked)
    assert offsets(source.poll(10, 0)) == [6]
    (batch,) = source.poll(10, 0)
    assert batch == UnreadableBatch(P0, 7, 11, 4980, UNPACKED)
    assert client.seeks == [(0, 11)]
    assert asked == [(P0, 7, 7)]
    client.ready = [record(11, GOOD)]
    assert offsets(source.poll(10, 0)) == [11]


def test_batch_that_can_be_read_when_it_is_asked_for_again_is_read_again() -> None:
    client = ListClient([unreadable(7)], held={0: 7})
    source = passing(client, None)
    assert source.poll(10, 0) == []
    assert source.poll(10, 0) == []
    assert client.seeks == [(0, 7)]


def test_records_that_the_client_gives_behind_an_unreadable_batch_wait_for_its_end() -> None:
    # The client has fetched again, and all is good.
    other = record(40, GOOD, partition=1)
    client = ListClient([record(6, GOOD), unreadable(7), record(7, GOOD), other, record(8, GOOD)])
    source = passing(client, None)
    assert offsets(source.poll(10, 0)) == [6, 40]
    assert source.poll(10, 0) == []
    assert client.seeks == [(0, 7)], "from where it was, nothing twice"


@pytest.mark.parametrize("behind", [[], [record(9, GOOD), record(10, GOOD)]], ids=len)
@pytest.mark.parametrize("end", [None, 11])
def test_what_was_committed_of_an_unreadable_batch_is_not_read_again(
    behind: list[Message], end: int | None
) -> None:
    client = ListClient([unreadable(7), *behind], held={0: 9})
    source = passing(client, end)
    assert source.poll(10, 0) == []
    batch = source.poll(10, 0)
    assert client.seeks == [(0, end or 9)]
    assert [(one.offset(), one.end) for one in batch] == ([(9, 11)] if end else [])  # type: ignore[attr-defined]


def test_batch_that_was_passed_over_is_met_again_when_its_dead_letter_is_undone() -> None:
    client = ListClient([unreadable(7)], held={0: 7})
    source = passing(client, 11)
    source.poll(10, 0)
    source.poll(10, 0)
    client.ready = [unreadable(7)]
    source.rewind()
    source.poll(10, 0)
    assert client.seeks == [(0, 11), (0, 7)]
    (batch,) = source.poll(10, 0)
    assert (batch.offset(), client.seeks[-1]) == (7, (0, 11))


def test_records_before_an_unreadable_batch_are_not_passed_over_while_their_place_is_unknown() -> (
    None
):
    client = ListClient([record(5, GOOD), record(6, GOOD), unreadable(7)], held={0: 5})
    source = passing(client, 11)
    client.refuses = KafkaError(KafkaError._TIMED_OUT, "not now")
    client.tell("assign", 0)()
    assert source.poll(10, 0) == []
    assert client.seeks == [(0, 5)]
    client.refuses, client.ready = None, [record(5, GOOD), record(6, GOOD), unreadable(7)]
    assert offsets(source.poll(10, 0)) == [5, 6]
    (batch,) = source.poll(10, 0)
    assert batch == UnreadableBatch(P0, 7, 11, 4980, UNPACKED)


def test_records_before_an_unreadable_batch_are_read_again_after_an_undo_within_the_call() -> None:
    client = ListClient(held={0: 5}, positions={0: 7})
    source = passing(client, 11)
    client.ready = [record(5, GOOD), source.rewind, record(6, GOOD), unreadable(7)]
    assert source.poll(10, 0) == []
    client.ready = [record(5, GOOD), record(6, GOOD), unreadable(7)]
    assert offsets(source.poll(10, 0)) == [5, 6]
    assert client.seeks == [(0, 5)]
    assert [one.offset() for one in source.poll(10, 0)] == [7]


@pytest.mark.parametrize("end", [None, 11])
def test_wrong_checksum_stops_and_a_new_start_asks_again(end: int | None) -> None:
    damaged = record(7, None, error=KafkaError(KafkaError._BAD_MSG, "CRC32C"))
    source = passing(ListClient([record(6, GOOD), damaged, record(9, GOOD)], held={0: 6}), end)
    with pytest.raises(KafkaTrouble, match=r"offset 7 cannot be read.*a new start asks for it"):
        source.poll(10, 0)


@pytest.mark.parametrize("what", ["revoke", "lost", "rewind"])
def test_batch_that_cannot_be_unpacked_is_forgotten_with_its_partition(what: str) -> None:
    client = ListClient([unreadable(7)], held={0: 7})
    source = passing(client, 11)
    source.poll(10, 0)
    source.rewind() if what == "rewind" else client.tell(what, 0)()
    assert source.poll(10, 0) == []
    assert (0, 11) not in client.seeks


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 1000])
def test_end_of_a_batch_is_found_by_few_questions(length: int) -> None:
    asked = []

    def is_inside(offset: int) -> bool:
        asked.append(offset)
        return 40 <= offset < 40 + length

    assert find_end(is_inside, 40) == 40 + length
    assert len(asked) <= 2 + 2 * length.bit_length()


def test_batch_behind_an_unreadable_one_is_not_taken_for_it() -> None:
    # Offsets 44 to 50 are good, from 51 on another batch is unreadable.
    assert find_end(lambda offset: 40 <= offset < 44, 40) == 44


@pytest.mark.parametrize(("first", "begins"), [("earliest", [3]), ("latest", [90]), ("error", [])])
def test_group_that_never_committed_begins_as_the_settings_say(
    first: str, begins: list[int]
) -> None:
    client = ListClient()
    source = KafkaSource(client, TOPIC, first=first)  # type: ignore[arg-type]
    source.subscribe(lambda *_: None)
    client.tell("assign", 0)()
    assert [place.offset for places in client.commits for place in places] == begins


def test_beginning_that_cannot_be_told_ends_the_process() -> None:
    client = ListClient(refuses=KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "no right"))
    source, _ = attach(client)
    client.tell("assign", 0)()
    with pytest.raises(KafkaTrouble, match="where to begin: no right"):
        source.poll(10, 0)


def test_going_back_seeks_what_was_read_to_what_the_broker_holds() -> None:
    client = ListClient([record(5, GOOD), record(6, GOOD)], held={0: 4, 1: 9}, positions={0: 7})
    source, _ = attach(client)
    client.tell("assign", 0, 1)()
    source.poll(10, 0)
    source.rewind()
    assert client.seeks == []
    source.poll(10, 0)
    source.poll(10, 0)
    assert client.seeks == [(0, 4)], "once, and partition 1 begins there anyway"


def test_what_was_fetched_while_something_was_undone_is_not_handed_out() -> None:
    client = ListClient(held={0: 4}, positions={0: 7})
    source, _ = attach(client)
    client.tell("assign", 0)()
    client.ready = [record(5, GOOD), source.rewind, record(6, GOOD)]
    assert source.poll(10, 0) == []
    source.poll(10, 0)
    assert client.seeks == [(0, 4)]


def test_offsets_that_cannot_be_read_back_end_the_process() -> None:
    client = ListClient(positions={0: 7})
    source, _ = attach(client)
    client.tell("assign", 0)()
    client.refuses = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "no right")
    source.rewind()
    with pytest.raises(KafkaTrouble, match="cannot go back: no right"):
        source.poll(10, 0)


def out_of_range() -> Message:
    return record(0, None, error=KafkaError(KafkaError._AUTO_OFFSET_RESET, "out of range"))


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (1, r"done everything before 1, and 2 records are gone: it begins at 3"),
        (99, r"done everything before 99, and it ends at 90: was the topic made anew"),
    ],
    ids=["too low", "too high"],
)
def test_offset_that_is_not_there_stops_and_says_what_is_gone_and_how_to_go_on(
    held: int, says: str
) -> None:
    client = ListClient([out_of_range()], held={0: held})
    source, _ = attach(client)
    with pytest.raises(KafkaTrouble, match=says + r".*--reset-offsets"):
        source.poll(10, 0)
    assert client.seeks == []


@pytest.mark.parametrize(("first", "begins"), [("earliest", 3), ("latest", 90)])
def test_partition_that_could_not_be_anchored_begins_all_the_same(first: str, begins: int) -> None:
    client = ListClient([out_of_range(), record(5, GOOD)])
    source = KafkaSource(client, TOPIC, first=first)  # type: ignore[arg-type]
    assert offsets(source.poll(10, 0)) == [5]
    assert client.seeks == [(0, begins)]


def test_group_that_may_not_begin_anew_stops() -> None:
    client = ListClient([out_of_range()])
    source = KafkaSource(client, TOPIC, first="error")  # type: ignore[arg-type]
    with pytest.raises(KafkaTrouble, match=r"has committed nothing.*--to-earliest"):
        source.poll(10, 0)


def test_partition_that_was_added_begins_at_its_first_record_even_where_a_group_may_not_begin() -> (
    None
):
    client = ListClient(held={0: 40})
    source = KafkaSource(client, TOPIC, first="error")  # type: ignore[arg-type]
    source.subscribe(lambda *_: None)
    client.tell("assign", 0, 1)()
    (places,) = client.commits
    assert [(place.partition, place.offset) for place in places] == [(1, 3)]


@pytest.mark.parametrize(
    "code", [KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._TRANSPORT]
)
def test_partition_that_a_broker_does_not_know_yet_is_asked_for_again(code: int) -> None:
    client = ListClient(unknown=[KafkaError(code, "Unknown partition")])
    source, _ = attach(client)
    client.tell("assign", 0)()
    assert client.commits == []
    source.poll(10, 0)
    assert [place.offset for places in client.commits for place in places] == [3]


def test_partition_without_an_offset_begins_once_the_broker_knows_it() -> None:
    client = ListClient(
        [out_of_range(), record(5, GOOD)],
        unknown=[KafkaError(KafkaError._UNKNOWN_PARTITION, "Unknown partition")],
    )
    source, _ = attach(client)
    source.poll(1, 0)
    assert client.seeks == []
    source.poll(10, 0)
    assert client.seeks == [(0, 3)]


@pytest.mark.parametrize(
    ("eager", "assigned"), [(False, {0: 3}), (True, {0: 3, 1: 8, 2: OFFSET_STORED})]
)
def test_partition_that_the_client_has_given_up_is_assigned_again_and_no_other_is_moved(
    assigned: dict[int, int], *, eager: bool
) -> None:
    client = ListClient(held={1: 4, 2: 6}, positions={1: 8}, eager=eager, given_up=[0])
    source, _ = attach(client)
    client.commit_error = KafkaError(KafkaError.REBALANCE_IN_PROGRESS, "not now")
    client.tell("assign", 0, 1, 2)()
    client.ready = [out_of_range()]
    source.poll(10, 0)
    assert client.assigned == assigned


@pytest.mark.parametrize(
    ("first", "at"), [("earliest", "at 3 of 90"), ("latest", "at 90 of 90")], ids=str
)
def test_group_without_an_offset_says_where_it_begins(
    first: str, at: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = ListClient(held={1: 40})
    source = KafkaSource(client, TOPIC, group="scorers", first=first)  # type: ignore[arg-type]
    source.subscribe(lambda *_: None)
    client.tell("assign", 0, 1)()
    (line,) = caplog.messages
    assert f"Group scorers has committed nothing here and begins {TOPIC}[0] {at}" in line


def test_group_that_begins_in_an_empty_topic_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    client = ListClient(ends=(0, 0))
    attach(client)
    client.tell("assign", 0, 1)()
    assert caplog.messages == []


def test_client_that_is_done_for_ends_the_process() -> None:
    def fail() -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True))

    source, _ = attach(ListClient([fail]))
    with pytest.raises(KafkaTrouble, match="done for: fenced"):
        source.poll(10, 0)


def test_lag_is_looked_at_for_partitions_that_stand() -> None:
    client = ListClient(positions={0: 80, 1: 90}, held={0: 80, 1: 90})
    clock = Clock()
    stalls = Stalls(lambda partition, position: (partition, position) == (P0, 80), clock)
    source = KafkaSource(client, TOPIC, stalls=stalls)  # type: ignore[arg-type]
    source.subscribe(lambda _, __: None)
    client.ready.append(client.tell("assign", 0, 1))
    source.poll(1, 0)
    assert source.lag() == {P0: 10, (TOPIC, 1): 0}
    clock.now += STALL_S
    for _ in range(2):  # one partition a look, in any order
        source.lag()
    clock.now += CONFIRM_S
    source.lag()
    source.poll(1, 0)  # nothing is left that could stand before it
    with pytest.raises(KafkaTrouble, match=r"\[0\] has records from offset 80 on and has given"):
        source.lag()


def test_ends_of_transactions_are_no_lag_once_they_were_looked_at() -> None:
    client = ListClient(positions={0: 89}, held={0: 89})
    clock = Clock()
    stalls = Stalls(lambda *_: False, clock)
    source = KafkaSource(client, TOPIC, stalls=stalls)  # type: ignore[arg-type]
    source.subscribe(lambda _, __: None)
    client.ready.append(client.tell("assign", 0))
    source.poll(1, 0)
    assert source.lag() == {P0: 1}
    clock.now += STALL_S
    source.lag()
    assert source.lag() == {P0: 0}
    client.positions[0], client.ends = 90, (3, 91)
    assert source.lag() == {P0: 1}, "it has moved: nobody has looked there"


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._WAIT_COORD])
def test_nothing_is_handed_out_until_the_groups_offset_is_known(code: int) -> None:
    client = ListClient([record(5, GOOD), record(6, GOOD)], held={0: 5})
    source, _ = attach(client)
    client.refuses = KafkaError(code, "not now")
    client.ready.insert(0, client.tell("assign", 0))
    assert source.poll(10, 0) == []
    assert source.poll(10, 0) == []
    assert client.seeks == [(0, 5)]
    client.refuses, client.ready = None, [record(5, GOOD), record(6, GOOD)]
    assert offsets(source.poll(10, 0)) == [5, 6]


def test_partitions_nothing_was_read_from_yet_are_asked_for_at_once_and_once() -> None:
    client = ListClient(held={0: 40, 1: 50})
    source, _ = attach(client)
    client.ready.append(client.tell("assign", 0, 1, 2))
    source.poll(1, 0)
    client.asked.clear()
    for _ in range(2):
        assert source.lag() == {P0: 50, (TOPIC, 1): 40, (TOPIC, 2): 87}
    assert client.asked == [3]
