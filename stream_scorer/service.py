"""The loop: poll, score, write; and, when it is safe, commit."""

import logging
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_scorer.errors import DeliveryError, KafkaTrouble
from stream_scorer.fuse import Fuse
from stream_scorer.guarantee import Commit, Guarantee
from stream_scorer.health import Health
from stream_scorer.live import LiveScorer
from stream_scorer.logs import event
from stream_scorer.metrics import Metrics
from stream_scorer.records import NextOffsets, Partition, Rebalanced, Record
from stream_scorer.sinks import Sink
from stream_scorer.tracing import UNTRACED, Traces

logger = logging.getLogger(__name__)

# Seconds. How long an idle loop waits for a record before it looks at its flags.
IDLE_S = 0.1
# Seconds. Lag is for people and autoscalers; asking takes locks in the client.
LAG_INTERVAL_S = 1.0
# Seconds. How long a last commit may be tried while the group is on the move.
LAST_COMMIT_TIMEOUT_S = 10.0
AGAIN = "the records since the one before will be scored again"


class Source(Protocol):
    """Where records come from."""

    def subscribe(
        self, on_rebalance: Rebalanced, commit: Callable[[NextOffsets], bool], /
    ) -> None: ...
    def poll(self, limit: int, timeout_s: float) -> Sequence[Record]: ...
    def rewind(self) -> None: ...
    def lag(self) -> Mapping[Partition, int]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How large a batch may be and how long a commit may wait."""

    max_batch_rows: int = 1024
    commit_interval_s: float = 0.1


class Service:
    """One consumer of a group at work; `turn` is one step, `run` is all of them."""

    def __init__(  # noqa: PLR0913 - the rooms that meet here
        self,
        *,
        source: Source,
        scorer: LiveScorer,
        sinks: Sequence[Sink],
        guarantee: Guarantee,
        fuse: Fuse,
        metrics: Metrics,
        health: Health,
        pace: Pace,
        traces: Traces = UNTRACED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; nothing happens yet."""
        self._source = source
        self._scorer = scorer
        self._sinks = sinks
        self._guarantee = guarantee
        self._fuse = fuse
        self._metrics = metrics
        self._health = health
        self._pace = pace
        self._traces = traces
        self._clock = clock
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._owned: set[Partition] = set()
        self._done: dict[Partition, int] = {}  # next offsets: written, not yet committed
        self._alerts_hidden = False  # alerts are written that no reader sees before a commit
        self._given_up = False  # something was scored that we do not commit any more
        self._committed_at = self._lag_at = clock()
        self._rejected: Tally[str] = Tally()  # by code, since the last commit

    def stop(self) -> None:
        """Ask the loop to end after this turn; another thread may call it."""
        self._stop.set()

    def fail(self, exc: Exception) -> None:
        """Let the loop raise this instead of its next turn; another thread may call it."""
        self._failure = exc

    def run(self, *, drained: Callable[[], None] = lambda: None) -> None:
        """Join the group, turn until stopped, commit what is done, leave the group.

        `drained` is called once all that was scored is committed. Raises KafkaTrouble if that last
        commit was not possible. If a turn raises, nothing is committed and the group is not left
        politely: the caller ends the process, and the next one goes on from the last commit.
        """
        self._source.subscribe(self.rebalanced, self._guarantee.anchor)
        self._health.beat(self._clock(), partitions=0)  # a first poll that hangs is noticed, too
        while not self._stop.is_set():
            if self._failure:
                raise self._failure
            self.turn()
        self._health.draining = True
        self._given_up = False
        deadline = self._clock() + LAST_COMMIT_TIMEOUT_S
        while not self.commit():
            if self._clock() > deadline:
                raise KafkaTrouble(
                    f"the last commit was not possible for {LAST_COMMIT_TIMEOUT_S:.0f} s: {AGAIN}"
                )
            self._source.poll(1, IDLE_S)
        if not self._given_up:
            drained()
        self._source.close()
        if self._given_up:
            raise KafkaTrouble(f"the last commit was undone: {AGAIN}")

    def turn(self) -> None:
        """Poll and score one batch, write it at once, commit if it is time.

        Time is an interval while there is a backlog. Without one, an alert that nobody sees before
        the commit does not wait for that.
        """
        records = self._source.poll(self._pace.max_batch_rows, self._patience_s())
        now = self._clock()
        self._health.beat(now, partitions=len(self._owned))
        if records:
            with self._traces.batch(len(records)):
                self._score(records)
        waits = self._alerts_hidden and len(records) < max(2, self._pace.max_batch_rows)
        if not records or waits or now - self._committed_at >= self._pace.commit_interval_s:
            self.commit()
        if now - self._lag_at >= LAG_INTERVAL_S:
            self._lag_at = now
            self._metrics.set_lag(self._source.lag())

    def _score(self, records: Sequence[Record]) -> None:
        """Score one batch and write what it leads to."""
        outcome = self._scorer(records, timed=self._metrics.timed)
        self._fuse.check(records, outcome)
        try:
            with self._metrics.timed("publish"):
                for sink in self._sinks:
                    sink.write(outcome)
        except DeliveryError as exc:
            if not self._undo(failed=exc):
                raise
            return
        self._done.update(outcome.next_offsets)
        self._alerts_hidden |= bool(outcome.alerts) and self._guarantee.hidden_until_commit
        self._metrics.batch_done(len(records), outcome)
        self._rejected.update(letter.reject.code for letter in outcome.dead_letters)
        self._scorer.shadow(records, outcome, timed=self._metrics.timed)

    def commit(self) -> bool:
        """Commit what is done, if anything is; tell whether nothing is left to commit."""
        self._committed_at = self._clock()
        self._alerts_hidden = False
        if not self._done:
            return True
        with self._metrics.timed("commit"):
            try:
                for sink in self._sinks:
                    sink.flush()  # 1. raises unless all that was written is acknowledged
                committed = self._guarantee.commit(self._done)  # 2. a crash above loses nothing
            except DeliveryError as exc:
                if not self._undo(failed=exc):
                    raise
                return True
        if committed is Commit.LATER:
            return False
        if committed is Commit.UNDONE:
            self._go_back()
            return True
        self._done.clear()
        self._metrics.commits.inc()
        if self._rejected:
            counts = ", ".join(f"{n} {code}" for code, n in sorted(self._rejected.items()))
            logger.warning(
                "Dead-lettered since the last commit: %s",
                counts,
                extra=event("dead_lettered", counts=dict(self._rejected)),
            )
            self._rejected.clear()
        return True

    def _undo(self, *, failed: Exception | None) -> bool:
        """Take back what is written and not committed, if the guarantee can; tell."""
        undone = self._guarantee.undo(failed=failed)
        if undone:
            self._go_back()
        return undone

    def _go_back(self) -> None:
        """Forget what was done since the last commit: it is read and scored again."""
        self._metrics.undone.inc()
        self._given_up |= bool(self._done)
        self._done.clear()
        self._rejected.clear()
        self._fuse.reset()
        for sink in self._sinks:
            sink.forget()
        self._scorer.forget(self._owned)  # where it began to score is taken back as well
        self._source.rewind()

    def rebalanced(self, kind: str, partitions: Collection[Partition]) -> None:
        """Follow the group: "assigned"; "revoked" (still ours for a moment); "lost" (no more)."""
        named = [f"{topic}[{number}]" for topic, number in sorted(partitions)]
        about = event(f"partitions_{kind}", partitions=named)
        logger.info("Partitions %s: %s", kind, sorted(partitions), extra=about)
        self._metrics.rebalances.labels(kind).inc()
        if kind == "assigned":
            self._owned.update(partitions)
            return
        if kind == "revoked":
            self.commit()
        else:
            self._undo(failed=None)  # or what we wrote counts beside the next owner's
        self._given_up |= not self._done.keys().isdisjoint(partitions)
        for partition in partitions:  # what was not committed, the next owner repeats
            self._done.pop(partition, None)
        self._owned.difference_update(partitions)
        self._scorer.forget(partitions)

    def _patience_s(self) -> float:
        """Return how long a poll may wait: not beyond the moment when a commit is due."""
        if not self._done:
            return IDLE_S
        due = self._committed_at + self._pace.commit_interval_s - self._clock()
        return min(IDLE_S, max(0.0, due))
