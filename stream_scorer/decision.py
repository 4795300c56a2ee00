"""The rule: alert if and only if the probability is at least the threshold."""

import numpy as np
from numpy.typing import NDArray

from stream_scorer.records import Vector


def alerts(probability: Vector, threshold: float) -> NDArray[np.intp]:
    """Return the rows that alert, ascending; `probability` is finite float32 (rows,).

    Both sides are float32: 0.8 as a float64 is a little more than the float32 nearest to it, so a
    model's exact 0.8 would not alert. Raises ValueError for a probability that is not finite:
    NaN >= 0.8 is false, so it would hide a fraud.
    """
    if not np.isfinite(probability).all():
        raise ValueError("a probability is not finite")
    return np.flatnonzero(probability >= np.float32(threshold))
