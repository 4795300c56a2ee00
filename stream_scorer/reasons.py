"""Why a row alerted: which features, set to a typical value, would lower its log-odds most."""

from typing import NamedTuple, TypedDict

import numpy as np

from stream_scorer.errors import Unfit
from stream_scorer.model import Model
from stream_scorer.records import Matrix, Vector

# The top three agree with 1000-permutation Shapley values on 0.98 [0.97, 0.99] of the places
# (100 alerts of the ULB sample; benchmarks/reasons.py).
REASONS = 3
# Bytes. A row is copied once for each feature: 7 kB at 30 features, 720 kB at 300.
LARGEST_COPIES_BYTES = 4_000_000


class Reason(TypedDict):
    """One feature's part in an alert; the parts do not add up to the score."""

    feature: str
    value: float
    baseline: float
    effect: float  # log-odds by which the typical value would lower the score
    text: str


class Explanation(NamedTuple):
    """Why one row alerted, as far as it is known."""

    reasons: list[Reason]  # at most three, the strongest first
    unexplained: list[str]  # features whose typical value the model does not take in this row


def explain(
    model: Model, rows: Matrix, logit: Vector, *, largest_bytes: int = LARGEST_COPIES_BYTES
) -> list[Explanation]:
    """Return why each raw row (rows, features) alerted.

    Occlusion: for each feature a copy of the row is scored with that feature at its baseline.
    `logit` is float32 (rows,). A row's reasons do not depend on the rows beside it; so many rows
    are done at once as have copies of `largest_bytes`.
    """
    at_once = max(1, largest_bytes // (8 * rows.shape[1] ** 2))
    found: list[Explanation] = []
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        effects = occlude(model, rows[part], logit[part])
        found += [
            Explanation(strongest(model, row, effect), unexplained(model, effect))
            for row, effect in zip(rows[part], effects, strict=True)
        ]
    return found


def occlude(model: Model, rows: Matrix, logit: Vector) -> Vector:
    """Return by how much each feature's baseline lowers the logit, float32 (rows, features).

    NaN where the model does not take the row with that value: no error of an explanation may keep
    an alert back.
    """
    count, width = rows.shape
    copies = np.repeat(rows, width, axis=0).reshape(count, width, width)
    columns = np.arange(width)
    copies[:, columns, columns] = model.baseline
    try:
        without, _ = model.score(copies.reshape(-1, width))
    except Unfit:
        return np.full((count, width), np.nan, np.float32)
    effect: Vector = logit[:, np.newaxis] - without.reshape(count, width)
    return np.where(np.isfinite(effect), effect, np.float32(np.nan))


def unexplained(model: Model, effect: Vector) -> list[str]:
    """Return the features whose part in one row is not known; effect is (features,)."""
    return [model.feature_names[i] for i in np.flatnonzero(np.isnan(effect)).tolist()]


def strongest(model: Model, row: Matrix, effect: Vector) -> list[Reason]:
    """Return the features that raised one row's logit most; row and effect are (features,)."""
    return [
        describe(model.feature_names[i], row.item(i), model.baseline.item(i), lower)
        for i in np.argsort(-effect, kind="stable")[:REASONS].tolist()
        if (lower := effect.item(i)) > 0
    ]


def describe(feature: str, value: float, baseline: float, effect: float) -> Reason:
    """Return one feature's part as numbers and as words."""
    return Reason(
        feature=feature,
        value=value,
        baseline=baseline,
        effect=round(effect, 3),
        text=f"with a typical {feature} the log-odds would be {effect:.1f} lower",
    )
