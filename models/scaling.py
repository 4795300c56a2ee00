"""Bring raw features to one scale: standardise by the fitted rows, then clip."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.profile import quantiles
from models.transactions import AMOUNT, TIME, Floats, Transactions

# No clip for any real value; keeps a cell like 1e300 finite in float32.
FARTHEST = 1e6


@dataclass(frozen=True, slots=True)
class Scaling:
    """`centre` float64 (n,), `factor` float64 (n,) = 1 / sd, `clip` in standard deviations."""

    centre: Floats
    factor: Floats
    clip: float

    def __call__(self, features: Floats) -> npt.NDArray[np.float32]:
        """Return float32 (rows, n) from raw float64 (rows, n).

        The affine part is in float64: in float32 an epoch-second time would cost 7e-6 of the
        probability.
        """
        scaled = (features - self.centre) * self.factor
        return np.clip(scaled, -self.clip, self.clip).astype(np.float32)


def fit_scaling(fit: Transactions, *, clip: float) -> Scaling:
    """Return the weighted mean and standard deviation of the rows, as a scaling."""
    centre = np.average(fit.features, axis=0, weights=fit.weights)
    sd = np.sqrt(np.average((fit.features - centre) ** 2, axis=0, weights=fit.weights))
    return Scaling(centre, _inverse(sd), clip)


def fit_amount_and_time(fit: Transactions) -> Scaling:
    """Return the weighted median and quartile distance of Amount, and Time from 0 to 1.

    V1 .. V28 stay as they are: principal components, whose spread tells how much they matter.
    """
    low, middle, high = quantiles(fit.features[:, AMOUNT], fit.weights, np.array([0.25, 0.5, 0.75]))
    centre, spread = np.zeros(fit.features.shape[1]), np.ones(fit.features.shape[1])
    centre[AMOUNT], spread[AMOUNT] = middle, high - low
    centre[TIME], spread[TIME] = fit.times[0], fit.times[-1] - fit.times[0]
    return Scaling(centre, _inverse(spread), clip=FARTHEST)


def _inverse(spread: Floats) -> Floats:
    # A feature that never varied tells nothing: 0 keeps it out, where 1 / 0 would be infinite.
    return np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
