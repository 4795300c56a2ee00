"""Small stand-ins with the protocols' methods: lists that remember."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from stream_scorer.errors import DeliveryError
from stream_scorer.records import NextOffsets, Outcome, Partition, Rebalanced


@dataclass
class Clock:
    """Time that moves when told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ListSource:
    """Gives out prepared batches, then nothing; an event among them is a rebalance."""

    log: list[object]
    batches: list[Sequence[Message] | tuple[str, Collection[Partition]]]
    refuse_commits: int = 0  # how many are not possible at first
    on_rebalance: Rebalanced | None = None
    timeouts: list[float] = field(default_factory=list)

    def subscribe(self, on_rebalance: Rebalanced) -> None:
        self.on_rebalance = on_rebalance

    def poll(self, limit: int, timeout_s: float) -> Sequence[Message]:
        self.timeouts.append(timeout_s)
        if not self.batches:
            return []
        batch = self.batches.pop(0)
        if isinstance(batch, tuple):
            assert self.on_rebalance is not None
            self.on_rebalance(*batch)
            return []
        assert len(batch) <= limit
        return batch

    def commit(self, offsets: NextOffsets) -> bool:
        if self.refuse_commits:
            self.refuse_commits -= 1
            return False
        self.log.append(("commit", dict(offsets)))
        return True

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def close(self) -> None:
        self.log.append("close")


@dataclass
class ListSink:
    """Remembers what was written; fails to flush if told so."""

    log: list[object]
    fails: bool = False

    def write(self, outcome: Outcome) -> None:
        self.log.append(("write", len(outcome.alerts), len(outcome.dead_letters)))

    def flush(self) -> None:
        if self.fails:
            raise DeliveryError("not acknowledged")
        self.log.append("flush")
