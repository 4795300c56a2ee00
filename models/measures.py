"""The figures of a comparison, with intervals that all models draw from the same resamples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.evaluate import draw, interval, mean_precision
from models.transactions import Flags, Floats, Transactions

# Alerts a day that people can look at.
ALERTS_A_DAY = 100
DAY_S = 86_400.0
NAMES = (
    "average_precision",
    "roc_auc",
    "brier_score",
    "accuracy",
    "precision",
    "recall",
    "f1",
    f"precision_at_{ALERTS_A_DAY}_a_day",
)
# Points of a curve that is drawn; more could not be seen.
CURVE_POINTS = 200

Draws = npt.NDArray[np.uint16]


def draws(frauds: Flags, *, rounds: int, seed: int) -> Draws:
    """Return uint16 (rounds, n): how often each row is drawn, frauds and genuine rows apart."""
    rng = np.random.default_rng(seed)
    drawn = np.empty((rounds, len(frauds)), dtype=np.uint16)
    for row in drawn:
        row[:] = draw(frauds, rng)
    return drawn


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows in falling order of logit, so that each resample need not be sorted again.

    `order` int64 (n,) are their places among the rows as they came; `ends` int64 (k,) is the last
    row of each logit; `alerts` counts rows at or above the threshold; `days` is the time covered.
    """

    order: npt.NDArray[np.int64]
    frauds: Flags
    weights: Floats
    squared_errors: Floats
    ends: npt.NDArray[np.int64]
    alerts: int
    days: float

    def measure(self, drawn: Floats | Draws) -> Floats:
        """Return float64 (8,) in the order of NAMES, for rows that count `drawn` (n,) times.

        NaN where there is none: the precision of no alerts.
        """
        weights = self.weights * drawn[self.order]
        caught = np.cumsum(weights * self.frauds)
        alerted = np.cumsum(weights)
        frauds, total = caught[-1], alerted[-1]
        true, all_alerts = (x[self.alerts - 1] if self.alerts else 0.0 for x in (caught, alerted))
        at_ends, alerted_at_ends = caught[self.ends], alerted[self.ends]
        # From (0, 0): rows with one logit are taken together, in proportion where the day is full.
        reviewed = min(ALERTS_A_DAY * self.days, total)
        found = np.interp(reviewed, np.append(0, alerted_at_ends), np.append(0, at_ends))
        false_at_ends = np.append(0, alerted_at_ends - at_ends)
        area = np.trapezoid(np.append(0, at_ends), false_at_ends)
        return np.array(
            [
                mean_precision(at_ends, alerted_at_ends),
                area / (frauds * (total - frauds)),
                weights @ self.squared_errors / total,
                (true + (total - frauds) - (all_alerts - true)) / total,
                true / all_alerts if all_alerts else np.nan,
                true / frauds,
                2 * true / (all_alerts + frauds),
                found / reviewed if reviewed else np.nan,
            ]
        )

    def curve(self) -> list[list[float]]:
        """Return (recall, precision) from the highest score to the lowest."""
        caught, alerted = np.cumsum(self.weights * self.frauds), np.cumsum(self.weights)
        recall, precision = caught[self.ends] / caught[-1], caught[self.ends] / alerted[self.ends]
        # Only where a fraud is reached: between them the precision just falls.
        at = np.flatnonzero(np.diff(recall, prepend=0.0) > 0)
        at = at[np.unique(np.linspace(0, len(at) - 1, CURVE_POINTS).astype(int))]
        return [[float(r), float(p)] for r, p in zip(recall[at], precision[at], strict=True)]


def rank(rows: Transactions, logits: Floats, *, threshold: float) -> Ranked:
    """Return `rows` ranked by their calibrated `logits` float64 (n,)."""
    order = np.argsort(-logits, kind="stable")
    falling = logits[order]
    probability = probabilities(falling)
    return Ranked(
        order=order,
        frauds=rows.frauds[order],
        weights=rows.weights[order],
        squared_errors=(probability - rows.frauds[order]) ** 2,
        ends=np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1),
        alerts=int(alerting(probability, threshold).sum()),
        days=float(rows.times[-1] - rows.times[0]) / DAY_S,
    )


def probabilities(logits: Floats) -> Floats:
    """Return the sigmoid, float64 (n,), without overflow."""
    return (1 + np.tanh(logits / 2)) / 2


def alerting(probability: Floats, threshold: float) -> Flags:
    """Return which rows alert, bool (n,): both sides in float32, as in serving."""
    return probability.astype(np.float32) >= np.float32(threshold)


def with_intervals(
    ranked: Ranked, resamples: Draws
) -> tuple[dict[str, dict[str, float | None]], Floats]:
    """Return each figure with its interval, and the resamples' figures, float64 (rounds, 8)."""
    found = ranked.measure(np.ones(len(ranked.order)))
    again = np.array([ranked.measure(drawn) for drawn in resamples])
    figures = {name: interval(found[i], again[:, i]) for i, name in enumerate(NAMES)}
    return figures, again
