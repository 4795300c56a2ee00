"""What both inputs give: each model's scores with what is known of the transactions."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_scorer.errors import BadInput
from stream_scorer.records import Vector
from stream_scorer.what_if.figures import Floats, Scored

FRAUD, GENUINE, UNKNOWN = 1, 0, -1
DAY_S = 86_400.0
LARGEST = 1e15  # beyond it no number is an amount or a time in seconds

Ids = NDArray[np.uint64]
Labels = NDArray[np.int8]


@dataclass(slots=True)
class LeftOut:
    """What could not be used, and one example."""

    count: int = 0
    example: str = ""  # where and why

    def add(self, what: str) -> None:
        """Count one more."""
        self.count += 1
        self.example = self.example or what


@dataclass(frozen=True, slots=True)
class Columns:
    """Transactions that one model scored, row i of each: float32, int8 and float64 (n,)."""

    probability: Vector
    label: Labels  # FRAUD, GENUINE or UNKNOWN
    amount: Floats  # NaN: not known
    time_s: Floats  # NaN: not known


@dataclass(frozen=True, slots=True)
class Side:
    """One model's scores, and what was left out of them."""

    model: str  # name and version
    sha256: str
    transactions: str  # tells those that it scored from others: the models' may differ
    scored: Scored
    repeated: int  # scores of a transaction beyond one
    bad: LeftOut  # could not be read or scored


def check_labels(columns: Columns, model: str) -> None:
    """Raise BadInput unless there are frauds and genuine transactions."""
    counts = {kind: int((columns.label == kind).sum()) for kind in (FRAUD, GENUINE)}
    total, labelled = len(columns.label), sum(counts.values())
    if not labelled:
        raise BadInput(f"none of the {total:,} transactions that {model} scored has a label")
    for kind, name in ((FRAUD, "fraud"), (GENUINE, "genuine one")):
        if not counts[kind]:
            raise BadInput(
                f"among the {labelled:,} labelled transactions that {model} scored is no {name}: "
                "want both kinds"
            )


def to_scored(columns: Columns, *, genuine_weight: float) -> Scored:
    """Return the transactions sorted; their days are those from the first to the last."""
    times = columns.time_s[np.isfinite(columns.time_s)]
    span_s = float(times.max() - times.min()) if len(times) else 0.0
    return Scored.of(
        columns.probability,
        columns.label,
        columns.amount,
        genuine_weight=genuine_weight,
        days=span_s / DAY_S or None,
    )


def known(value: object) -> float:
    """Return an amount or a time as it is, NaN if it is none."""
    return float(value) if isinstance(value, int | float) and abs(value) <= LARGEST else math.nan


def id_number(transaction_id: str) -> int:
    """Return 64 bits that stand for an id: 8 bytes in place of 80.

    Among a hundred million ids two share them with a chance of 1 in 4,000.
    """
    encoded = transaction_id.encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest())


def fingerprint(rows: NDArray[Any]) -> str:
    """Return what tells these rows, or ids, in their order from others."""
    return hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()


def latest_of_each(ids: Ids, *rising: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one row for each of the ids (n,), rising by id: the last by the keys, (n,) each.

    The first key counts most, as in "time, then partition, then offset".
    """
    order = np.lexsort((*rising[::-1], ids)).astype(np.int64)
    last = np.ones(len(ids), dtype=np.bool_)
    last[:-1] = ids[order][1:] != ids[order][:-1]
    return order[last]


def labels_of(ids: Ids, labelled: Ids, labels: Labels) -> Labels:
    """Return the label of each of `ids` (n,), from rising, distinct `labelled` (m,) and theirs."""
    found = np.full(len(ids), UNKNOWN, dtype=np.int8)
    if len(labelled):
        place = np.minimum(np.searchsorted(labelled, ids), len(labelled) - 1)
        there = labelled[place] == ids
        found[there] = labels[place[there]]
    return found
