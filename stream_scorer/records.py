"""The nouns: what comes in, what comes out, and where to go on."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

# Bytes that the `dlq.` headers may need beyond the record itself; about 800 are usual.
DLQ_HEADROOM_BYTES = 4096

Headers = list[tuple[str, bytes | None]]
Partition = tuple[str, int]  # topic, partition number
Place = tuple[str, int, int]  # topic, partition number, offset
# Told "assigned", "revoked" or "lost", and of which partitions.
Rebalanced = Callable[[str, Collection[Partition]], None]
NextOffsets = Mapping[Partition, int]  # the first offset that is not yet done
Matrix = NDArray[np.float64]  # (rows, features)
Vector = NDArray[np.float32]  # (rows,)


class Record(Protocol):
    """A record as Kafka's client gives it (`confluent_kafka.Message`); nothing is copied."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Any: ...  # noqa: ANN401 - Headers or None; the client's type says more
    def timestamp(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class UnreadableBatch:
    """Stands among the records for a batch that the client cannot unpack; it has no bytes."""

    of: Partition
    first: int  # offset
    end: int  # the first offset behind it
    compressed_bytes: int  # -1: not known
    why: str  # the client's reason

    def topic(self) -> str:
        """Return the topic."""
        return self.of[0]

    def partition(self) -> int:
        """Return the partition's number."""
        return self.of[1]

    def offset(self) -> int:
        """Return the first offset."""
        return self.first

    def key(self) -> None:
        """Return none."""

    def value(self) -> None:
        """Return none."""

    def headers(self) -> None:
        """Return none."""

    def timestamp(self) -> tuple[int, int]:
        """Return Kafka's way to say that there is none."""
        return 0, -1


def place_of(record: Record) -> Place:
    """Return where a record stands."""
    return record.topic() or "", record.partition() or 0, record.offset() or 0


def place_text(record: Record) -> str:
    """Return where a record stands as `dlq.id` and a transaction without an id have it."""
    return f"{record.topic()}/{record.partition()}/{record.offset()}"


Code = Literal[
    "DECODE",
    "SCHEMA",
    "TOMBSTONE",
    "MISSING",
    "TYPE",
    "NONFINITE",
    "RANGE",
    "LIMIT",
    "DUPLICATE",
    "HEADERS",
    "UNREADABLE",
]


@dataclass(frozen=True, slots=True)
class Reject:
    """Why one record of a batch cannot be scored; `code` is stable, route on it."""

    code: Code
    reason: str  # one line, at most 256 bytes; never the payload
    stage: str = "decode"  # decode, feature or score


@dataclass(frozen=True, slots=True)
class Alert:
    """A transaction whose probability reached the threshold."""

    record: Record
    key: bytes  # the transaction id
    value: bytes  # JSON; holds no clock, so a repeat has the same bytes
    probability: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be scored, and why."""

    record: Record
    headers: Headers | None  # read once: see scorer.read_headers
    reject: Reject


@dataclass(frozen=True, slots=True)
class Output:
    """A record to be written as it is: a score, a disagreement or a handover."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a challenger's scores of one batch differ from those that count."""

    difference: Vector  # (rows,) challenger's probability less the champion's, where finite
    champion_only: int  # records on which only the champion alerts
    challenger_only: int
    not_finite: int  # records for which the challenger's score is no number
    disagreements: Sequence[Output]  # a sample of the records on which one alerts


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one batch leads to; safe to commit once its parts are acknowledged."""

    model_sha256: str  # who scored it
    alerts: Sequence[Alert]
    dead_letters: Sequence[DeadLetter]
    scores: Sequence[Output]  # empty unless asked for
    matrix: Matrix  # (rows scored, features), raw
    logit: Vector  # (rows scored,)
    probability: Vector  # (rows scored,)
    next_offsets: NextOffsets
    comparison: Comparison | None = None  # with a challenger only
    handovers: Sequence[Output] = ()  # where this model began to score a partition
    skipped: int = 0  # tombstones, if they are to be skipped
    doubled: int = 0  # records in which a key stands twice, if they are looked for
