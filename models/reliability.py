"""Whether a probability means what it says: what was predicted beside what was seen, by bin."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.transactions import Transactions

# Narrow where decisions are made; nearly all rows are in the first.
BINS = (0.0, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)
# The calibration error is also given without the mass of clearly genuine rows, which hides it.
LOOK_FROM = 0.05
ROUNDS = 10_000


def reliability(
    probability: npt.NDArray[np.float32], rows: Transactions, *, confidence: float, seed: int
) -> dict[str, object]:
    """Return the table by bin (lower edge included) and the expected calibration errors."""
    rng = np.random.default_rng(seed)
    genuine_weight = float(rows.weights[~rows.frauds].mean())
    bin_of = np.digitize(probability, np.array(BINS[1:-1], dtype=np.float32))
    table: list[dict[str, float | int]] = []
    for index, (start, end) in enumerate(pairwise(BINS)):
        inside = rows.where(bin_of == index)
        if not len(inside):
            continue
        predicted = np.average(probability[bin_of == index], weights=inside.weights)
        seen = inside.weights[inside.frauds].sum() / inside.weights.sum()
        low, high = _interval(inside, genuine_weight, confidence, rng)
        table.append(
            {
                "from": start,
                "to": end,
                "rows": len(inside),
                "frauds": int(inside.frauds.sum()),
                "weighted_rows": float(inside.weights.sum()),
                "predicted": float(predicted),
                "seen": float(seen),
                "low": low,
                "high": high,
            }
        )
    return {
        "reliability": table,
        "calibration_error": _error(table),
        "calibration_error_from": LOOK_FROM,
        "calibration_error_above": _error([row for row in table if row["from"] >= LOOK_FROM]),
    }


def _interval(
    rows: Transactions, genuine_weight: float, confidence: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the interval of the share of frauds, for Poisson counts under Jeffreys' prior.

    Unlike a bootstrap it has a width where all rows of a bin are of one kind; it then ends there.
    """
    frauds = rng.gamma(rows.frauds.sum() + 0.5, size=ROUNDS)
    genuine = rng.gamma((~rows.frauds).sum() + 0.5, size=ROUNDS)
    tail = (1 - confidence) / 2
    low, high = np.quantile(frauds / (frauds + genuine_weight * genuine), [tail, 1 - tail])
    return (
        float(low) if rows.frauds.any() else 0.0,
        float(high) if not rows.frauds.all() else 1.0,
    )


def _error(table: list[dict[str, float | int]]) -> float:
    """Return the mean distance between predicted and seen, each bin by its weighted rows."""
    total = sum(row["weighted_rows"] for row in table)
    if not total:
        return 0.0
    return sum(abs(row["predicted"] - row["seen"]) * row["weighted_rows"] for row in table) / total
