"""The look at the data before anything is fitted: counts, histograms, correlations."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.profile import quantiles
from models.transactions import AMOUNT, FEATURES, LABEL, TIME, Floats, Transactions

BINS = 40
HOUR_S = 3600.0
# A longer file is counted in longer steps than an hour, no more of them than this.
MOST_STEPS = 200
FARTHEST = 1e100
# Shown of a feature: the middle 99 % of the genuine rows and of the frauds; what is further out is
# counted in the outermost bins.
SHOWN = np.array([0.005, 0.995])


def look(train: Transactions, all_rows: Transactions) -> dict[str, Any]:
    """Return aggregates, JSON throughout; all but the counts by hour are of the train rows alone.

    Shares and correlations are weighted.
    """
    # Squares of a cell like 1e300 have no end.
    columns = np.column_stack([train.features, train.frauds]).clip(-FARTHEST, FARTHEST)
    return {
        "histograms": {
            name: _histogram(train, train.features[:, index])
            for index, name in enumerate(FEATURES)
            if index not in (TIME, AMOUNT)
        },
        "amount": _histogram(train, np.log10(1 + np.maximum(train.features[:, AMOUNT], 0))),
        "amount_quantiles": {
            kind: quantiles(
                rows.features[:, AMOUNT], rows.weights, np.array([0.25, 0.5, 0.75, 0.95])
            ).tolist()
            for kind, rows in _kinds(train).items()
        },
        "by_hour": _by_hour(all_rows),
        "correlation_names": [*FEATURES, LABEL],
        "correlations": _correlations(columns, train.weights).round(4).tolist(),
    }


def counts(rows: Transactions) -> dict[str, float | int]:
    """Return what a part of the rows holds."""
    frauds = int(rows.frauds.sum())
    genuine_weighted = float(rows.weights[~rows.frauds].sum())
    return {
        "rows": len(rows),
        "frauds": frauds,
        "genuine": len(rows) - frauds,
        "genuine_weighted": genuine_weighted,
        "fraud_share": frauds / (frauds + genuine_weighted),
        "time_from": float(rows.times[0]),
        "time_to": float(rows.times[-1]),
    }


def _kinds(rows: Transactions) -> dict[str, Transactions]:
    return {"genuine": rows.where(~rows.frauds), "fraud": rows.where(rows.frauds)}


def _histogram(rows: Transactions, values: Floats) -> dict[str, list[float]]:
    """Return edges (BINS + 1,) and each kind's share of its rows in each bin (BINS,)."""
    limits = [
        quantiles(values[kind], rows.weights[kind], SHOWN) for kind in (~rows.frauds, rows.frauds)
    ]
    low, high = float(np.min(limits)), float(np.max(limits))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    found = {"edges": edges.tolist()}
    for name, kind in (("genuine", ~rows.frauds), ("fraud", rows.frauds)):
        inside = np.clip(values[kind], edges[0], edges[-1])
        count = np.histogram(inside, bins=edges, weights=rows.weights[kind])[0]
        found[name] = (count / count.sum()).tolist()
    return found


def _by_hour(rows: Transactions) -> dict[str, Any]:
    """Return weighted counts of each kind in each step of `step_s` seconds from the first row."""
    passed = rows.times - rows.times[0]
    step_s = max(HOUR_S, float(passed[-1]) / MOST_STEPS)
    step = (passed // step_s).astype(int)
    return {
        "step_s": step_s,
        "time_from": float(rows.times[0]),
        **{
            name: np.bincount(
                step[kind], weights=rows.weights[kind], minlength=step[-1] + 1
            ).tolist()
            for name, kind in (("genuine", ~rows.frauds), ("fraud", rows.frauds))
        },
    }


def _correlations(columns: Floats, weights: Floats) -> npt.NDArray[np.float64]:
    """Return Pearson's, float64 (k, k); 0 for a column that never varies."""
    covariance = np.cov(columns, rowvar=False, aweights=weights)
    sd = np.sqrt(np.diag(covariance))
    sd[sd == 0] = np.inf
    return np.asarray(covariance / np.outer(sd, sd))
