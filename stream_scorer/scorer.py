"""Records -> Outcome: what one batch leads to, without I/O, clock or metrics."""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np

from stream_scorer import decision, reasons, values
from stream_scorer.challenger import Challenger
from stream_scorer.codecs import Decoder
from stream_scorer.model import Model
from stream_scorer.policy import Policy
from stream_scorer.records import (
    Alert,
    DeadLetter,
    Matrix,
    NextOffsets,
    Outcome,
    Output,
    Record,
    Reject,
    UnreadableBatch,
    place_text,
)
from stream_scorer.screening import find_nonfinite, find_outside, find_too_large, read_headers

LONGEST_ID = 256  # characters
DOUBLED = Reject("DUPLICATE", "a key stands twice")
NOT_LOOKED: tuple[list[int], dict[int, Reject]] = ([], {})
Timed = Callable[[str], AbstractContextManager[object]]


def untimed(_: str) -> AbstractContextManager[object]:
    """Stand for a timer where nobody looks at the clock."""
    return contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Scorer:
    """All that is fixed while a process lives; calling it with a batch changes nothing."""

    model: Model
    decoder: Decoder
    threshold: float
    cluster_id: str  # of the source's cluster: makes alert ids unique across clusters
    every_score: bool = False  # also give a score for each record
    challenger: Challenger | None = None
    policy: Policy = field(default_factory=Policy)

    def __call__(self, records: Sequence[Record], *, timed: Timed = untimed) -> Outcome:
        """Score one batch; a bad record becomes a dead letter and changes nothing for the others.

        `timed` is called with "decode", "score", "reasons" and, if there is one, "challenger"
        around those stages.
        """
        if isinstance(records[0], UnreadableBatch):  # it comes alone
            return self._put_aside(records[0])
        with timed("decode"):
            policy, names = self.policy, self.model.feature_names
            headers, unreadable = read_headers(records)
            values: list[bytes | None] = [*map(type(records[0]).value, records)]
            large = find_too_large(values, policy.largest_record_bytes)
            for i in large:
                values[i] = None
            matrix, kept, undecoded = self.decoder(values)
            doubled, deep = NOT_LOOKED
            if policy.duplicate_keys != "last":
                doubled, deep = self.decoder.doubled(values, kept)
            rejects = {
                **undecoded,
                **large,
                **deep,
                **(dict.fromkeys(doubled, DOUBLED) if policy.duplicate_keys == "reject" else {}),
                **find_outside(matrix, kept, names, policy.limits),
                **unreadable,
                **find_nonfinite(matrix, kept, names),
            }
            matrix, kept = keep(matrix, kept, rejects)
            skipped = skip_tombstones(rejects) if policy.skip_tombstones else 0
        with timed("score"):
            logit, probability = self.model.score(matrix)
            finite = np.isfinite(probability) & np.isfinite(logit)
            if not finite.all():
                for i in np.flatnonzero(~finite).tolist():
                    rejects[kept[i]] = Reject(
                        "NONFINITE", "the model gives no finite score", "score"
                    )
                kept = [kept[i] for i in np.flatnonzero(finite).tolist()]
                matrix, logit, probability = matrix[finite], logit[finite], probability[finite]
            rows = decision.alerts(probability, self.threshold)
            scored = [records[i] for i in kept]
        with timed("reasons"):
            alerts = []
            if len(rows):
                why = reasons.explain(self.model, matrix[rows], logit[rows])
                alerts = [
                    self._alert(scored[i], matrix[i], logit.item(i), probability.item(i), each)
                    for i, each in zip(rows.tolist(), why, strict=True)
                ]
        scores, comparison = [], None
        if self.every_score:
            scores = [*map(self._score, scored, logit.tolist(), probability.tolist())]
        if self.challenger:
            with timed("challenger"):
                comparison = self.challenger.compare(
                    self.model,
                    scored,
                    matrix,
                    probability,
                    threshold=self.threshold,
                    transaction_id=self._transaction_id,
                )
        return Outcome(
            model_sha256=self.model.sha256,
            alerts=alerts,
            dead_letters=[
                DeadLetter(records[i], headers.get(i), rejects[i]) for i in sorted(rejects)
            ],
            scores=scores,
            matrix=matrix,
            logit=logit,
            probability=probability,
            next_offsets=next_offsets(records),
            comparison=comparison,
            skipped=skipped,
            doubled=len(doubled),
        )

    def _put_aside(self, batch: UnreadableBatch) -> Outcome:
        """Return the outcome of a batch that cannot be unpacked: one dead letter without bytes."""
        size = "" if batch.compressed_bytes < 0 else f" of {batch.compressed_bytes} bytes"
        reason = f"a batch{size} at offsets {batch.first} to {batch.end - 1}: {batch.why}"
        no_scores = np.empty(0, dtype=np.float32)
        return Outcome(
            model_sha256=self.model.sha256,
            alerts=[],
            dead_letters=[DeadLetter(batch, None, Reject("UNREADABLE", reason))],
            scores=[],
            matrix=np.empty((0, len(self.model.feature_names))),
            logit=no_scores,
            probability=no_scores,
            next_offsets={batch.of: batch.end},
        )

    def _alert(
        self,
        record: Record,
        row: Matrix,
        logit: float,
        probability: float,
        why: reasons.Explanation,
    ) -> Alert:
        """Build the alert of one row (features,); the same record and model give the same bytes."""
        transaction_id = self._transaction_id(record)
        value = values.alert(
            record,
            transaction_id=transaction_id,
            cluster_id=self.cluster_id,
            model=self.model,
            threshold=self.threshold,
            logit=logit,
            probability=probability,
            why=why,
            row=row,
        )
        return Alert(record, transaction_id.encode(), value, probability)

    def _score(self, record: Record, logit: float, probability: float) -> Output:
        """Build the score of one row."""
        transaction_id = self._transaction_id(record)
        value = values.score(
            record,
            transaction_id=transaction_id,
            model=self.model,
            logit=logit,
            probability=probability,
        )
        return Output(transaction_id.encode(), value)

    def _transaction_id(self, record: Record) -> str:
        """Return the event's id, else the Kafka key, else where the record stands.

        What is longer than LONGEST_ID is no id: as key and in the value it could outgrow the topic.
        Nor is what holds a NUL: databases downstream cannot keep it.
        """
        found = self.decoder.transaction_id(record.value())  # type: ignore[arg-type]
        if found is not None and len(found) <= LONGEST_ID and "\0" not in found:
            return found
        key = record.key()
        if key and len(key) <= LONGEST_ID and b"\0" not in key:
            with contextlib.suppress(UnicodeDecodeError):  # binary: not fit to be read as an id
                return key.decode()
        return place_text(record)


def skip_tombstones(rejects: dict[int, Reject]) -> int:
    """Take the tombstones out of the rejects; return how many they were."""
    tombstones = [i for i, reject in rejects.items() if reject.code == "TOMBSTONE"]
    for i in tombstones:
        del rejects[i]
    return len(tombstones)


def keep(matrix: Matrix, kept: list[int], rejects: dict[int, Reject]) -> tuple[Matrix, list[int]]:
    """Return the rows, and their records, that nothing speaks against."""
    if not rejects:
        return matrix, kept
    good = [i for i, record in enumerate(kept) if record not in rejects]
    if len(good) == len(kept):
        return matrix, kept
    return matrix[good], [kept[i] for i in good]


def next_offsets(records: Sequence[Record]) -> NextOffsets:
    """Return, for each partition in the batch, the offset after its last record.

    Right where all are of one topic, as in the stream, where alone it is used.
    """
    partitions = map(type(records[0]).partition, records)  # `map`: half the time of a loop
    last = dict(zip(partitions, records, strict=True)).values()
    return {(each.topic(), each.partition()): each.offset() + 1 for each in last}  # type: ignore[misc,operator]
