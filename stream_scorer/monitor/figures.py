"""Counts -> precision, recall, average precision, delays: the one place where they are computed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluate import mean_precision
from stream_scorer.monitor.counts import DAY, DELAYS_S, Counts, Window

QUALITY_SCHEMA = 1
KINDS = ("fraud", "genuine", "unlabelled")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TopK:
    """How good the highest scores of a day are, whether they alerted or not."""

    k: int
    labelled: float  # among them; a fraction where the last rank is shared
    precision: float | None


@dataclass(frozen=True, slots=True)
class Delay:
    """How long something took, of `count` labelled transactions."""

    count: int
    mean_s: float | None
    within: Mapping[str, int]  # how many took no longer than so many seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a model in a window; None where there is nothing to divide."""

    scored: int
    labelled: int
    alerts: int
    alerts_unlabelled: int
    caught: int  # frauds that alerted
    false_alerts: int  # genuine ones that alerted
    missed: int  # frauds that did not alert
    passed: int  # genuine ones that did not alert
    precision: float | None  # of the labelled alerts
    recall: float | None  # of the frauds that are known: an unlabelled one is in no figure
    f1: float | None
    average_precision: float | None  # of the labelled, by rank; see `by_rank`
    top_k: TopK | None  # of days only
    label_delay: Delay  # from the transaction to its label
    alert_to_label: Delay


def figures(counts: Counts, *, top_k: int | None = None) -> Figures:
    """Return the figures of counts; `top_k`: how many a day are looked at, None: not asked for.

    Average precision is the mean of the precisions at each fraud, from the highest rank down
    (as scikit-learn's), over labelled transactions; those of one rank are tied.
    """
    frauds, genuine, unlabelled = by_rank(counts)
    caught, false, waiting = (counts.get(f"alerted.{kind}", 0) for kind in KINDS)
    fraud, labelled = int(frauds.sum()), int((frauds + genuine).sum())
    return Figures(
        scored=labelled + int(unlabelled.sum()),
        labelled=labelled,
        alerts=caught + false + waiting,
        alerts_unlabelled=waiting,
        caught=caught,
        false_alerts=false,
        missed=fraud - caught,
        passed=labelled - fraud - false,
        precision=share(caught, caught + false),
        recall=share(caught, fraud),
        f1=share(2 * caught, caught + false + fraud),
        average_precision=(
            mean_precision(np.cumsum(frauds), np.cumsum(frauds + genuine)) if fraud else None
        ),
        top_k=None if top_k is None else highest(frauds, genuine, unlabelled, k=top_k),
        label_delay=delay_of(counts, "label"),
        alert_to_label=delay_of(counts, "wait"),
    )


def by_rank(counts: Counts) -> tuple[Floats, Floats, Floats]:
    """Return frauds, genuine and unlabelled, float64 (ranks,) each, from the highest rank down."""
    found: dict[int, list[int]] = {}
    for name, count in counts.items():
        kind, _, rank = name.partition(".")
        if kind in KINDS:
            found.setdefault(int(rank), [0, 0, 0])[KINDS.index(kind)] = count
    table = np.array([found[rank] for rank in sorted(found, reverse=True)], dtype=np.float64)
    frauds, genuine, unlabelled = table.reshape(-1, len(KINDS)).T
    return frauds, genuine, unlabelled


def highest(frauds: Floats, genuine: Floats, unlabelled: Floats, *, k: int) -> TopK:
    """Return the precision of the k highest; of a rank that is only partly among them, a share.

    That share is what a random choice within the rank has on average, as in `model compare`.
    """
    scored = np.append(0, np.cumsum(frauds + genuine + unlabelled))
    found, labelled = (
        float(np.interp(min(k, scored[-1]), scored, np.append(0, np.cumsum(each))))
        for each in (frauds, frauds + genuine)
    )
    return TopK(k, labelled, found / labelled if labelled else None)


def delay_of(counts: Counts, name: str) -> Delay:
    """Return a delay's figures."""
    steps = [*map(str, DELAYS_S), "more"]
    each = [counts.get(f"{name}.{step}", 0) for step in steps]
    total = sum(each)
    within = dict(zip(steps, np.cumsum(each).tolist(), strict=True))
    mean_s = counts.get(f"{name}.ms", 0) / total / 1000 if total else None
    del within["more"]
    return Delay(total, mean_s, within)


def share(part: int, whole: int) -> float | None:
    """Return a share, None of nothing."""
    return part / whole if whole else None


def of_window(window: Window, counts: Counts, *, top_k: int) -> Figures:
    """Return a window's figures; how good the highest of a day are is told of days only."""
    return figures(counts, top_k=top_k if window[0] == DAY else None)
