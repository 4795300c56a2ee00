"""What typical rows look like: weighted quantiles, the baseline row, the histograms for drift."""

from collections.abc import Sequence

import numpy as np

from models.transactions import Floats

# Equally filled bins; fewer where many rows share a value. Twenty show a shift and stay small.
BINS = 20
Histogram = dict[str, list[float] | list[int]]


def quantiles(values: Floats, weights: Floats, shares: Floats) -> Floats:
    """Return float64 (k,): the smallest of `values` (n,) below which lies each weighted share."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, shares * reached[-1], side="left")
    found: Floats = values[order][np.minimum(at, len(values) - 1)]
    return found


def baseline(genuine: Floats, weights: Floats) -> Floats:
    """Return float64 (k,): the weighted median of `genuine` (n, k), feature by feature."""
    middle = np.array([0.5])
    return np.concatenate([quantiles(column, weights, middle) for column in genuine.T])


def histograms(names: Sequence[str], features: Floats, weights: Floats) -> dict[str, Histogram]:
    """Return for each feature `edges` (k + 1) and `counts` (k): weighted, rounded to integers.

    A bin holds its lower edge and not its upper one, but for the last, which holds both.
    """
    return {
        name: histogram(column, weights) for name, column in zip(names, features.T, strict=True)
    }


def histogram(column: Floats, weights: Floats) -> Histogram:
    """Return `edges` (k + 1) and `counts` (k) of `column` (n,): bins filled alike, then rounded."""
    edges = np.unique(quantiles(column, weights, np.linspace(0, 1, BINS + 1)))
    if len(edges) == 1:  # a constant column: numpy wants two edges
        edges = np.append(edges, np.nextafter(edges[0], np.inf))
    counts = np.histogram(column, bins=edges, weights=weights)[0]
    return {"edges": edges.tolist(), "counts": np.rint(counts).astype(int).tolist()}
