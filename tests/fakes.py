"""Small stand-ins with the protocols' methods: lists that remember."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message, Producer

from stream_scorer.errors import DeliveryError
from stream_scorer.guarantee import Commit
from stream_scorer.records import NextOffsets, Outcome, Partition, Rebalanced


@dataclass
class Clock:
    """Time that moves when told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time pass, as a sleep does."""
        self.now += seconds


@dataclass
class ListSource:
    """Gives out prepared batches, then nothing; an event among them is a rebalance."""

    log: list[object]
    batches: list[Sequence[Message] | tuple[str, Collection[Partition]]]
    refuse_commits: int = 0  # how many are not possible at first
    on_rebalance: Rebalanced | None = None
    commit_beginnings: Callable[[NextOffsets], bool] | None = None
    timeouts: list[float] = field(default_factory=list)

    def subscribe(
        self, on_rebalance: Rebalanced, commit: Callable[[NextOffsets], bool] | None = None
    ) -> None:
        self.on_rebalance = on_rebalance
        self.commit_beginnings = commit

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

    def rewind(self) -> None:
        self.log.append("rewind")

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def close(self) -> None:
        self.log.append("close")


@dataclass
class ListGuarantee:
    """Commits to a source as it is told to; can take back what was written, if told so."""

    source: ListSource
    answers: list[Commit] = field(default_factory=list)  # then what the source says
    can_undo: bool = False
    hidden_until_commit: bool = False

    def begin(self) -> Producer:
        raise AssertionError("the list sink needs no producer")

    def commit(self, offsets: NextOffsets) -> Commit:
        if self.answers:
            return self.answers.pop(0)
        return Commit.DONE if self.source.commit(offsets) else Commit.LATER

    def anchor(self, offsets: NextOffsets) -> bool:
        return self.source.commit(offsets)

    def undo(self, *, failed: Exception | None) -> bool:
        if self.can_undo:
            self.source.log.append("undo")
        return self.can_undo


@dataclass
class ListSink:
    """Remembers what was written; fails to flush if told so."""

    log: list[object]
    fails: bool = False
    refuses: bool = False
    handovers: list[int] = field(default_factory=list)  # how many there were in each outcome
    forgotten: int = 0  # how often it was told that what it wrote was taken back

    def write(self, outcome: Outcome) -> None:
        if self.refuses:
            raise DeliveryError("not taken")
        self.handovers.append(len(outcome.handovers))
        self.log.append(("write", len(outcome.alerts), len(outcome.dead_letters)))

    def forget(self) -> None:
        self.forgotten += 1

    def flush(self) -> None:
        if self.fails:
            raise DeliveryError("not acknowledged")
        self.log.append("flush")
