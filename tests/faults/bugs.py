"""Planted bugs, one or more for each invariant, that the harness must catch; and lawful hooks.

Each is a scorer of its real parts with one of them replaced, and runs as
`python -m tests.faults.buggy NAME`.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Message, Producer, TopicPartition

from stream_scorer import clients
from stream_scorer.client_log import ClientLog
from stream_scorer.config import Settings
from stream_scorer.guarantee import Commit, Guarantee
from stream_scorer.records import (
    Alert,
    NextOffsets,
    Outcome,
    Output,
    Partition,
    Rebalanced,
    Record,
)
from stream_scorer.scorer import Scorer, Timed, untimed
from stream_scorer.service import Service
from stream_scorer.sinks.kafka import Begin, KafkaSink
from stream_scorer.source import KafkaSource
from stream_scorer.transaction import NO_NOTES, ExactlyOnce, Step
from tests.faults.altered import Parts
from tests.faults.late_requests import late_end
from tests.faults.network import unwritten
from tests.faults.processes import pauses_within_the_transaction
from tests.faults.transactions import unknown_outcome
from tests.faults.trial import Trial
from tests.integration.stream import wait_for

Told = TypeVar("Told", Alert, Output)
ALO, EOS = "at-least-once", "exactly-once"
SLOW_FROM, SLOW_S = 200, 12.0
SLEPT: list[bool] = []  # whether this process has been slow already


class CommitsFirst(Service):
    """Commits, then waits for what was written."""

    def commit(self) -> bool:
        if self._done:
            self._guarantee.commit(self._done)
            self._done.clear()
        for sink in self._sinks:
            sink.flush()
        return True


class Shifted(KafkaSource):
    """Commits offsets that are not the next ones."""

    by = 0

    def commit(self, offsets: NextOffsets) -> bool:
        return super().commit({place: max(0, o + self.by) for place, o in offsets.items()})


class TooFar(Shifted):
    """Commits one too far."""

    by = 1


class TooNear(Shifted):
    """Commits the last offset, not the one after it."""

    by = -1


class BackAndForth(KafkaSource):
    """Every other commit goes back to where the partition began."""

    forth = False

    def commit(self, offsets: NextOffsets) -> bool:
        self.forth = not self.forth
        if self.forth:
            return super().commit(offsets)
        super().commit(dict.fromkeys(offsets, 0))
        return False  # and the next one goes forth


class RemembersOffsets(KafkaSource):
    """Goes back to the offsets that it remembers, not to those that the broker holds."""

    def __init__(self, *rest: object, **more: object) -> None:
        super().__init__(*rest, **more)  # type: ignore[arg-type]
        self.known: dict[Partition, int] = {}

    def _go_back(self) -> None:
        for place in self._owned:
            self._consumer.seek(TopicPartition(*place, self.known.get(place, 0)))
        self._rewind = False


class Swallows(KafkaSink):
    """Does not listen to what became of a delivery."""

    def _acked(self, what: str, error: KafkaError | None, message: Message) -> None:
        pass


class DropsLetters(KafkaSink):
    """Writes no dead letters."""

    def write(self, outcome: Outcome) -> None:
        super().write(replace(outcome, dead_letters=[]))


class Backwards(KafkaSink):
    """Writes the scores of a batch in the wrong order."""

    def write(self, outcome: Outcome) -> None:
        super().write(replace(outcome, scores=outcome.scores[::-1]))


class StaleMembership(KafkaSource):
    """Ties its transactions to the group as it was before it joined: the broker fences nothing."""

    def subscribe(
        self, on_rebalance: Rebalanced, commit: Callable[[NextOffsets], bool] | None = None
    ) -> None:
        self._before = self._consumer.consumer_group_metadata()
        super().subscribe(on_rebalance, commit)

    def membership(self) -> object | None:
        before: object = self._before
        return before


class Above(Scorer):
    """Alerts above the threshold, not at it."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        outcome = super().__call__(records, timed=timed)
        at = float(np.float32(self.threshold))
        return replace(outcome, alerts=[a for a in outcome.alerts if a.probability > at])


