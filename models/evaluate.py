"""Measure a model file's scores on rows later than those it was fitted on, with intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.recipe import THRESHOLD
from models.reliability import reliability
from models.transactions import AMOUNT, Flags, Floats, Transactions

CONFIDENCE = 0.9
# Resamplings: their quantiles move by less than 0.01 from seed to seed.
ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Scored:
    """Test rows with the file's scores; `logit` and `probability` float32 (n,), row i of each."""

    rows: Transactions
    logit: npt.NDArray[np.float32]
    probability: npt.NDArray[np.float32]

    @property
    def alerts(self) -> Flags:
        """Which rows alert, bool (n,): the threshold is rounded to float32 as in serving."""
        return self.probability >= np.float32(THRESHOLD)


def evaluate(scored: Scored, *, seed: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the figures, JSON throughout. Rows are ranked by logit: probabilities tie at 1."""
    rows, alerts = scored.rows, scored.alerts
    frauds, weights = rows.frauds, rows.weights
    # From the logit, which keeps what the probability loses when it rounds to 0 or 1.
    losses = weights * np.logaddexp(0.0, np.where(frauds, -1.0, 1.0) * scored.logit)
    brier = weights * (scored.probability - frauds) ** 2
    amounts = rows.features[frauds, AMOUNT]
    return {
        "threshold": THRESHOLD,
        "confidence": CONFIDENCE,
        "time_from": float(rows.times[0]),
        "time_to": float(rows.times[-1]),
        "rows": len(rows),
        "frauds": int(frauds.sum()),
        "genuine_weighted": float(weights[~frauds].sum()),
        "alerts": int(alerts.sum()),
        "true_alerts": int((alerts & frauds).sum()),
        "false_alerts": int((alerts & ~frauds).sum()),
        "false_alerts_weighted": float(weights[alerts & ~frauds].sum()),
        **_intervals(scored, rounds, np.random.default_rng(seed)),
        "fraud_amount": float(amounts.sum()),
        "fraud_amount_alerted": float(amounts[alerts[frauds]].sum()),
        "log_loss": float(losses.sum() / weights.sum()),
        "log_loss_per_fraud": float(losses.sum() / frauds.sum()),
        "brier_score": float(brier.sum() / weights.sum()),
        **reliability(scored.probability, rows, confidence=CONFIDENCE, seed=seed),
    }


def _intervals(scored: Scored, rounds: int, rng: np.random.Generator) -> dict[str, object]:
    """Return average precision, precision and recall, each with its bootstrap interval.

    Frauds and genuine rows are drawn again apart from each other, so that their ratio stays.
    """
    first_to_last = np.argsort(-scored.logit, kind="stable")
    frauds, weights = scored.rows.frauds[first_to_last], scored.rows.weights[first_to_last]
    logit, alerts = scored.logit[first_to_last], scored.alerts[first_to_last]

    def ranking(times_drawn: Floats) -> tuple[float, float, float]:
        drawn = weights * times_drawn
        caught, alerted = drawn[alerts & frauds].sum(), drawn[alerts].sum()
        return (
            average_precision(logit, frauds, drawn),
            caught / alerted if alerted else np.nan,
            caught / drawn[frauds].sum(),
        )

    found = ranking(np.ones(len(frauds)))
    again = np.array([ranking(draw(frauds, rng)) for _ in range(rounds)])
    names = ("average_precision", "precision", "recall")
    return {name: interval(found[i], again[:, i]) for i, name in enumerate(names)}


def average_precision(logit: npt.NDArray[np.float32], frauds: Flags, weights: Floats) -> float:
    """Return the mean precision over the frauds, for rows (n,) in falling order of `logit`.

    scikit-learn's figure, without sorting again for each of a thousand resamples.
    """
    # Rows with equal logits are alerted together or not at all.
    ends = np.append(np.flatnonzero(np.diff(logit)), len(logit) - 1)
    return mean_precision(np.cumsum(weights * frauds)[ends], np.cumsum(weights)[ends])


def mean_precision(caught: Floats, alerted: Floats) -> float:
    """Return the same from weighted counts (k,) of frauds and of all, down to each of k logits."""
    precision = np.divide(caught, alerted, out=np.zeros(len(caught)), where=alerted > 0)
    return float((np.diff(caught, prepend=0.0) * precision).sum() / caught[-1])


def draw(frauds: Flags, rng: np.random.Generator) -> Floats:
    """Return float64 (n,): how often each row is drawn, with replacement, within its kind."""
    drawn = np.zeros(len(frauds))
    for kind in (frauds, ~frauds):
        count = int(kind.sum())
        drawn[kind] = rng.multinomial(count, np.full(count, 1 / count))
    return drawn


def interval(value: float, again: Floats) -> dict[str, float | None]:
    """Return the figure and its interval; null where there is none, as precision without alerts."""
    defined = again[np.isfinite(again)]
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None}
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return {"value": float(value), "low": float(low), "high": float(high)}
