"""The scorer at work, and how another takes its place between two batches."""

import logging
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from stream_scorer import values
from stream_scorer.logs import event
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model, first_line
from stream_scorer.records import Outcome, Output, Partition, Record, place_of
from stream_scorer.scorer import Scorer, Timed, untimed

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Candidate:
    """A scorer that sees the records after the one at work, until it has shown enough."""

    scorer: Scorer
    rows: int = 0  # scored in shadow
    alerts: int = 0
    champion_alerts: int = 0
    both: int = 0  # alerts of both


class LiveScorer:
    """Scores with one scorer; one that is offered scores in shadow first, then takes over.

    No record waits for a change: the shadow runs when a batch's outcome has been written.
    """

    def __init__(self, scorer: Scorer, metrics: Metrics, *, group: str, shadow_rows: int) -> None:
        """Begin with `scorer`; a candidate takes over after `shadow_rows` rows without a fault."""
        self._scorer = scorer
        self._metrics = metrics
        self._group = group
        self._shadow_rows = shadow_rows
        # Another thread puts in the newest; None: what was asked for last is not to be had.
        self._offered: deque[Scorer | None] = deque(maxlen=1)
        self._candidate: Candidate | None = None
        self._known: set[Partition] = set()  # where it is recorded that this model scores

    @property
    def model(self) -> Model:
        """The model at work."""
        return self._scorer.model

    def offer(self, scorer: Scorer) -> None:
        """Let a scorer take over once it has proved itself; any thread may call this."""
        self._offered.append(scorer)

    def refuse(self, text: str) -> None:
        """Note that the newest model does not take over, nor one before it; any thread may."""
        self._offered.append(None)
        self._refused(text)

    def _refused(self, text: str) -> None:
        self._metrics.model_changes.labels("refused").inc()
        about = event("model_refused", stays=self.model.sha256, why=text)
        logger.error("Model refused, %s stays: %s", describe(self.model), text, extra=about)

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        """Score one batch, and tell of each partition that this model scores for the first time."""
        outcome = self._scorer(records, timed=timed)
        new = outcome.next_offsets.keys() - self._known
        return replace(outcome, handovers=self._hand_over(records, new)) if new else outcome

    def forget(self, partitions: Collection[Partition]) -> None:
        """Tell of these partitions again when they come back: another model may score meanwhile."""
        self._known.difference_update(partitions)

    def shadow(
        self, records: Sequence[Record], outcome: Outcome, *, timed: Timed = untimed
    ) -> None:
        """Let a candidate score what has been scored and written; swap if it has shown enough."""
        if self._offered:
            self._begin(self._offered.pop())
        candidate = self._candidate
        if candidate is None:
            return
        with timed("shadow"):
            fault = try_out(candidate, records, outcome)
        if fault:
            self._candidate = None
            self._refused(f"{describe(candidate.scorer.model)} {fault}")
        elif candidate.rows >= self._shadow_rows:
            self._candidate = None
            self._swap(candidate)

    def _begin(self, scorer: Scorer | None) -> None:
        """Take what was offered as the candidate, unless it is at work already."""
        if self._candidate:
            logger.info(
                "%s leaves the shadow after %d rows: what was asked for later counts",
                describe(self._candidate.scorer.model),
                self._candidate.rows,
                extra=event("shadow_left", sha256=self._candidate.scorer.model.sha256),
            )
        self._candidate = None
        if scorer is None:
            return
        if scorer.model.sha256 == self.model.sha256:
            about = event("model_at_work", sha256=scorer.model.sha256)
            logger.info("%s is at work already", describe(scorer.model), extra=about)
            return
        logger.info(
            "%s scores the next %d rows in shadow",
            describe(scorer.model),
            self._shadow_rows,
            extra=event("shadow_begun", sha256=scorer.model.sha256, rows=self._shadow_rows),
        )
        self._candidate = Candidate(scorer)

    def _swap(self, candidate: Candidate) -> None:
        """Let the candidate decide from the next batch on."""
        before, self._scorer = self.model, candidate.scorer
        self._known.clear()
        self._metrics.serve(self.model)
        self._metrics.model_changes.labels("swapped").inc()
        logger.info(
            "%s takes over from %s: of %d rows in shadow it alerts on %d, the old one on %d, both "
            "on %d",
            describe(self.model),
            describe(before),
            candidate.rows,
            candidate.alerts,
            candidate.champion_alerts,
            candidate.both,
            extra=event("model_swapped", sha256=self.model.sha256, before=before.sha256),
        )

    def _hand_over(
        self, records: Sequence[Record], partitions: Collection[Partition]
    ) -> list[Output]:
        """Return a handover for each partition, and log it: from which offset this model scores."""
        self._known.update(partitions)
        first: dict[Partition, int] = {}
        for record in records:
            place = (record.topic() or "", record.partition() or 0)
            first.setdefault(place, record.offset() or 0)
        outputs = []
        for partition in sorted(partitions):
            offset = first[partition]
            logger.info(
                "%s scores %s[%d] from offset %d",
                describe(self.model),
                *partition,
                offset,
                extra=event(
                    "model_scores_from",
                    sha256=self.model.sha256,
                    topic=partition[0],
                    partition=partition[1],
                    offset=offset,
                ),
            )
            outputs.append(
                Output(
                    values.handover_key(
                        group=self._group, partition=partition, first_offset=offset
                    ),
                    values.handover(
                        self.model, group=self._group, partition=partition, first_offset=offset
                    ),
                )
            )
        return outputs


def try_out(candidate: Candidate, records: Sequence[Record], champion: Outcome) -> str:
    """Score one batch with a candidate; return what speaks against it, or nothing.

    It must score whatever the champion scores. What it alerts on is counted, not judged.
    """
    rejected = {place_of(letter.record) for letter in champion.dead_letters}
    scored = [record for record in records if place_of(record) not in rejected]
    if not scored:  # and headers that cannot be read must not be asked for again
        return ""
    try:
        outcome = replace(candidate.scorer, challenger=None)(scored)
    except Exception as exc:  # noqa: BLE001 - onnxruntime's errors have no base class but this
        return f"cannot score: {first_line(exc)}"
    if outcome.dead_letters:
        reject = outcome.dead_letters[0].reject
        return f"rejects what the old one scores: {reject.code}, {reject.reason}"
    ours = {place_of(alert.record) for alert in champion.alerts}
    theirs = {place_of(alert.record) for alert in outcome.alerts}
    candidate.rows += len(outcome.probability)
    candidate.champion_alerts += len(ours)
    candidate.alerts += len(theirs)
    candidate.both += len(ours & theirs)
    return ""


def describe(model: Model) -> str:
    """Return a model's name for the log."""
    return f"model {model.name} {model.version} ({model.sha256[:12]})"