def retold(
    outputs: Sequence[Told], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[Told]:
    """Return outputs whose values say something else."""
    return [
        replace(each, value=msgspec.json.encode(change(msgspec.json.decode(each.value))))
        for each in outputs
    ]


class RandomId(Scorer):
    """Gives each alert an id by chance."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        outcome = super().__call__(records, timed=timed)
        alerts = retold(outcome.alerts, lambda said: said | {"alert_id": uuid.uuid4().hex})
        return replace(outcome, alerts=alerts)


class Unexplained(Scorer):
    """Gives each alert the reasons of the one before it in its batch."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        outcome = super().__call__(records, timed=timed)
        said = [msgspec.json.decode(each.value) for each in outcome.alerts]
        alerts = [
            replace(each, value=msgspec.json.encode(own | {"reasons": before["reasons"]}))
            for each, own, before in zip(outcome.alerts, said, said[-1:] + said[:-1], strict=True)
        ]
        return replace(outcome, alerts=alerts)


class Rounds(Scorer):
    """Publishes probabilities of three digits."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        def rounded(said: dict[str, Any]) -> dict[str, Any]:
            return said | {"probability": round(said["probability"], 3)}

        outcome = super().__call__(records, timed=timed)
        return replace(outcome, scores=retold(outcome.scores, rounded))


class Elsewhere(Scorer):
    """Says of each score that its record stands a hundred further on."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        def moved(said: dict[str, Any]) -> dict[str, Any]:
            return said | {"source": said["source"] | {"offset": said["source"]["offset"] + 100}}

        outcome = super().__call__(records, timed=timed)
        return replace(outcome, scores=retold(outcome.scores, moved))


class Eager(Scorer):
    """Alerts on whatever is scored."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        return replace(self, threshold=0.0).plainly(records, timed=timed)

    def plainly(self, records: Sequence[Record], *, timed: Timed) -> Outcome:
        return super().__call__(records, timed=timed)


class Clocked(Scorer):
    """Puts the time of scoring into what it publishes."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        outcome = super().__call__(records, timed=timed)
        now = b'{"scored_at": %d, ' % time.time_ns()
        scores = [replace(each, value=now + each.value[1:]) for each in outcome.scores]
        return replace(outcome, scores=scores)


class SlowOnce(Scorer):
    """Takes 12 s for one batch, the first that begins beyond a place: no bug, but a slow model."""

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        if (records[0].offset() or 0) >= SLOW_FROM and not SLEPT:
            SLEPT.append(True)
            time.sleep(SLOW_S)
        return super().__call__(records, timed=timed)


class LeavesOpen(Service):
    """Ends with a transaction begun, written to and not ended."""

    def run(self, *, drained: Callable[[], None] = lambda: None) -> None:
        super().run(drained=drained)
        self._guarantee.begin().produce(self.topic(), b"{}", b"t0")
        self._guarantee.begin().flush(10)

    def topic(self) -> str:
        (sink,) = self._sinks
        assert isinstance(sink, KafkaSink)
        return sink._settings.dead_letters_topic


class EveryThirdAborted(ExactlyOnce):
    """Aborts every third transaction, as ExactlyOnce itself undoes one: no bug."""

    count = 0

    def commit(self, offsets: NextOffsets, notes: object = NO_NOTES) -> Commit:
        self.count += 1
        if self.count % 3:
            return super().commit(offsets)
        return self.interrupt()

    def interrupt(self) -> Commit:
        self._why, self._error = "it was the third", 0
        return self._undo(Step.ABORT)


class NoAbort(EveryThirdAborted):
    """Goes back in every third transaction, but leaves what is written in it."""

    def interrupt(self) -> Commit:
        return Commit.UNDONE


class KeepsProducer(ExactlyOnce):
    """Goes on with its producer after a connection broke: a late request counts."""

    def _refuse_late_requests(self) -> None:
        self._late = False


def beside(settings: Settings, _: Guarantee) -> Begin:
    """Give the sink a producer of its own, outside of the transaction that holds the offsets."""
    producer = Producer({**clients.producer_config(settings)})
    return lambda: producer


def patient_producer(settings: Settings, _: ClientLog) -> Producer:
    """Return a producer whose open transactions the broker ends after 15 minutes."""
    name = f"{settings.group_id}-{settings.replica}"
    return clients.producer(settings, {"transactional.id": name, "transaction.timeout.ms": 900_000})


def killed_before_commit(trial: Trial) -> None:
    """Kill the scorer when it has written something and committed nothing of it."""
    late = {"SCORER_COMMIT_INTERVAL_MS": "5000", "SCORER_MAX_BATCH_ROWS": "1"}
    kept = trial.keep("a", **late)
    kept.scorer.wait_assigned()
    scores = trial.stream.settings.scores_topic
    for _ in trial.pieces(1):
        before = trial.stream.written(scores)
        wait_for("some scores", lambda: trial.stream.written(scores) > before + 10)
        trial.fault()
        kept.kill()


def plain(trial: Trial) -> None:
    """Do no harm."""
    trial.keep("a").scorer.wait_assigned()
    for _ in trial.pieces(1):
        trial.progress()


@dataclass(frozen=True)
class Bug:
    """A scorer that is wrong, what brings it to light, and what the verifier calls it."""

    parts: Parts
    guarantee: str
    seen_as: str  # what of the verdict names it; "unfinished": the workload is never done
    act: Callable[[Trial], None]


# Scorers that are altered but right, for rows that need one.
HOOKS: dict[str, Parts] = {
    "every-third-aborted": Parts(exactly_once=EveryThirdAborted),
    "slow-once": Parts(scorer=SlowOnce),
}
BUGS: dict[str, Bug] = {
    "commit-before-flush": Bug(Parts(service=CommitsFirst), ALO, "ahead", unwritten),
    "one-too-far": Bug(Parts(source=TooFar), ALO, "lost", plain),
    "one-too-near": Bug(Parts(source=TooNear), ALO, "unfinished", plain),
    "moves-back": Bug(Parts(source=BackAndForth), ALO, "back", plain),
    "swallowed-delivery-error": Bug(Parts(sink=Swallows), ALO, "lost", unwritten),
    "dead-letter-dropped": Bug(Parts(sink=DropsLetters), ALO, "lost", plain),
    "above-not-at": Bug(Parts(scorer=Above), ALO, "lost", plain),
    "random-id": Bug(Parts(scorer=RandomId), ALO, "wrong", plain),
    "other-reasons": Bug(Parts(scorer=Unexplained), ALO, "wrong", plain),
    "rounded": Bug(Parts(scorer=Rounds), ALO, "wrong", plain),
    "elsewhere": Bug(Parts(scorer=Elsewhere), ALO, "wrong", plain),
    "backwards": Bug(Parts(sink=Backwards), EOS, "misordered", plain),
    "dropped-abort": Bug(Parts(exactly_once=NoAbort), EOS, "dup", plain),
    "outside-the-transaction": Bug(
        Parts(exactly_once=EveryThirdAborted, begin=beside), EOS, "dup", plain
    ),
    "alerts-on-all": Bug(Parts(scorer=Eager), ALO, "phantom", plain),
    "clock-in-it": Bug(Parts(scorer=Clocked), ALO, "differs", killed_before_commit),
    "left-open": Bug(Parts(service=LeavesOpen, make=patient_producer), EOS, "open", plain),
    "stale-membership": Bug(
        Parts(source=StaleMembership), EOS, "dup", pauses_within_the_transaction
    ),
    "keeps-its-producer": Bug(Parts(exactly_once=KeepsProducer), EOS, "dup", late_end),
    "remembered-offsets": Bug(Parts(source=RemembersOffsets), EOS, "dup", unknown_outcome),
}


def parts_of(name: str) -> Parts:
    """Return the parts of a bug or a hook; raises KeyError."""
    return HOOKS[name] if name in HOOKS else BUGS[name].parts
