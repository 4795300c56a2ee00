"""Golden rows: made-up transactions with known scores, which every start of the scorer repeats.

None is a row of the training file, whose licence would otherwise bind the model's users.
"""

from collections.abc import Callable

import numpy as np

from models.bundle import Golden
from models.recipe import THRESHOLD
from models.transactions import AMOUNT, TIME, Floats, Transactions
from stream_scorer.errors import ScorerError

# Made-up frauds to choose from, and how many are kept of those that alert and of the others.
DRAWS = 200
ALERTS = 10
MIN_ALERTS = 8
QUIET_FRAUDS = 4
GENUINE = 10
# Points on the way from the baseline row to an alert; finds both sides of the threshold closely.
STEPS = 2001
# How many such ways.
PATHS = 4
# Far beyond the clip on both sides, and beyond float32's exact integers.
EXTREMES = (-100.0, 100.0)
EXTREME_AMOUNTS = (0.0, 3e4, 1e6, 1e12)
EPOCH_S = 1_700_000_000.0

# Raw float64 (n, 30) to Keras's logit and probability, float64 (n,) each.
KerasScore = Callable[[Floats], tuple[Floats, Floats]]


def make(fit: Transactions, *, baseline: Floats, keras_score: KerasScore, seed: int) -> Golden:
    """Return golden rows drawn feature by feature from each class's mean and spread."""
    rng = np.random.default_rng(seed)
    genuine = _draw(fit.where(~fit.frauds), GENUINE, rng)
    frauds = _draw(fit.where(fit.frauds), DRAWS, rng)
    alerting = keras_score(frauds)[1] >= THRESHOLD
    if alerting.sum() < MIN_ALERTS or keras_score(baseline[None])[1][0] >= THRESHOLD:
        raise ScorerError(
            f"of {DRAWS} made-up frauds {alerting.sum()} reach {THRESHOLD:g}, want {MIN_ALERTS} or "
            "more and none for a typical genuine row: the model tells the classes apart too badly; "
            "check the labels, or train on more rows"
        )
    alerts, quiet = frauds[alerting][:ALERTS], frauds[~alerting][:QUIET_FRAUDS]
    edges = [_edge(baseline, alert, keras_score) for alert in alerts[:PATHS]]
    rows = np.vstack([baseline, genuine, alerts, quiet, *edges, _extremes(baseline, alerts[0])])
    _refuse_copies(rows, fit)
    return Golden(rows, *keras_score(rows))


def _draw(rows: Transactions, count: int, rng: np.random.Generator) -> Floats:
    """Return float64 (count, 30), each feature on its own: a real row's combination never."""
    mean = np.average(rows.features, axis=0, weights=rows.weights)
    sd = np.sqrt(np.average((rows.features - mean) ** 2, axis=0, weights=rows.weights))
    drawn = rng.normal(mean, sd, size=(count, len(mean))).round(6)
    drawn[:, AMOUNT] = np.abs(drawn[:, AMOUNT]).round(2)
    drawn[:, TIME] = rng.integers(0, 86_400, size=count)
    return drawn


def _edge(baseline: Floats, alert: Floats, keras_score: KerasScore) -> Floats:
    """Return float64 (2, 30): the last quiet and the first alerting row on the way to `alert`."""
    way = (baseline + np.linspace(0, 1, STEPS)[:, None] * (alert - baseline)).round(6)
    first = int(np.argmax(keras_score(way)[1] >= THRESHOLD))
    return way[first - 1 : first + 1]


def _extremes(baseline: Floats, alert: Floats) -> Floats:
    """Return float64 (n, 30): values far outside of what was fitted, one kind a row."""
    rows = []
    for amount in EXTREME_AMOUNTS:
        rows.append(baseline.copy())
        rows[-1][AMOUNT] = amount
    for extreme in EXTREMES:
        rows.append(baseline.copy())
        rows[-1][TIME + 1 : AMOUNT] = extreme
        rows.append(alert.copy())
        rows[-1][TIME + 1 : AMOUNT : 2] = extreme
    for row in (baseline, alert):
        rows.append(row.copy())
        rows[-1][TIME] = EPOCH_S
    return np.array(rows)


def _refuse_copies(rows: Floats, fit: Transactions) -> None:
    """Raise if a row equals a fitted one in all but Time."""
    for row in rows:
        if (fit.features[:, TIME + 1 :] == row[TIME + 1 :]).all(axis=1).any():
            raise ScorerError(
                "a golden row equals a row of the training file, which may not leave it"
            )
