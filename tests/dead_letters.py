"""Dead letters as the scorer writes them, and a topic of them with a transaction in memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from confluent_kafka import KafkaError, Message, Producer

from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.marks import Mark
from stream_scorer.guarantee import Commit
from stream_scorer.records import Code, DeadLetter, Headers, NextOffsets, Partition, Reject
from tests.records import TOPIC, record

DLQ = "dlq"
FAILED_MS = 1_800_000_000_000


def letter_headers(record: Message, code: str = "DECODE", *, failed_ms: int = FAILED_MS) -> Headers:
    """Return the headers that the scorer gives a dead letter."""
    own: Any = record.headers()
    return letters.written(
        DeadLetter(record, own, Reject(cast("Code", code), "it is bad")),
        group="g", app="a", sha256="s", now_ms=failed_ms, largest=None,
    ).headers  # fmt: skip


@dataclass
class Topic:
    """The topic of dead letters; what stands on it can be opened as the reader does."""

    partitions: list[list[Message]] = field(default_factory=lambda: [[], []])
    first: int = 0  # offset of each partition
    opened: list[Mapping[int, int]] = field(default_factory=list)
    arriving: list[int] = field(default_factory=list)  # fail while the next run reads

    def add(self, number: int, value: bytes | None, headers: Headers, **rest: Any) -> None:
        """Put a record at the end of a partition."""
        held = self.partitions[number]
        held.append(
            record(
                self.first + len(held),
                value,
                topic=DLQ,
                partition=number,
                headers=headers,
                **rest,
            )
        )

    def fail(  # noqa: PLR0913 - what a dead letter may differ in
        self,
        offset: int,
        code: str = "DECODE",
        *,
        number: int = 0,
        topic: str = TOPIC,
        value: bytes | None = b"{",
        failed_ms: int = FAILED_MS,
        attempt: str = "",
    ) -> None:
        """Let the record at an offset of the transactions be dead-lettered."""
        own = [("a", b"1"), *([("dlq.attempt", attempt.encode())] if attempt else [])]
        bad = record(offset, value, topic=topic, headers=own, key=b"k")
        self.add(number, value, letter_headers(bad, code, failed_ms=failed_ms), key=b"k")

    def open_from(self, starts: Mapping[int, int]) -> "Held":
        self.opened.append(starts)
        held = Held(self, starts)
        while self.arriving:
            self.fail(self.arriving.pop(0))
        return held


@dataclass
class Held:
    """Reads one record of each partition in turn."""

    topic: Topic
    starts: Mapping[int, int]
    bounds: dict[int, tuple[int, int]] = field(default_factory=dict)
    closed: bool = False

    def __post_init__(self) -> None:
        first = self.topic.first
        self.bounds = {
            n: (first, first + len(each)) for n, each in enumerate(self.topic.partitions)
        }

    def held(self) -> Iterator[Message]:
        first = self.topic.first
        for place in range(max(map(len, self.topic.partitions))):
            for number, messages in enumerate(self.topic.partitions):
                if self.starts.get(number, first) - first <= place < len(messages):
                    yield messages[place]

    def close(self) -> None:
        self.closed = True


@dataclass
class Copied:
    """A record as it was handed to the producer."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: Headers
    timestamp: int

    @property
    def id(self) -> str:
        return (dict(self.headers)["dlq.id"] or b"").decode()


@dataclass
class Transaction:
    """Keeps what counts: copies and offsets of transactions that were committed."""

    answers: list[tuple[Commit, bool]] = field(default_factory=list)  # told, and whether it counts
    refuses: KafkaError | None = None  # what delivery says of every record
    before: Callable[[], BaseException | None] = lambda: None  # what handing over raises
    undone: int = 0
    committed: list[Copied] = field(default_factory=list)
    offsets: dict[int, tuple[int, str]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)  # copies of each transaction that counts
    _open: list[Copied] = field(default_factory=list)

    def begin(self) -> Producer:
        return self  # type: ignore[return-value]

    def produce(  # noqa: PLR0913 - as the client's
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        *,
        headers: Headers,
        timestamp: int,
        on_delivery: Any,
    ) -> None:
        failure = self.before()
        if failure is not None:
            raise failure
        self._open.append(Copied(topic, value, key, partition, headers, timestamp))
        if self.refuses is not None:
            on_delivery(self.refuses, record(0, value, topic=topic))

    def commit(self, offsets: NextOffsets, notes: Mapping[Partition, str]) -> Commit:
        answer, counts = self.answers.pop(0) if self.answers else (Commit.DONE, True)
        if self.refuses is not None:
            answer, counts = Commit.UNDONE, False
        if counts:
            self.committed += self._open
            self.sizes.append(len(self._open))
            for place, offset in offsets.items():
                self.offsets[place[1]] = (offset, notes[place])
        self._open = []
        return answer

    def undo(self, *, failed: Exception | None) -> bool:
        self.undone += bool(self._open)
        self._open = []
        return True

    def marks(self) -> dict[int, Mark]:
        return {n: Mark.read(offset, note) for n, (offset, note) in self.offsets.items()}
