"""Golden rows for a model that somebody brings: made up around what is typical for its features."""

from collections.abc import Callable

import numpy as np

from models.bundle import Golden
from models.recipe import THRESHOLD
from models.transactions import Floats
from stream_scorer.errors import BadInput

# Rows drawn, in stretches of the spread: near what is typical, and far from it.
DRAWS, STRETCHES = 256, (0.5, 1.0, 2.0, 4.0, 8.0)
# Rows kept of those drawn, evenly over their scores, and alerts if there are any.
KEPT, ALERTS = 24, 8
# Points on the way from the baseline row to an alert; finds both sides of the threshold closely.
STEPS, PATHS = 2001, 4

# Sums of float32 end a step or two beyond 1.
ROUNDING = 1e-6

# Raw float64 (n, features) to the probability that the brought model itself gives, float64 (n,).
Probability = Callable[[Floats], Floats]


def make(baseline: Floats, spread: Floats, probability: Probability, *, seed: int) -> Golden:
    """Return at least 32 rows and the probabilities that the brought model gives them.

    Rows that alert are among them if the model alerts on any of those drawn. Raises BadInput if
    what the model gives is no probability, or the same one for all.
    """
    rng = np.random.default_rng(seed)
    drawn = np.vstack(
        [
            baseline + spread * stretch * rng.normal(size=(DRAWS, len(spread)))
            for stretch in STRETCHES
        ]
    ).round(6)
    scores = check(probability(drawn))
    by_score = np.argsort(scores, kind="stable")
    kept = by_score[np.linspace(0, len(by_score) - 1, KEPT).astype(int)]
    alerting = by_score[scores[by_score] >= THRESHOLD]
    chosen = by_score[-ALERTS:]  # where none alerts, those nearest to it
    if len(alerting):
        chosen = alerting[np.linspace(0, len(alerting) - 1, ALERTS).astype(int)]
    alerts = drawn[chosen]
    edges = [cross(baseline, alert, probability) for alert in alerts[:PATHS]]
    rows = np.vstack([baseline, drawn[kept], alerts, *edges])
    found = check(probability(rows))
    inside = np.clip(found, 1e-12, 1 - 1e-12)
    return Golden(rows, np.log(inside / (1 - inside)), found)


def check(scores: Floats) -> Floats:
    """Return the scores if they are probabilities that differ."""
    if not np.isfinite(scores).all():
        raise BadInput("the model gives a score that is not finite; want a probability")
    low, high = float(scores.min()), float(scores.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise BadInput(
            f"the model gives scores from {low:.9g} to {high:.9g}, which are no probabilities; if "
            "they are log-odds, say --gives logit"
        )
    if high - low < 1e-6:  # noqa: PLR2004 - what a start of the scorer can tell apart
        raise BadInput(
            f"the model gives {high:.6g} for every row, whatever its features: its scale does not "
            "fit; see --scaler and --scaling"
        )
    return np.clip(scores, 0, 1)


def cross(baseline: Floats, alert: Floats, probability: Probability) -> Floats:
    """Return float64 (2, features): two neighbours on the way, where the score changes most."""
    way = (baseline + np.linspace(0, 1, STEPS)[:, None] * (alert - baseline)).round(6)
    scores = probability(way)
    reached = np.flatnonzero((scores[1:] >= THRESHOLD) != (scores[:-1] >= THRESHOLD))
    first = int(reached[0]) if len(reached) else int(np.argmax(np.abs(np.diff(scores))))
    return way[first : first + 2]
